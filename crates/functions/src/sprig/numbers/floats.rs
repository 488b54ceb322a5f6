//! Floating-point numbers, as Go's `math` has them.

use gotemplate::{Func, FuncError, Param, Value};

use super::super::convert::float;
use super::ONE;
use crate::arguments::{any, int};
use crate::{Entry, entry};

pub(crate) const ENTRIES: &[Entry<()>] = &[
    entry(
        Func::pure("sprig_maxf", ONE, |arguments| most(arguments, larger)).variadic(Param::Any),
        "sprig_maxf number [number ...]",
        "The largest of floating-point numbers.",
        "{{ sprig_maxf 1 2.5 }}",
        "2.5",
    ),
    entry(
        Func::pure("sprig_minf", ONE, |arguments| most(arguments, |a, b| -larger(-a, -b)))
            .variadic(Param::Any),
        "sprig_minf number [number ...]",
        "The smallest of floating-point numbers.",
        "{{ sprig_minf 1.5 2 }}",
        "1.5",
    ),
    entry(
        Func::pure("sprig_ceil", ONE, |arguments| Ok(Value::from(float(any(arguments, 0)).ceil()))),
        "sprig_ceil number",
        "The next whole number upwards, as a float.",
        "{{ sprig_ceil 1.1 }}",
        "2",
    ),
    entry(
        Func::pure("sprig_floor", ONE, |arguments| Ok(Value::from(float(any(arguments, 0)).floor()))),
        "sprig_floor number",
        "The next whole number downwards, as a float.",
        "{{ sprig_floor 1.9 }}",
        "1",
    ),
    entry(
        Func::pure("sprig_round", &[Param::Any, Param::Int], round).variadic(Param::Float),
        "sprig_round number places [threshold]",
        "Rounded to so many places; from the threshold (0.5) on upwards. Negative numbers go down.",
        "{{ sprig_round 123.5555 3 }}",
        "123.556",
    ),
];

fn most(arguments: &[Value], choose: fn(f64, f64) -> f64) -> Result<Value, FuncError> {
    Ok(Value::from(arguments.iter().map(float).reduce(choose).unwrap_or(0.0)))
}

/// `math.Max`: infinity wins even over NaN, and 0 over -0.
fn larger(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { b } else { a }
    } else {
        a.max(b)
    }
}

fn round(arguments: &[Value]) -> Result<Value, FuncError> {
    let threshold = match arguments.get(2) {
        Some(Value::Float(threshold)) => *threshold,
        _ => 0.5,
    };
    let power = power_of_ten(int(arguments, 1));
    let digits = power * float(any(arguments, 0));
    let fraction = digits - digits.trunc();
    let whole = if fraction >= threshold { digits.ceil() } else { digits.floor() };
    Ok(Value::from(whole / power))
}

/// `math.Pow(10, exponent)`, with the last bit as Go's way of multiplying leaves it.
fn power_of_ten(exponent: i64) -> f64 {
    let size = exponent.unsigned_abs();
    if size > 1000 {
        return if exponent < 0 { 0.0 } else { f64::INFINITY };
    }
    // Ten is 0.625 * 2^4; the mantissa stays between a half and one.
    let (mut mantissa, mut power) = (1.0, 0i32);
    let (mut factor, mut factor_power) = (0.625, 4i32);
    let mut rest = size;
    while rest != 0 {
        if rest & 1 == 1 {
            mantissa *= factor;
            power += factor_power;
        }
        factor *= factor;
        factor_power *= 2;
        if factor < 0.5 {
            factor += factor;
            factor_power -= 1;
        }
        rest >>= 1;
    }
    if exponent < 0 {
        mantissa = 1.0 / mantissa;
        power = -power;
    }
    // In two steps, since a power of two beyond the range of floats may still give one.
    let first = power.clamp(-1000, 1000);
    mantissa * 2f64.powi(first) * 2f64.powi(power - first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_ten() {
        for (exponent, power) in [(0, 1.0), (1, 10.0), (22, 1e22), (-1, 0.1), (308, 1e308)] {
            let found = power_of_ten(exponent);
            assert!((found - power).abs() <= power * 1e-15, "{exponent}: {found}");
        }
        assert_eq!(power_of_ten(309), f64::INFINITY);
        assert_eq!(power_of_ten(i64::MAX), f64::INFINITY);
        assert_eq!(power_of_ten(i64::MIN), 0.0);
        assert_eq!(power_of_ten(-330), 0.0);
        assert!(power_of_ten(-320) > 0.0);
    }
}
