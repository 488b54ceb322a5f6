//! Times in Go's way of describing them: by the example `Mon Jan 2 15:04:05 MST 2006`.
//!
//! Layouts and texts are bytes of any kind; what is no piece of the example stands for itself.

mod parse;

pub use parse::{parse, parse_in_local};

use super::time::Time;

/// `time.RFC3339`.
pub const RFC3339: &[u8] = b"2006-01-02T15:04:05Z07:00";
/// `time.RFC3339Nano`.
pub const RFC3339_NANO: &[u8] = b"2006-01-02T15:04:05.999999999Z07:00";

/// What a piece of a layout stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    LongMonth,
    Month,
    NumMonth,
    ZeroMonth,
    LongWeekday,
    Weekday,
    Day,
    UnderDay,
    ZeroDay,
    UnderYearDay,
    ZeroYearDay,
    Hour,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    LongYear,
    Year,
    UpperPm,
    LowerPm,
    ZoneName,
    Offset(Offset),
    Fraction(Fraction),
}

/// A zone as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Offset {
    /// Whether UTC is written `Z`.
    z: bool,
    colon: bool,
    /// Hours alone, with minutes, or with seconds.
    parts: u8,
}

/// Parts of a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fraction {
    digits: usize,
    separator: u8,
    /// Whether zeros at the end are left out.
    trim: bool,
}

/// The pieces that are plain words, the longer before what they begin with.
const WORDS: &[(&str, Piece)] = &[
    ("January", Piece::LongMonth),
    ("Jan", Piece::Month),
    ("Monday", Piece::LongWeekday),
    ("Mon", Piece::Weekday),
    ("MST", Piece::ZoneName),
    ("01", Piece::ZeroMonth),
    ("02", Piece::ZeroDay),
    ("03", Piece::ZeroHour12),
    ("04", Piece::ZeroMinute),
    ("05", Piece::ZeroSecond),
    ("06", Piece::Year),
    ("002", Piece::ZeroYearDay),
    ("15", Piece::Hour),
    ("1", Piece::NumMonth),
    ("2006", Piece::LongYear),
    ("2", Piece::Day),
    ("_2", Piece::UnderDay),
    ("__2", Piece::UnderYearDay),
    ("3", Piece::Hour12),
    ("4", Piece::Minute),
    ("5", Piece::Second),
    ("PM", Piece::UpperPm),
    ("pm", Piece::LowerPm),
    ("-070000", offset(false, false, 3)),
    ("-07:00:00", offset(false, true, 3)),
    ("-0700", offset(false, false, 2)),
    ("-07:00", offset(false, true, 2)),
    ("-07", offset(false, false, 1)),
    ("Z070000", offset(true, false, 3)),
    ("Z07:00:00", offset(true, true, 3)),
    ("Z0700", offset(true, false, 2)),
    ("Z07:00", offset(true, true, 2)),
    ("Z07", offset(true, false, 1)),
];

const fn offset(z: bool, colon: bool, parts: u8) -> Piece {
    Piece::Offset(Offset { z, colon, parts })
}

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

const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// The name of a month, counted from 1; Go's marker for another number.
pub(super) fn month_name(month: i64) -> String {
    usize::try_from(month - 1)
        .ok()
        .and_then(|index| MONTHS.get(index))
        .map_or_else(|| format!("%!Month({month})"), |name| (*name).to_owned())
}

/// The name of a day, counted from Sunday; Go's marker for another number.
pub(super) fn weekday_name(day: i64) -> String {
    usize::try_from(day)
        .ok()
        .and_then(|index| WEEKDAYS.get(index))
        .map_or_else(|| format!("%!Weekday({day})"), |name| (*name).to_owned())
}

/// A layout up to and with its first piece.
struct Chunk<'a> {
    /// What stands for itself.
    before: &'a [u8],
    /// The piece and how it is written; none at the end.
    piece: Option<(Piece, &'a [u8])>,
    rest: &'a [u8],
}

fn next_chunk(layout: &[u8]) -> Chunk<'_> {
    let mut at = 0;
    while let Some(rest) = layout.get(at..).filter(|rest| !rest.is_empty()) {
        // `_2006` is an underscore and a year.
        let found = if rest.starts_with(b"_2006") { None } else { piece_at(rest) };
        if let Some((piece, length)) = found {
            let (text, behind) = rest.split_at(length);
            return Chunk {
                before: layout.get(..at).unwrap_or_default(),
                piece: Some((piece, text)),
                rest: behind,
            };
        }
        at += 1;
    }
    Chunk { before: layout, piece: None, rest: &[] }
}

