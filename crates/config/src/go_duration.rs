//! Go's durations: `1h2m3.5s` read and written, and the looser form configuration keys take.

use std::fmt;
use std::time::Duration;

/// A duration as Go holds it: whole nanoseconds, negative ones included.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct GoDuration(i64);

/// Names of units with their nanoseconds. Both micro signs (U+00B5, U+03BC) are legal.
const UNITS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3600 * SECOND),
];

const SECOND: u64 = 1_000_000_000;

impl GoDuration {
    /// So many nanoseconds.
    pub fn from_nanoseconds(nanoseconds: i64) -> Self {
        Self(nanoseconds)
    }

    /// So many seconds; the longest Go duration (292 years) when they are too many.
    pub fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds.
    pub fn nanoseconds(self) -> i64 {
        self.0
    }

    /// As a `Duration`, if it is longer than nothing.
    pub fn positive(self) -> Option<Duration> {
        u64::try_from(self.0).ok().filter(|n| *n > 0).map(Duration::from_nanos)
    }

    /// Go's own syntax: numbers with units, `0` alone without.
    ///
    /// # Errors
    /// Worded as Go's `time.ParseDuration` words them.
    pub fn parse(text: &str) -> Result<Self, String> {
        let invalid = || format!("time: invalid duration {text:?}");
        let (negative, mut rest) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        if rest == "0" {
            return Ok(Self(0));
        }
        if rest.is_empty() {
            return Err(invalid());
        }
        // One more than i64::MAX is legal behind a minus.
        const MOST: u64 = 1 << 63;
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let whole = digits(rest);
            rest = &rest[whole.len()..];
            let fraction = rest.strip_prefix('.').map_or("", digits);
            if whole.is_empty() && fraction.is_empty() {
                return Err(invalid());
            }
            if rest.starts_with('.') {
                rest = &rest[1 + fraction.len()..];
            }
            let end = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
            let (unit, after) = rest.split_at(end);
            if unit.is_empty() {
                return Err(format!("time: missing unit in duration {text:?}"));
            }
            let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
                return Err(format!("time: unknown unit {unit:?} in duration {text:?}"));
            };
            let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
            let part = whole.checked_mul(*scale).and_then(|n| n.checked_add(fraction_of(fraction, *scale)));
            total =
                part.and_then(|n| total.checked_add(n)).filter(|total| *total <= MOST).ok_or_else(invalid)?;
            rest = after;
        }
        match (negative, i64::try_from(total)) {
            (false, Ok(total)) => Ok(Self(total)),
            (true, Ok(total)) => Ok(Self(-total)),
            (true, Err(_)) => Ok(Self(i64::MIN)),
            (false, Err(_)) => Err(invalid()),
        }
    }

    /// What configuration keys take: Go's syntax, digits alone for seconds, `7d` for whole days, nothing for 0.
    ///
    /// # Errors
    /// Worded as upstream words them.
    pub fn parse_lax(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(0));
        }
        if let Some(days) = text.strip_suffix('d') {
            return match days.parse::<i64>() {
                Ok(days) => Ok(Self::from_seconds(days.saturating_mul(24 * 3600))),
                Err(_) => Err(format!("strconv.ParseInt: parsing {days:?}: invalid syntax")),
            };
        }
        match text.parse::<i64>() {
            Ok(seconds) => Ok(Self::from_seconds(seconds)),
            Err(_) => Self::parse(text),
        }
    }
}

fn digits(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    &text[..end]
}

/// `scale * 0.fraction`, rounded down. Digits behind the fifteenth are finer than a nanosecond of an hour.
fn fraction_of(fraction: &str, scale: u64) -> u64 {
    let kept = &fraction[..fraction.len().min(15)];
    let Ok(number) = kept.parse::<u128>() else { return 0 };
    let tens = 10u128.pow(u32::try_from(kept.len()).unwrap_or(0));
    u64::try_from(number * u128::from(scale) / tens).unwrap_or(0)
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.0.unsigned_abs();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        match total {
            0 => f.write_str("0s"),
            1..1_000 => write!(f, "{total}ns"),
            1_000..1_000_000 => write!(f, "{}µs", decimal(total, 1_000)),
            1_000_000..SECOND => write!(f, "{}ms", decimal(total, 1_000_000)),
            _ => {
                let minutes = total / (60 * SECOND);
                if minutes >= 60 {
                    write!(f, "{}h", minutes / 60)?;
                }
                if minutes > 0 {
                    write!(f, "{}m", minutes % 60)?;
                }
                write!(f, "{}s", decimal(total % (60 * SECOND), SECOND))
            }
        }
    }
}

/// `number / unit` with as many decimals as it needs.
fn decimal(number: u64, unit: u64) -> String {
    let width = unit.ilog10() as usize;
    let text = format!("{}.{:0width$}", number / unit, number % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("5s", 5_000_000_000),
            ("+5s", 5_000_000_000),
            ("-1h30m", -5_400_000_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("5µs", 5_000),
            ("5μs", 5_000),
            ("1h1m1.000000001s", 3_661_000_000_001),
            ("2562047h47m16.854775807s", i64::MAX),
            ("-2562047h47m16.854775808s", i64::MIN),
        ] {
            assert_eq!(GoDuration::parse(text), Ok(GoDuration(nanoseconds)), "{text}");
        }
    }

    #[test]
    fn words_errors_as_go_does() {
        for (text, why) in [
            ("", "time: invalid duration \"\""),
            ("xx", "time: invalid duration \"xx\""),
            ("-", "time: invalid duration \"-\""),
            (".s", "time: invalid duration \".s\""),
            ("30", "time: missing unit in duration \"30\""),
            ("1d", "time: unknown unit \"d\" in duration \"1d\""),
            ("5 m", "time: unknown unit \" m\" in duration \"5 m\""),
            ("9999999h", "time: invalid duration \"9999999h\""),
            ("2562047h47m16.854775808s", "time: invalid duration \"2562047h47m16.854775808s\""),
        ] {
            assert_eq!(GoDuration::parse(text), Err(why.to_owned()), "{text}");
        }
    }

    #[test]
    fn configuration_keys_take_seconds_and_days() {
        for (text, seconds) in [("", 0), ("300", 300), ("-5", -5), ("1d", 86_400), ("5m", 300)] {
            assert_eq!(GoDuration::parse_lax(text), Ok(GoDuration::from_seconds(seconds)), "{text}");
        }
        assert_eq!(
            GoDuration::parse_lax("1.5d"),
            Err("strconv.ParseInt: parsing \"1.5\": invalid syntax".to_owned())
        );
    }

    #[test]
    fn what_is_written_reads_back() {
        // Deterministic, spread over all magnitudes and both signs.
        let mut number: u64 = 0x9e37_79b9_7f4a_7c15;
        for round in 0..20_000u32 {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let duration = GoDuration((number >> (round % 64)).cast_signed());
            assert_eq!(GoDuration::parse(&duration.to_string()), Ok(duration), "{duration}");
        }
    }

    #[test]
    fn writes_as_go_does() {
        for (nanoseconds, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (2_000_000, "2ms"),
            (300_000_000_000, "5m0s"),
            (3_600_000_000_000, "1h0m0s"),
            (-1_500_000_000, "-1.5s"),
        ] {
            assert_eq!(GoDuration(nanoseconds).to_string(), text);
        }
    }
}
