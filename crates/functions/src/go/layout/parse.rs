//! `time.Parse`: a text read by a layout.

use super::{Fraction, MONTHS, Offset, Piece, WEEKDAYS, next_chunk, quoted};
use crate::go::duration::leading_int;
use crate::go::time::{Civil, Time, Zone, days_in};

/// `time.Parse`: without a zone in the text the time is UTC.
///
/// # Errors
/// Go's text.
pub fn parse(layout: &[u8], text: &[u8]) -> Result<Time, String> {
    parse_in(layout, text, Zone::Utc)
}

/// `time.ParseInLocation` with `time.Local`: without a zone in the text the time is local.
///
/// # Errors
/// Go's text.
pub fn parse_in_local(layout: &[u8], text: &[u8]) -> Result<Time, String> {
    parse_in(layout, text, Zone::Local)
}

/// Why a piece was not read.
enum Fault {
    /// Not in the piece's form.
    Form,
    /// In its form, but this is too much: `hour`.
    Range(&'static str),
}

type Read<T> = Result<T, Fault>;

/// What has been read so far.
#[derive(Default)]
struct Reader<'a> {
    rest: &'a [u8],
    year: i64,
    month: Option<i64>,
    day: Option<i64>,
    year_day: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    nanosecond: u32,
    /// `Some(true)` for PM.
    afternoon: Option<bool>,
    utc: bool,
    offset: Option<i64>,
    zone_name: &'a [u8],
}

fn parse_in(layout: &[u8], text: &[u8], default: Zone) -> Result<Time, String> {
    let mut reader = Reader { rest: text, ..Reader::default() };
    let out_of_form = |part: &[u8], piece: &[u8]| {
        let (text, layout) = (quoted(text), quoted(layout));
        format!("parsing time {text} as {layout}: cannot parse {} as {}", quoted(part), quoted(piece))
    };
    let fault = |what: &str| format!("parsing time {}: {what}", quoted(text));
    let mut rest = layout;
    loop {
        let chunk = next_chunk(rest);
        if !reader.skip(chunk.before) {
            return Err(out_of_form(reader.rest, chunk.before));
        }
        let Some((piece, written)) = chunk.piece else {
            if reader.rest.is_empty() {
                break;
            }
            return Err(fault(&format!("extra text: {}", quoted(reader.rest))));
        };
        rest = chunk.rest;
        let before = reader.rest;
        match reader.piece(piece, rest) {
            Ok(()) => {}
            Err(Fault::Form) => return Err(out_of_form(before, written)),
            Err(Fault::Range(what)) => return Err(fault(&format!("{what} out of range"))),
        }
    }
    let civil = reader.civil().map_err(fault)?;
    Ok(reader.time(civil, default))
}

impl<'a> Reader<'a> {
    /// Takes what stands for itself; a run of spaces equals any other. False where the text differs: what is
    /// left is then where it does.
    fn skip(&mut self, mut prefix: &[u8]) -> bool {
        while let Some((&wanted, behind)) = prefix.split_first() {
            if wanted == b' ' {
                if self.rest.first().is_some_and(|found| *found != b' ') {
                    return false;
                }
                prefix = cut_spaces(prefix);
                self.rest = cut_spaces(self.rest);
                continue;
            }
            match self.rest.split_first() {
                Some((&found, rest)) if found == wanted => (prefix, self.rest) = (behind, rest),
                _ => return false,
            }
        }
        true
    }