fn piece_at(rest: &[u8]) -> Option<(Piece, usize)> {
    if let [separator @ (b'.' | b','), digit @ (b'0' | b'9'), ..] = rest {
        let count = rest.iter().skip(1).take_while(|byte| *byte == digit).count();
        if rest.get(1 + count).is_some_and(u8::is_ascii_digit) {
            return None;
        }
        // Go keeps the count in twelve bits.
        let fraction = Fraction { digits: count & 0xfff, separator: *separator, trim: *digit == b'9' };
        return Some((Piece::Fraction(fraction), 1 + count));
    }
    let (word, piece) = WORDS.iter().find(|(word, piece)| {
        let follows = rest.get(word.len());
        rest.starts_with(word.as_bytes())
            // `Janet` and `Month` are no dates.
            && !(matches!(piece, Piece::Month | Piece::Weekday) && follows.is_some_and(u8::is_ascii_lowercase))
    })?;
    Some((*piece, word.len()))
}

/// `time` as `layout` describes it.
pub fn format(time: &Time, layout: &[u8]) -> Vec<u8> {
    let (name, offset) = time.zone().lookup(time.unix());
    let civil = time.civil_at(offset);
    let hour12 = match civil.hour % 12 {
        0 => 12,
        hour => hour,
    };
    let mut out = Vec::with_capacity(layout.len().saturating_add(8));
    let mut rest = layout;
    loop {
        let chunk = next_chunk(rest);
        out.extend_from_slice(chunk.before);
        let Some((piece, _)) = chunk.piece else { break };
        rest = chunk.rest;
        match piece {
            Piece::LongMonth => out.extend(month_name(civil.month).bytes()),
            Piece::Month => out.extend(month_name(civil.month).bytes().take(3)),
            Piece::NumMonth => number(civil.month, 0, &mut out),
            Piece::ZeroMonth => number(civil.month, 2, &mut out),
            Piece::LongWeekday => out.extend(weekday_name(civil.weekday).bytes()),
            Piece::Weekday => out.extend(weekday_name(civil.weekday).bytes().take(3)),
            Piece::Day => number(civil.day, 0, &mut out),
            Piece::UnderDay => out.extend(format!("{:>2}", civil.day).bytes()),
            Piece::ZeroDay => number(civil.day, 2, &mut out),
            Piece::UnderYearDay => out.extend(format!("{:>3}", civil.year_day).bytes()),
            Piece::ZeroYearDay => number(civil.year_day, 3, &mut out),
            Piece::Hour => number(civil.hour, 2, &mut out),
            Piece::Hour12 => number(hour12, 0, &mut out),
            Piece::ZeroHour12 => number(hour12, 2, &mut out),
            Piece::Minute => number(civil.minute, 0, &mut out),
            Piece::ZeroMinute => number(civil.minute, 2, &mut out),
            Piece::Second => number(civil.second, 0, &mut out),
            Piece::ZeroSecond => number(civil.second, 2, &mut out),
            Piece::LongYear => number(civil.year, 4, &mut out),
            Piece::Year => number(civil.year.abs() % 100, 2, &mut out),
            Piece::UpperPm => out.extend_from_slice(if civil.hour >= 12 { b"PM" } else { b"AM" }),
            Piece::LowerPm => out.extend_from_slice(if civil.hour >= 12 { b"pm" } else { b"am" }),
            Piece::ZoneName if name.is_empty() => {
                write_offset(offset, Offset { z: false, colon: false, parts: 2 }, &mut out);
            }
            Piece::ZoneName => out.extend_from_slice(&name),
            Piece::Offset(form) => write_offset(offset, form, &mut out),
            Piece::Fraction(form) => write_fraction(time.nanosecond(), form, &mut out),
        }
    }
    out
}

/// At least `width` digits, behind the sign.
fn number(value: i64, width: usize, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    out.extend(format!("{:0width$}", value.unsigned_abs()).bytes());
}

fn write_offset(offset: i64, form: Offset, out: &mut Vec<u8>) {
    if form.z && offset == 0 {
        out.push(b'Z');
        return;
    }
    // The sign is that of whole minutes: Go writes half a minute west as `+00:00:-30`.
    let minutes = offset / 60;
    out.push(if minutes < 0 { b'-' } else { b'+' });
    let seconds = if minutes < 0 { -offset } else { offset } % 60;
    for (place, part) in [minutes.abs() / 60, minutes.abs() % 60, seconds].into_iter().enumerate() {
        if place >= usize::from(form.parts) {
            break;
        }
        if place > 0 && form.colon {
            out.push(b':');
        }
        number(part, 2, out);
    }
}

fn write_fraction(nanosecond: u32, form: Fraction, out: &mut Vec<u8>) {
    if form.trim && (form.digits == 0 || nanosecond == 0) {
        return;
    }
    let text = format!("{nanosecond:09}");
    let digits = text.get(..form.digits.min(9)).unwrap_or(&text);
    let digits = if form.trim { digits.trim_end_matches('0') } else { digits };
    if !(form.trim && digits.is_empty()) {
        out.push(form.separator);
        out.extend_from_slice(digits.as_bytes());
    }
}

/// As the `time` package quotes in its messages: all but ASCII as `\xNN`.
pub(super) fn quoted(text: &[u8]) -> String {
    let mut out = String::from("\"");
    for &byte in text {
        match byte {
            0..b' ' | 0x80.. => out.push_str(&format!("\\x{byte:02x}")),
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            _ => out.push(char::from(byte)),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests;
