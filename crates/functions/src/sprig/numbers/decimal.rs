//! Arithmetic on decimal digits, where 0.1 and 0.2 are 0.3.

use gotemplate::{Func, FuncError, Param, Value};
use num_bigint::{BigInt, Sign};

use super::super::convert::float;
use super::ONE;
use crate::{Entry, entry};

pub(crate) const ENTRIES: &[Entry<()>] = &[
    entry(
        Func::pure("sprig_addf", &[], |arguments| fold(Decimal::zero(), arguments, Decimal::add))
            .variadic(Param::Any),
        "sprig_addf [number ...]",
        "The sum, reckoned in decimal digits.",
        "{{ sprig_addf 0.1 0.2 }}",
        "0.3",
    ),
    entry(
        Func::pure("sprig_add1f", ONE, |arguments| fold(Decimal::one(), arguments, Decimal::add)),
        "sprig_add1f number",
        "One more, reckoned in decimal digits.",
        "{{ sprig_add1f 1.1 }}",
        "2.1",
    ),
    entry(
        Func::pure("sprig_subf", ONE, |arguments| from_first(arguments, Decimal::subtract))
            .variadic(Param::Any),
        "sprig_subf number [number ...]",
        "The first number less the others, reckoned in decimal digits.",
        "{{ sprig_subf 1 0.9 }}",
        "0.1",
    ),
    entry(
        Func::pure("sprig_mulf", ONE, |arguments| from_first(arguments, Decimal::multiply))
            .variadic(Param::Any),
        "sprig_mulf number [number ...]",
        "The product, reckoned in decimal digits.",
        "{{ sprig_mulf 1.1 1.1 }}",
        "1.21",
    ),
    entry(
        Func::pure("sprig_divf", ONE, |arguments| from_first(arguments, Decimal::divide))
            .variadic(Param::Any),
        "sprig_divf number [number ...]",
        "The first number divided by the others, each time rounded to 16 places behind the point.",
        "{{ sprig_divf 10 4 }}",
        "2.5",
    ),
];

/// Places behind the point that a division keeps.
const PLACES: i64 = 16;
/// Larger numbers are refused: they are far beyond what a float holds.
const MAX_BITS: u64 = 1 << 20;

type Operation = fn(Decimal, Decimal) -> Result<Decimal, FuncError>;

fn fold(start: Decimal, arguments: &[Value], operation: Operation) -> Result<Value, FuncError> {
    let mut result = start;
    for argument in arguments {
        result = operation(result, Decimal::of(float(argument))?)?;
        if result.digits.bits() > MAX_BITS {
            return Err("the number has too many digits".into());
        }
    }
    Ok(Value::from(result.float()))
}

fn from_first(arguments: &[Value], operation: Operation) -> Result<Value, FuncError> {
    match arguments.split_first() {
        Some((first, others)) => fold(Decimal::of(float(first))?, others, operation),
        None => Ok(Value::from(0.0)),
    }
}

/// `digits * 10^exponent`.
struct Decimal {
    digits: BigInt,
    exponent: i64,
}

impl Decimal {
    fn zero() -> Self {
        Self { digits: BigInt::ZERO, exponent: 0 }
    }

    fn one() -> Self {
        Self { digits: BigInt::from(1), exponent: 0 }
    }

    /// The shortest digits that read back as this float.
    fn of(value: f64) -> Result<Self, FuncError> {
        if !value.is_finite() {
            let name = gotemplate::sprint(&[Value::from(value)])?;
            let name = String::from_utf8_lossy(&name);
            return Err(format!("Cannot create a Decimal from {name}").into());
        }
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}").parse().unwrap_or_default();
        Ok(Self { digits, exponent: exponent.parse::<i64>().unwrap_or(0) - fraction.len() as i64 })
    }

    /// The float that is nearest.
    fn float(&self) -> f64 {
        if self.digits.sign() == Sign::NoSign {
            return 0.0;
        }
        format!("{}e{}", self.digits, self.exponent).parse().unwrap_or(f64::NAN)
    }

    fn add(self, other: Self) -> Result<Self, FuncError> {
        let exponent = self.exponent.min(other.exponent);
        let digits =
            scaled(self.digits, self.exponent - exponent)? + scaled(other.digits, other.exponent - exponent)?;
        Ok(Self { digits, exponent })
    }

    fn subtract(self, other: Self) -> Result<Self, FuncError> {
        self.add(Self { digits: -other.digits, exponent: other.exponent })
    }

    fn multiply(self, other: Self) -> Result<Self, FuncError> {
        Ok(Self { digits: self.digits * other.digits, exponent: self.exponent + other.exponent })
    }

    fn divide(self, other: Self) -> Result<Self, FuncError> {
        if other.digits.sign() == Sign::NoSign {
            return Err("decimal division by 0".into());
        }
        let power = self.exponent - other.exponent + PLACES;
        let (dividend, divisor) = match power {
            0.. => (scaled(self.digits, power)?, other.digits),
            _ => (self.digits, scaled(other.digits, -power)?),
        };
        let (mut digits, rest) = (&dividend / &divisor, &dividend % &divisor);
        // A half goes away from zero.
        if (rest.magnitude() << 1u8) >= *divisor.magnitude() {
            digits += if dividend.sign() == divisor.sign() { 1 } else { -1 };
        }
        Ok(Self { digits, exponent: -PLACES })
    }
}

fn scaled(digits: BigInt, power: i64) -> Result<BigInt, FuncError> {
    let power = u32::try_from(power).ok().filter(|power| u64::from(*power) < MAX_BITS / 4);
    let power = power.ok_or("the number has too many digits")?;
    Ok(digits * BigInt::from(10).pow(power))
}
