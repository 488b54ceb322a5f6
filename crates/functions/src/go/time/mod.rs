//! `time.Time`: an instant with a zone. Every `i64` of seconds is one; sums wrap or stop where Go's do.

mod object;
mod zone;

pub(crate) use object::PARAM;
pub use zone::Zone;

use super::duration::Duration;
use super::layout::{self, RFC3339_NANO};

/// Seconds from the year 1 to 1970.
const UNIX_TO_INTERNAL: i64 = 62_135_596_800;
const DAY: i64 = 86_400;
/// Days from the first one that Go can tell to 1970. Times before it count from the other end.
const EPOCH_DAY: i64 = 292_277_022_400 / 400 * 146_097 + 306 + 719_162;

/// An instant, to the nanosecond, and the zone it is shown in.
#[derive(Clone, Debug)]
pub struct Time {
    unix: i64,
    nanosecond: u32,
    zone: Zone,
}

/// Date and clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    /// From 1.
    pub(crate) month: i64,
    pub(crate) day: i64,
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
    /// From 1.
    pub(crate) year_day: i64,
    /// From Sunday, which is 0.
    pub(crate) weekday: i64,
}

impl Default for Time {
    /// The zero `time.Time`: the first second of the year 1.
    fn default() -> Self {
        Self::new(-UNIX_TO_INTERNAL, 0, Zone::Utc)
    }
}

impl From<jiff::Timestamp> for Time {
    /// In UTC.
    fn from(timestamp: jiff::Timestamp) -> Self {
        let nanoseconds = timestamp.as_nanosecond();
        let (unix, rest) = (nanoseconds.div_euclid(1_000_000_000), nanoseconds.rem_euclid(1_000_000_000));
        Self::new(unix as i64, rest as u32, Zone::Utc)
    }
}

impl Time {
    /// Seconds since 1970 and nanoseconds, of which a second has a thousand million.
    pub fn new(unix: i64, nanosecond: u32, zone: Zone) -> Self {
        Self { unix, nanosecond: nanosecond.min(999_999_999), zone }
    }

    /// The evaluation's time in the local zone.
    pub fn now() -> Self {
        Self::from(crate::surroundings::now()).in_zone(Zone::Local)
    }

    /// The same instant in another zone.
    #[must_use]
    pub fn in_zone(self, zone: Zone) -> Self {
        Self { zone, ..self }
    }

    /// Seconds since 1970.
    pub fn unix(&self) -> i64 {
        self.unix
    }

    /// The part of a second.
    pub fn nanosecond(&self) -> u32 {
        self.nanosecond
    }

    /// The zone it is shown in.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// As `layout` describes it.
    pub fn format(&self, layout: &[u8]) -> Vec<u8> {
        layout::format(self, layout)
    }