    /// Takes one piece; `follows` is the layout behind it.
    fn piece(&mut self, piece: Piece, follows: &[u8]) -> Read<()> {
        match piece {
            Piece::Year => {
                let year = signed(self.take(2)?).ok_or(Fault::Form)?;
                // As Unix time does not begin before it.
                self.year = if year >= 69 { year + 1900 } else { year + 2000 };
            }
            Piece::LongYear => {
                if !self.rest.first().is_some_and(u8::is_ascii_digit) {
                    return Err(Fault::Form);
                }
                self.year = signed(self.take(4)?).ok_or(Fault::Form)?;
            }
            Piece::Month => self.month = Some(self.name(MONTHS.map(short))?),
            Piece::LongMonth => self.month = Some(self.name(MONTHS)?),
            Piece::NumMonth | Piece::ZeroMonth => {
                let month = self.number(2, piece == Piece::ZeroMonth)?;
                self.month = Some(month);
                in_range(month, 1, 12, "month")?;
            }
            // Only its form matters.
            Piece::Weekday => {
                self.name(WEEKDAYS.map(short))?;
            }
            Piece::LongWeekday => {
                self.name(WEEKDAYS)?;
            }
            Piece::Day | Piece::UnderDay | Piece::ZeroDay => {
                if piece == Piece::UnderDay {
                    self.space();
                }
                self.day = Some(self.number(2, piece == Piece::ZeroDay)?);
            }
            Piece::UnderYearDay | Piece::ZeroYearDay => {
                if piece == Piece::UnderYearDay {
                    self.space();
                    self.space();
                }
                self.year_day = Some(self.number(3, piece == Piece::ZeroYearDay)?);
            }
            Piece::Hour => {
                self.hour = self.number(2, false)?;
                in_range(self.hour, 0, 23, "hour")?;
            }
            Piece::Hour12 | Piece::ZeroHour12 => {
                self.hour = self.number(2, piece == Piece::ZeroHour12)?;
                in_range(self.hour, 0, 12, "hour")?;
            }
            Piece::Minute | Piece::ZeroMinute => {
                self.minute = self.number(2, piece == Piece::ZeroMinute)?;
                in_range(self.minute, 0, 59, "minute")?;
            }
            Piece::Second | Piece::ZeroSecond => {
                self.second = self.number(2, piece == Piece::ZeroSecond)?;
                in_range(self.second, 0, 59, "second")?;
                // A fraction may stand behind the seconds even where the layout has none.
                if !matches!(next_chunk(follows).piece, Some((Piece::Fraction(_), _))) {
                    self.optional_fraction()?;
                }
            }
            Piece::UpperPm | Piece::LowerPm => {
                let upper = piece == Piece::UpperPm;
                self.afternoon = Some(match (self.take(2)?, upper) {
                    (b"PM", true) | (b"pm", false) => true,
                    (b"AM", true) | (b"am", false) => false,
                    _ => return Err(Fault::Form),
                });
            }
            Piece::ZoneName => match self.rest.strip_prefix(b"UTC") {
                Some(rest) => (self.utc, self.rest) = (true, rest),
                None => self.zone_name = self.take(zone_name_length(self.rest).ok_or(Fault::Form)?)?,
            },
            Piece::Offset(form) => match self.rest.split_first() {
                Some((b'Z', rest)) if form.z => (self.utc, self.rest) = (true, rest),
                _ => self.offset = Some(self.offset(form)?),
            },
            Piece::Fraction(Fraction { digits, trim: false, .. }) => {
                let text = self.take(1 + digits)?;
                self.nanosecond = nanoseconds(text)?;
            }
            Piece::Fraction(_) => self.optional_fraction()?,
        }
        Ok(())
    }

    fn take(&mut self, count: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Fault::Form)?;
        self.rest = rest;
        Ok(taken)
    }

    fn space(&mut self) {
        self.rest = self.rest.strip_prefix(b" ").unwrap_or(self.rest);
    }

    /// Up to `most` digits, at least one, or exactly so many.
    fn number(&mut self, most: usize, exactly: bool) -> Read<i64> {
        let count = self.rest.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 || exactly && count != most {
            return Err(Fault::Form);
        }
        signed(self.take(count)?).ok_or(Fault::Form)
    }

    /// One of the names in any case, as its place counted from 1.
    fn name<'n>(&mut self, names: impl IntoIterator<Item = &'n str>) -> Read<i64> {
        for (place, name) in (1..).zip(names) {
            if let Some((head, rest)) = self.rest.split_at_checked(name.len())
                && head.eq_ignore_ascii_case(name.as_bytes())
            {
                self.rest = rest;
                return Ok(place);
            }
        }
        Err(Fault::Form)
    }

    fn optional_fraction(&mut self) -> Read<()> {
        if let [b'.' | b',', b'0'..=b'9', ..] = self.rest {
            let digits = self.rest.iter().skip(1).take_while(|byte| byte.is_ascii_digit()).count();
            self.nanosecond = nanoseconds(self.take(1 + digits)?)?;
        }
        Ok(())
    }

    fn offset(&mut self, form: Offset) -> Read<i64> {
        let parts = usize::from(form.parts);
        let step = if form.colon { 3 } else { 2 };
        let text = self.take(1 + step * parts - (step - 2))?;
        let (sign, text) = text.split_first().ok_or(Fault::Form)?;
        if form.colon && text.chunks(step).any(|part| part.get(2).is_some_and(|byte| *byte != b':')) {
            return Err(Fault::Form);
        }
        let mut values = [0; 3];
        let mut readable = true;
        for (value, part) in values.iter_mut().zip(text.chunks(step)) {
            match part {
                [ten @ b'0'..=b'9', one @ b'0'..=b'9', ..] => {
                    *value = i64::from(ten - b'0') * 10 + i64::from(one - b'0');
                }
                _ => {
                    readable = false;
                    break;
                }
            }
        }
        let [hours, minutes, seconds] = values;
        // Offsets of 24 hours, 60 minutes and 60 seconds are written by some. The last fault is the one told.
        in_range(seconds, 0, 60, "time zone offset second")?;
        in_range(minutes, 0, 60, "time zone offset minute")?;
        in_range(hours, 0, 24, "time zone offset hour")?;
        let total = (hours * 60 + minutes) * 60 + seconds;
        match sign {
            _ if !readable => Err(Fault::Form),
            b'+' => Ok(total),
            b'-' => Ok(-total),
            _ => Err(Fault::Form),
        }
    }

    /// Date and clock, checked against each other.
    fn civil(&self) -> Result<Civil, &'static str> {
        let mut hour = self.hour;
        match self.afternoon {
            Some(true) if hour < 12 => hour += 12,
            Some(false) if hour == 12 => hour = 0,
            _ => {}
        }
        let (mut month, mut day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
        if let Some(mut left) = self.year_day {
            let mut counted = 1;
            while counted <= 12 && left > days_in(counted, self.year) {
                left -= days_in(counted, self.year);
                counted += 1;
            }
            if left < 1 || counted > 12 {
                return Err("day-of-year out of range");
            }
            if self.month.is_some_and(|month| month != counted) {
                return Err("day-of-year does not match month");
            }
            if self.day.is_some_and(|day| day != left) {
                return Err("day-of-year does not match day");
            }
            (month, day) = (counted, left);
        }
        if day < 1 || day > days_in(month, self.year) {
            return Err("day out of range");
        }
        let Self { year, minute, second, .. } = *self;
        Ok(Civil { year, month, day, hour, minute, second, ..Civil::default() })
    }

    fn time(&self, civil: Civil, default: Zone) -> Time {
        if self.utc {
            return Time::from_civil(civil, self.nanosecond, Zone::Utc);
        }
        let utc = Time::from_civil(civil, self.nanosecond, Zone::Utc);
        // Zones are looked for where the process is, whatever the default.
        if let Some(offset) = self.offset
            // Go's mark for none.
            && offset != -1
        {
            let time = utc.plus_seconds(-offset);
            let (name, local) = Zone::Local.lookup(time.unix());
            if local == offset && (self.zone_name.is_empty() || name == self.zone_name) {
                return time.in_zone(Zone::Local);
            }
            return time.in_zone(Zone::fixed(self.zone_name, offset));
        }
        if !self.zone_name.is_empty() {
            if let Some(offset) = Zone::Local.lookup_name(self.zone_name, utc.unix()) {
                return utc.plus_seconds(-offset).in_zone(Zone::Local);
            }
            let hours = self.zone_name.strip_prefix(b"GMT").and_then(signed).unwrap_or(0);
            return utc.in_zone(Zone::fixed(self.zone_name, hours.wrapping_mul(3600)));
        }
        Time::from_civil(civil, self.nanosecond, default)
    }
}

