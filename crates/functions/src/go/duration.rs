//! `time.Duration`: reading and writing `1h30m`.

use std::borrow::Cow;
use std::fmt;

use gotemplate::{FuncError, Method, Object, Param, Shape, Value};

use super::layout::quoted;

/// A span of time in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub i64);

impl Duration {
    /// One second.
    pub const SECOND: Self = Self(1_000_000_000);
    /// One minute.
    pub const MINUTE: Self = Self(60 * Self::SECOND.0);
    /// One hour.
    pub const HOUR: Self = Self(60 * Self::MINUTE.0);

    /// Reads `-1h2.5s`: a sign, then numbers each with a unit of `ns us µs ms s m h`. Bytes of any kind are safe.
    ///
    /// # Errors
    /// Go's text.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let invalid = || format!("time: invalid duration {}", quoted(text));
        let (negative, mut rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        if rest == b"0" {
            return Ok(Self(0));
        }
        if rest.is_empty() {
            return Err(invalid());
        }
        // As unsigned, because the least duration has no positive counterpart.
        let mut total: u64 = 0;
        while let Some(first) = rest.first() {
            if !matches!(first, b'.' | b'0'..=b'9') {
                return Err(invalid());
            }
            let (whole, behind) = leading_int(rest).ok_or_else(invalid)?;
            let mut digits = behind.len() != rest.len();
            rest = behind;
            let (mut fraction, mut scale) = (0, 1.0);
            if let [b'.', behind @ ..] = rest {
                (fraction, scale, rest) = leading_fraction(behind);
                digits |= rest.len() != behind.len();
            }
            if !digits {
                return Err(invalid());
            }
            let end = rest.iter().position(|byte| matches!(byte, b'.' | b'0'..=b'9')).unwrap_or(rest.len());
            let (name, behind) = rest.split_at(end);
            if name.is_empty() {
                return Err(format!("time: missing unit in duration {}", quoted(text)));
            }
            let Some(unit) = unit(name) else {
                return Err(format!("time: unknown unit {} in duration {}", quoted(name), quoted(text)));
            };
            rest = behind;
            let mut value = whole.checked_mul(unit).filter(|value| *value <= 1 << 63).ok_or_else(invalid)?;
            if fraction > 0 {
                value += (fraction as f64 * (unit as f64 / scale)) as u64;
            }
            if value > 1 << 63 {
                return Err(invalid());
            }
            // Two halves of two to the 64th make zero, in Go too.
            total = total.wrapping_add(value);
            if total > 1 << 63 {
                return Err(invalid());
            }
        }
        match negative {
            true => Ok(Self((total as i64).wrapping_neg())),
            false => i64::try_from(total).map(Self).map_err(|_| invalid()),
        }
    }

    /// To the nearest multiple, halves away from zero; unchanged for a multiple that is not positive.
    #[must_use]
    pub fn round(self, multiple: Self) -> Self {
        if multiple.0 <= 0 {
            return self;
        }
        let (value, step) = (i128::from(self.0), i128::from(multiple.0));
        let rest = value.abs() % step;
        let up = if rest * 2 < step { -rest } else { step - rest };
        let rounded = (value.abs() + up) * value.signum();
        Self(rounded.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
    }

    /// Towards zero to a multiple; unchanged for a multiple that is not positive.
    #[must_use]
    pub fn truncate(self, multiple: Self) -> Self {
        if multiple.0 <= 0 { self } else { Self(self.0 - self.0 % multiple.0) }
    }

    /// As a floating-point number of `unit`s.
    fn count(self, unit: Self) -> f64 {
        (self.0 / unit.0) as f64 + (self.0 % unit.0) as f64 / unit.0 as f64
    }
}

/// `72h3m0.5s`; below a second in a smaller unit, `1.5ms`.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.0.unsigned_abs();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        match total {
            0 => return f.write_str("0s"),
            1..1_000 => return write!(f, "{total}ns"),
            1_000..1_000_000 => return write!(f, "{}µs", decimal(total, 3)),
            1_000_000..1_000_000_000 => return write!(f, "{}ms", decimal(total, 6)),
            _ => {}
        }
        let minutes = total / 60_000_000_000;
        if minutes >= 60 {
            write!(f, "{}h", minutes / 60)?;
        }
        if minutes > 0 {
            write!(f, "{}m", minutes % 60)?;
        }
        write!(f, "{}s", decimal(total % 60_000_000_000, 9))
    }
}

