//! Times in Go's way of describing them: by the example `Mon Jan 2 15:04:05 MST 2006`.

use std::fmt::Write as _;

use jiff::Zoned;
use jiff::civil::Weekday;

/// The pieces of a layout, the longer before what they begin with.
const PIECES: &[&str] = &[
    "January",
    "Jan",
    "Monday",
    "Mon",
    "MST",
    "2006",
    "-07:00:00",
    "-070000",
    "-07:00",
    "-0700",
    "-07",
    "Z07:00:00",
    "Z070000",
    "Z07:00",
    "Z0700",
    "Z07",
    "002",
    "01",
    "02",
    "03",
    "04",
    "05",
    "06",
    "15",
    "PM",
    "pm",
    "__2",
    "_2006",
    "_2",
    "1",
    "2",
    "3",
    "4",
    "5",
];

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// `time` as `layout` describes it.
pub fn format(time: &Zoned, layout: &str) -> String {
    let mut out = String::with_capacity(layout.len() + 8);
    let mut rest = layout;
    while !rest.is_empty() {
        if let Some(length) = fraction_length(rest) {
            fraction(time, &rest[..length], &mut out);
            rest = &rest[length..];
            continue;
        }
        match PIECES.iter().find(|piece| is_piece(rest, piece)) {
            Some(piece) => {
                write_piece(time, piece, &mut out);
                rest = &rest[piece.len()..];
            }
            None => {
                let length = rest.chars().next().map_or(1, char::len_utf8);
                out.push_str(&rest[..length]);
                rest = &rest[length..];
            }
        }
    }
    out
}

/// `Jan` counts only where no lower-case letter follows, so that `January` and `Janet` are not cut.
fn is_piece(rest: &str, piece: &str) -> bool {
    let follows = rest.as_bytes().get(piece.len());
    rest.starts_with(piece)
        && !(matches!(piece, "Jan" | "Mon") && follows.is_some_and(u8::is_ascii_lowercase))
}

/// `.000`, `,999` and so on: a point or comma, equal digits, no digit behind.
fn fraction_length(rest: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    let digit = *bytes.get(1)?;
    if !matches!(bytes[0], b'.' | b',') || !matches!(digit, b'0' | b'9') {
        return None;
    }
    let count = bytes[1..].iter().take_while(|b| **b == digit).count();
    (!bytes.get(1 + count).is_some_and(u8::is_ascii_digit)).then_some(1 + count)
}

fn fraction(time: &Zoned, piece: &str, out: &mut String) {
    let count = (piece.len() - 1).min(9);
    let digits = format!("{:09}", time.subsec_nanosecond());
    let mut digits = &digits[..count];
    if piece.as_bytes()[1] == b'9' {
        digits = digits.trim_end_matches('0');
        if digits.is_empty() {
            return;
        }
    }
    out.push_str(&piece[..1]);
    out.push_str(digits);
}

fn write_piece(time: &Zoned, piece: &str, out: &mut String) {
    let hour12 = match time.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    let month = MONTHS[usize::from(time.month().unsigned_abs()).saturating_sub(1) % 12];
    let weekday = match time.weekday() {
        Weekday::Monday => "Monday",
        Weekday::Tuesday => "Tuesday",
        Weekday::Wednesday => "Wednesday",
        Weekday::Thursday => "Thursday",
        Weekday::Friday => "Friday",
        Weekday::Saturday => "Saturday",
        Weekday::Sunday => "Sunday",
    };
    let _ = match piece {
        "January" => write!(out, "{month}"),
        "Jan" => write!(out, "{}", &month[..3]),
        "01" => write!(out, "{:02}", time.month()),
        "1" => write!(out, "{}", time.month()),
        "Monday" => write!(out, "{weekday}"),
        "Mon" => write!(out, "{}", &weekday[..3]),
        "2" => write!(out, "{}", time.day()),
        "02" => write!(out, "{:02}", time.day()),
        "_2" => write!(out, "{:>2}", time.day()),
        "_2006" => write!(out, "_{:04}", time.year()),
        "002" => write!(out, "{:03}", time.day_of_year()),
        "__2" => write!(out, "{:>3}", time.day_of_year()),
        "15" => write!(out, "{:02}", time.hour()),
        "03" => write!(out, "{hour12:02}"),
        "3" => write!(out, "{hour12}"),
        "04" => write!(out, "{:02}", time.minute()),
        "4" => write!(out, "{}", time.minute()),
        "05" => write!(out, "{:02}", time.second()),
        "5" => write!(out, "{}", time.second()),
        "2006" => write!(out, "{:04}", time.year()),
        "06" => write!(out, "{:02}", time.year().rem_euclid(100)),
        "PM" => write!(out, "{}", if time.hour() < 12 { "AM" } else { "PM" }),
        "pm" => write!(out, "{}", if time.hour() < 12 { "am" } else { "pm" }),
        "MST" => write!(out, "{}", time.strftime("%Z")),
        zone => {
            offset(time, zone, out);
            Ok(())
        }
    };
}

fn offset(time: &Zoned, piece: &str, out: &mut String) {
    let seconds = time.offset().seconds();
    if piece.starts_with('Z') && seconds == 0 {
        out.push('Z');
        return;
    }
    let (sign, total) = (if seconds < 0 { '-' } else { '+' }, seconds.unsigned_abs());
    let colon = if piece.contains(':') { ":" } else { "" };
    let digits = piece.bytes().filter(u8::is_ascii_digit).count();
    let _ = write!(out, "{sign}{:02}", total / 3600);
    if digits >= 4 {
        let _ = write!(out, "{colon}{:02}", total / 60 % 60);
    }
    if digits >= 6 {
        let _ = write!(out, "{colon}{:02}", total % 60);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(zone: &str) -> Zoned {
        let instant: jiff::Timestamp = "2026-02-03T04:05:06.078Z".parse().unwrap();
        instant.to_zoned(jiff::tz::TimeZone::get(zone).unwrap())
    }

    #[test]
    fn layouts_are_examples() {
        let utc = at("UTC");
        for (layout, text) in [
            ("2006-01-02T15:04:05Z07:00", "2026-02-03T04:05:06Z"),
            ("Mon Jan _2 15:04:05 MST 2006", "Tue Feb  3 04:05:06 UTC 2026"),
            ("Monday, 02-Jan-06 3:4:5 PM", "Tuesday, 03-Feb-26 4:5:6 AM"),
            ("15:04:05.000", "04:05:06.078"),
            ("15:04:05.999999", "04:05:06.078"),
            ("15:04:05.00", "04:05:06.07"),
            ("002 __2 Janet", "034  34 Janet"),
            ("plain text", "plain text"),
            ("", ""),
        ] {
            assert_eq!(format(&utc, layout), text, "{layout}");
        }
        assert_eq!(format(&at("Asia/Kolkata"), "-07:00 -0700 Z07:00"), "+05:30 +0530 +05:30");
    }
}