/// The abbreviation of a month or day.
fn short(name: &'static str) -> &'static str {
    name.get(..3).unwrap_or(name)
}

/// Without the spaces at the start.
fn cut_spaces(text: &[u8]) -> &[u8] {
    let spaces = text.iter().take_while(|byte| **byte == b' ').count();
    text.get(spaces..).unwrap_or_default()
}

fn in_range(value: i64, least: i64, most: i64, what: &'static str) -> Read<()> {
    if (least..=most).contains(&value) { Ok(()) } else { Err(Fault::Range(what)) }
}

/// A whole number with or without a sign, and nothing else. No digits at all are zero, as in Go.
fn signed(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let (value, rest) = leading_int(digits)?;
    let value = value as i64;
    rest.is_empty().then_some(if negative { value.wrapping_neg() } else { value })
}

/// `.5` and the like, beginning with the point; digits behind the ninth are not looked at.
fn nanoseconds(text: &[u8]) -> Read<u32> {
    let [b'.' | b',', digits @ ..] = text else { return Err(Fault::Form) };
    let digits = digits.get(..9).unwrap_or(digits);
    let mut value = signed(digits).ok_or(Fault::Form)?;
    if value < 0 {
        return Err(Fault::Range("fractional second"));
    }
    for _ in digits.len()..9 {
        value *= 10;
    }
    u32::try_from(value).map_err(|_| Fault::Form)
}

/// How many bytes at the start look like the abbreviation of a zone.
fn zone_name_length(text: &[u8]) -> Option<usize> {
    if text.len() < 3 {
        return None;
    }
    if text.starts_with(b"ChST") || text.starts_with(b"MeST") {
        return Some(4);
    }
    if let Some(rest) = text.strip_prefix(b"GMT") {
        return Some(3 + signed_hours_length(rest).unwrap_or(0));
    }
    if matches!(text.first(), Some(b'+' | b'-')) {
        return signed_hours_length(text);
    }
    match text.iter().take(6).take_while(|byte| byte.is_ascii_uppercase()).count() {
        3 => Some(3),
        4 if text.get(3) == Some(&b'T') || text.starts_with(b"WITA") => Some(4),
        5 if text.get(4) == Some(&b'T') => Some(5),
        _ => None,
    }
}

/// The length of a sign and a number up to 23.
fn signed_hours_length(text: &[u8]) -> Option<usize> {
    let [b'+' | b'-', digits @ ..] = text else { return None };
    let (hours, rest) = leading_int(digits)?;
    (rest.len() < digits.len() && hours <= 23).then(|| text.len() - rest.len())
}