    /// As JSON, YAML and TOML have it: RFC 3339 with what there is of a second.
    ///
    /// # Errors
    /// Go's text, for years and zones that this form cannot tell.
    pub fn rfc3339(&self) -> Result<String, &'static str> {
        let (_, offset) = self.zone.lookup(self.unix);
        let year = self.civil_at(offset).year;
        if !(0..=9999).contains(&year) {
            return Err("year outside of range [0,9999]");
        }
        if (offset / 3600).abs() > 23 {
            return Err("timezone hour outside of range [0,23]");
        }
        Ok(String::from_utf8_lossy(&self.format(RFC3339_NANO)).into_owned())
    }

    pub(crate) fn civil(&self) -> Civil {
        self.civil_at(self.zone.lookup(self.unix).1)
    }

    /// Date and clock so many seconds east of UTC.
    pub(crate) fn civil_at(&self, offset: i64) -> Civil {
        let since_first = self.unix.wrapping_add(offset).wrapping_add(EPOCH_DAY * DAY) as u64;
        let (days, rest) = ((since_first / DAY as u64) as i64 - EPOCH_DAY, (since_first % DAY as u64) as i64);
        let (year, month, day) = date_of(days);
        Civil {
            year,
            month,
            day,
            hour: rest / 3600,
            minute: rest / 60 % 60,
            second: rest % 60,
            year_day: days - days_before(year.into(), 1) as i64 + 1,
            weekday: (days + 4).rem_euclid(7),
        }
    }

    /// The instant at which a zone shows this; months, days and clock may be out of their ranges.
    pub(crate) fn from_civil(civil: Civil, nanosecond: u32, zone: Zone) -> Self {
        let Civil { year, month, day, hour, minute, second, .. } = civil;
        let months = i128::from(month) - 1;
        let first = days_before(i128::from(year) + months.div_euclid(12), months.rem_euclid(12) + 1);
        let seconds = i128::from(hour) * 3600 + i128::from(minute) * 60 + i128::from(second);
        let unix = ((first + i128::from(day) - 1) * i128::from(DAY) + seconds) as i64;
        // The offset is first looked up as if the zone were UTC, and again if that was near a change.
        let mut offset = zone.lookup(unix).1;
        if offset != 0 {
            offset = zone.lookup(unix.wrapping_sub(offset)).1;
        }
        Self::new(unix.wrapping_sub(offset), nanosecond, zone)
    }

    /// Seconds since the year 1, by which Go orders.
    fn internal(&self) -> i64 {
        self.unix.wrapping_add(UNIX_TO_INTERNAL)
    }

    fn key(&self) -> (i64, u32) {
        (self.internal(), self.nanosecond)
    }

    /// Nanoseconds since the year 1.
    fn absolute(&self) -> i128 {
        i128::from(self.internal()) * 1_000_000_000 + i128::from(self.nanosecond)
    }

    /// Later by so many seconds, or the last time that can be told.
    pub(crate) fn plus_seconds(self, seconds: i64) -> Self {
        let limit = if seconds > 0 { i64::MAX } else { -i64::MAX };
        let internal = self.internal().checked_add(seconds).unwrap_or(limit);
        Self { unix: internal.wrapping_sub(UNIX_TO_INTERNAL), ..self }
    }

    /// Later by a duration.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let nanoseconds = i64::from(self.nanosecond) + duration.0 % 1_000_000_000;
        let seconds = duration.0 / 1_000_000_000 + nanoseconds.div_euclid(1_000_000_000);
        let nanosecond = nanoseconds.rem_euclid(1_000_000_000) as u32;
        Self { nanosecond, ..self.plus_seconds(seconds) }
    }

    /// The time from `earlier` to here; at most what a duration holds.
    pub fn since(&self, earlier: &Self) -> Duration {
        let nanoseconds = self.absolute() - earlier.absolute();
        Duration(nanoseconds.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
    }

    /// Later by years, months and days of the calendar; a day that a month lacks runs over into the next.
    fn plus_date(&self, years: i64, months: i64, days: i64) -> Self {
        let civil = self.civil();
        let civil = Civil {
            year: civil.year.wrapping_add(years),
            month: civil.month.wrapping_add(months),
            day: civil.day.wrapping_add(days),
            ..civil
        };
        Self::from_civil(civil, self.nanosecond, self.zone.clone())
    }

    /// How far it is beyond a multiple of `step` since the year 1.
    fn beyond(&self, step: Duration) -> i64 {
        self.absolute().rem_euclid(i128::from(step.0.max(1))) as i64
    }

    fn truncate(&self, step: Duration) -> Self {
        let rest = if step.0 > 0 { self.beyond(step) } else { 0 };
        self.clone().plus(Duration(-rest))
    }

    fn round(&self, step: Duration) -> Self {
        let rest = if step.0 > 0 { self.beyond(step) } else { 0 };
        let up = i128::from(rest) * 2 >= i128::from(step.0) && step.0 > 0;
        self.clone().plus(Duration(if up { step.0 - rest } else { -rest }))
    }
}

/// Days from 1970 to the first of a month of the Gregorian calendar.
fn days_before(year: i128, month: i128) -> i128 {
    // Counted from March, so that a leap day is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (153 * month + 2) / 5
        - 719_468
}

/// Year, month and day, so many days from 1970.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (cycle, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = year + cycle * 400;
    if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
}

/// How many days a month has.
pub(crate) fn days_in(month: i64, year: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calendar_and_back() {
        for days in (-800_000..800_000).step_by(97).chain([-719_528, -1, 0, 59, 60, 11_016]) {
            let (year, month, day) = date_of(days);
            assert_eq!(days_before(year.into(), month.into()) + i128::from(day) - 1, days.into());
            assert!((1..=days_in(month, year)).contains(&day));
        }
        assert_eq!(date_of(11_016), (2000, 2, 29));
    }

    #[test]
    fn the_ends_of_time() {
        let text = |unix| String::from_utf8(Time::new(unix, 0, Zone::Utc).format(b"2006-01-02 06")).unwrap();
        assert_eq!(text(i64::MAX), "292277026596-12-04 96");
        assert_eq!(text(i64::MIN), "292277026596-12-04 96");
        let last = Time::new(i64::MAX, 999_999_999, Zone::Utc);
        let first = Time::new(i64::MIN, 0, Zone::Utc);
        for time in [&last, &first] {
            for duration in [i64::MIN, -1, 0, 1, i64::MAX].map(Duration) {
                let _ = (time.clone().plus(duration), time.round(duration), time.truncate(duration));
            }
            let _ = (time.plus_date(i64::MAX, i64::MIN, i64::MAX), time.since(&last), time.since(&first));
        }
    }
}