/// `value` with its last `places` digits behind a point, zeros at the end left out.
fn decimal(value: u64, places: u32) -> String {
    let unit = 10_u64.pow(places);
    let fraction = format!("{:0width$}", value % unit, width = places as usize);
    let text = format!("{}.{fraction}", value / unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn unit(name: &[u8]) -> Option<u64> {
    Some(match name {
        b"ns" => 1,
        // The micro sign and the Greek letter.
        b"us" | b"\xc2\xb5s" | b"\xce\xbcs" => 1_000,
        b"ms" => 1_000_000,
        b"s" => 1_000_000_000,
        b"m" => 60_000_000_000,
        b"h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// The digits at the start as a number, and what follows; `None` above two to the 63rd.
pub(super) fn leading_int(text: &[u8]) -> Option<(u64, &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let mut value: u64 = 0;
    for digit in digits {
        value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
        if value > 1 << 63 {
            return None;
        }
    }
    Some((value, rest))
}

/// The digits of a fraction, by what to divide them, and what follows. Digits that no longer fit are dropped.
fn leading_fraction(text: &[u8]) -> (u64, f64, &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let (mut value, mut scale): (u64, f64) = (0, 1.0);
    for digit in digits {
        let next = value.checked_mul(10).and_then(|value| value.checked_add(u64::from(digit - b'0')));
        let Some(next) = next.filter(|next| *next <= 1 << 63) else { break };
        value = next;
        scale *= 10.0;
    }
    (value, scale, rest)
}

/// A duration argument: an object, or a literal of an integer.
pub(crate) fn argument(value: Option<&Value>) -> Duration {
    Duration(value.and_then(|value| value.plain().as_int()).unwrap_or_default())
}

/// The type of a parameter that is a duration.
pub(crate) const PARAM: Param = Param::NamedInt("time.Duration");

impl Object for Duration {
    fn type_name(&self) -> Cow<'static, str> {
        "time.Duration".into()
    }

    fn shape(&self) -> Shape {
        Shape::Struct
    }

    fn method(&self, name: &str) -> Option<Method> {
        Some(match name {
            "Abs" | "Hours" | "Microseconds" | "Milliseconds" | "Minutes" | "Nanoseconds" | "Seconds"
            | "String" => Method::new(&[]),
            "Round" | "Truncate" => Method::new(&[PARAM]),
            _ => return None,
        })
    }

    fn call(&self, name: &str, args: &[Value]) -> Result<Value, FuncError> {
        let multiple = argument(args.first());
        Ok(match name {
            "Abs" => Value::object(Self(self.0.saturating_abs())),
            "Hours" => Value::Float(self.count(Self::HOUR)),
            "Microseconds" => Value::int64(self.0 / 1_000),
            "Milliseconds" => Value::int64(self.0 / 1_000_000),
            "Minutes" => Value::Float(self.count(Self::MINUTE)),
            "Nanoseconds" => Value::int64(self.0),
            "Seconds" => Value::Float(self.count(Self::SECOND)),
            "String" => Value::from(self.to_string()),
            "Round" => Value::object(self.round(multiple)),
            "Truncate" => Value::object(self.truncate(multiple)),
            _ => return Err(FuncError::new(format!("no method {name}"))),
        })
    }

    fn text(&self) -> Option<Vec<u8>> {
        Some(self.to_string().into_bytes())
    }

    fn underlying(&self) -> Option<Value> {
        Some(Value::int64(self.0))
    }

    fn as_any(&self) -> Option<&dyn std::any::Any> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        for (text, nanoseconds, again) in [
            ("0", 0, "0s"),
            ("-0", 0, "0s"),
            ("1h", 3_600_000_000_000, "1h0m0s"),
            ("1.5h", 5_400_000_000_000, "1h30m0s"),
            ("-1m.5s", -60_500_000_000, "-1m0.5s"),
            ("+5s3ns", 5_000_000_003, "5.000000003s"),
            ("1500us", 1_500_000, "1.5ms"),
            ("1µs", 1_000, "1µs"),
            ("1μs1ns", 1_001, "1.001µs"),
            ("9223372036854775807ns", i64::MAX, "2562047h47m16.854775807s"),
            ("-9223372036854775808ns", i64::MIN, "-2562047h47m16.854775808s"),
            ("0.100000000000000000000h", 360_000_000_000, "6m0s"),
        ] {
            let duration = Duration::parse(text.as_bytes()).unwrap();
            assert_eq!((duration.0, duration.to_string().as_str()), (nanoseconds, again), "{text}");
        }
    }

    #[test]
    fn refuses_as_go_does() {
        for (text, why) in [
            ("", r#"time: invalid duration """#),
            ("-", r#"time: invalid duration "-""#),
            ("x", r#"time: invalid duration "x""#),
            (".s", r#"time: invalid duration ".s""#),
            ("5", r#"time: missing unit in duration "5""#),
            ("5d", r#"time: unknown unit "d" in duration "5d""#),
            ("5é\"", r#"time: unknown unit "\xc3\xa9\"" in duration "5\xc3\xa9\"""#),
            ("9223372036854775808ns", r#"time: invalid duration "9223372036854775808ns""#),
            ("99999999999999999999h", r#"time: invalid duration "99999999999999999999h""#),
            ("2562048h", r#"time: invalid duration "2562048h""#),
        ] {
            assert_eq!(Duration::parse(text.as_bytes()).unwrap_err(), why, "{text}");
        }
    }

    #[test]
    fn rounds_halves_away_from_zero() {
        let round = |value, multiple| Duration(value).round(Duration(multiple)).0;
        assert_eq!((round(5, 10), round(-5, 10), round(4, 10), round(-14, 10)), (10, -10, 0, -10));
        assert_eq!((round(7, 0), round(7, -3)), (7, 7));
        assert_eq!((round(i64::MAX, 1_000), round(i64::MIN, 1_000)), (i64::MAX, i64::MIN));
    }
}
