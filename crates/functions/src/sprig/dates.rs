//! Dates and durations.
//!
//! A date argument is a `time.Time` or an integer of seconds since 1970; anything else is now.

use gotemplate::{Func, FuncError, IntKind, Param, Value};

use crate::arguments::{any, bounded, bytes, text};
use crate::go::duration::Duration;
use crate::go::layout;
use crate::go::strconv::nearest_int;
use crate::go::time::{self, Time, Zone};
use crate::{Entry, Profile, entry};

pub(crate) const ENTRIES: &[Entry<()>] = &[
    entry(
        Func::pure("sprig_ago", &[Param::Any], ago),
        "sprig_ago date",
        "The time since then to the second, as a duration; a date ahead gives a negative one.",
        r#"{{ sprig_ago "now" }}"#,
        "0s",
    ),
    entry(
        Func::pure("sprig_date", &[Param::Str, Param::Any], date),
        "sprig_date layout date",
        "The date in the local zone, as Go's example date of 2 January 2006, 15:04:05 is written in the layout.",
        r#"{{ sprig_date "January 2006" 1000000000 }}"#,
        "September 2001",
    )
    .only(Profile::OpenBao),
    entry(
        Func::pure("sprig_dateInZone", &[Param::Str, Param::Any, Param::Str], date_in_zone),
        "sprig_dateInZone layout date zone",
        "The same in a zone of the system's database; one that is not there is taken as UTC.",
        r#"{{ sprig_dateInZone "15:04 MST" 1000000000 "UTC" }}"#,
        "01:46 UTC",
    )
    .only(Profile::OpenBao),
    entry(
        Func::pure("sprig_date_in_zone", &[Param::Str, Param::Any, Param::Str], date_in_zone),
        "sprig_date_in_zone layout date zone",
        "An old name of `sprig_dateInZone`.",
        r#"{{ sprig_date_in_zone "15:04 MST" 1000000000 "UTC" }}"#,
        "01:46 UTC",
    )
    .only(Profile::OpenBao),
    entry(
        Func::pure("sprig_dateModify", &[Param::Str, time::PARAM], date_modify),
        "sprig_dateModify duration time",
        "The time so much later; a duration that cannot be read changes nothing.",
        r#"{{ (sprig_toDate "2006-01-02" "2026-03-01" | sprig_dateModify "-24h").Format "Jan 2" }}"#,
        "Feb 28",
    )
    .only(Profile::OpenBao),
    entry(
        Func::pure("sprig_date_modify", &[Param::Str, time::PARAM], date_modify),
        "sprig_date_modify duration time",
        "An old name of `sprig_dateModify`.",
        r#"{{ (sprig_toDate "2006-01-02" "2026-03-01" | sprig_date_modify "-24h").Format "Jan 2" }}"#,
        "Feb 28",
    )
    .only(Profile::OpenBao),
    entry(
        Func::pure("sprig_duration", &[Param::Any], duration),
        "sprig_duration seconds",
        "Seconds as `1h30m0s`, from a string or an int64; a plain number in a template is neither and gives 0s.",
        r#"{{ sprig_duration "95" }}"#,
        "1m35s",
    ),
    entry(
        Func::pure("sprig_durationRound", &[Param::Any], duration_round),
        "sprig_durationRound duration",
        "A duration's largest unit that it exceeds, rounded down: `y`, `mo`, `d`, `h`, `m` or `s`.",
        r#"{{ sprig_durationRound "2h10m" }}"#,
        "2h",
    ),
    entry(
        Func::pure("sprig_htmlDate", &[Param::Any], html_date),
        "sprig_htmlDate date",
        "The date as an HTML date picker wants it, in the local zone.",
        r#"{{ sprig_htmlDate 1000033200 }}"#,
        "2001-09-09",
    )
    .only(Profile::OpenBao),
    entry(
        Func::pure("sprig_htmlDateInZone", &[Param::Any, Param::Str], html_date_in_zone),
        "sprig_htmlDateInZone date zone",
        "The same in a zone of the system's database; one that is not there is taken as UTC.",
        r#"{{ sprig_htmlDateInZone 1000000000 "UTC" }}"#,
        "2001-09-09",
    )
    .only(Profile::OpenBao),
    entry(
        Func::pure("sprig_mustDateModify", &[Param::Str, time::PARAM], must_date_modify),
        "sprig_mustDateModify duration time",
        "The time so much later; a duration that cannot be read is an error.",
        r#"{{ (sprig_toDate "2006-01-02" "2026-03-01" | sprig_mustDateModify "-24h").Format "Jan 2" }}"#,
        "Feb 28",
    ),
    entry(
        Func::pure("sprig_must_date_modify", &[Param::Str, time::PARAM], must_date_modify),
        "sprig_must_date_modify duration time",
        "An old name of `sprig_mustDateModify`.",
        r#"{{ (sprig_toDate "2006-01-02" "2026-03-01" | sprig_must_date_modify "-24h").Format "Jan 2" }}"#,
        "Feb 28",
    ),
    entry(
        Func::pure("sprig_mustToDate", &[Param::Str, Param::Str], must_to_date),
        "sprig_mustToDate layout text",
        "The time that the text says in the layout, local where it names no zone; other texts are an error.",
        r#"{{ (sprig_mustToDate "2006-01-02" "2026-03-01").Weekday }}"#,
        "Sunday",
    ),
    entry(
        Func::pure("sprig_now", &[], now),
        "sprig_now",
        "The time now in the local zone.",
        r#"{{ gt sprig_now.Year 2000 }}"#,
        "true",
    )
    .only(Profile::OpenBao),
    entry(
        Func::pure("sprig_toDate", &[Param::Str, Param::Str], to_date),
        "sprig_toDate layout text",
        "The time that the text says in the layout, local where it names no zone; for other texts the year 1.",
        r#"{{ (sprig_toDate "2006-01-02" "2026-03-01").YearDay }}"#,
        "60",
    ),
    entry(
        Func::pure("sprig_unixEpoch", &[time::PARAM], unix_epoch),
        "sprig_unixEpoch time",
        "The time as seconds since 1970, as text.",
        r#"{{ sprig_toDate "2006-01-02 MST" "2001-09-09 UTC" | sprig_unixEpoch }}"#,
        "999993600",
    ),
];

fn now(_: &[Value]) -> Result<Value, FuncError> {
    Ok(Value::object(Time::now()))
}

/// A date argument as sprig reads it.
fn moment(value: &Value) -> Time {
    match value {
        Value::Int(IntKind::Int | IntKind::Int32 | IntKind::Int64, unix) => Time::new(*unix, 0, Zone::Local),
        _ => Time::of(value).cloned().unwrap_or_else(Time::now),
    }
}

/// An argument of the type `time.Time`.
fn time_argument(arguments: &[Value], nth: usize) -> Time {
    Time::of(any(arguments, nth)).cloned().unwrap_or_default()
}

fn in_zone(date: &Value, zone: &str, layout: &[u8]) -> Result<Value, FuncError> {
    // A year may have thrice the digits of its example.
    bounded(layout.len().saturating_mul(4))?;
    let zone = Zone::load(zone).unwrap_or(Zone::Utc);
    Ok(Value::from(moment(date).in_zone(zone).format(layout)))
}

fn date(arguments: &[Value]) -> Result<Value, FuncError> {
    in_zone(any(arguments, 1), "Local", bytes(arguments, 0))
}

fn date_in_zone(arguments: &[Value]) -> Result<Value, FuncError> {
    in_zone(any(arguments, 1), &text(arguments, 2), bytes(arguments, 0))
}

fn html_date(arguments: &[Value]) -> Result<Value, FuncError> {
    in_zone(any(arguments, 0), "Local", b"2006-01-02")
}

fn html_date_in_zone(arguments: &[Value]) -> Result<Value, FuncError> {
    in_zone(any(arguments, 0), &text(arguments, 1), b"2006-01-02")
}

fn ago(arguments: &[Value]) -> Result<Value, FuncError> {
    let since = Time::now().since(&moment(any(arguments, 0)));
    Ok(Value::from(since.round(Duration::SECOND).to_string()))
}

fn date_modify(arguments: &[Value]) -> Result<Value, FuncError> {
    let duration = Duration::parse(bytes(arguments, 0)).unwrap_or_default();
    Ok(Value::object(time_argument(arguments, 1).plus(duration)))
}

fn must_date_modify(arguments: &[Value]) -> Result<Value, FuncError> {
    let duration = Duration::parse(bytes(arguments, 0))?;
    Ok(Value::object(time_argument(arguments, 1).plus(duration)))
}

fn to_date(arguments: &[Value]) -> Result<Value, FuncError> {
    let time = layout::parse_in_local(bytes(arguments, 0), bytes(arguments, 1));
    Ok(Value::object(time.unwrap_or_default()))
}

fn must_to_date(arguments: &[Value]) -> Result<Value, FuncError> {
    Ok(Value::object(layout::parse_in_local(bytes(arguments, 0), bytes(arguments, 1))?))
}

fn unix_epoch(arguments: &[Value]) -> Result<Value, FuncError> {
    Ok(Value::from(time_argument(arguments, 0).unix().to_string()))
}

fn duration(arguments: &[Value]) -> Result<Value, FuncError> {
    let seconds = match any(arguments, 0) {
        Value::Str(text) => nearest_int(text),
        Value::Int(IntKind::Int64, seconds) => *seconds,
        _ => 0,
    };
    Ok(Value::from(Duration(seconds.wrapping_mul(Duration::SECOND.0)).to_string()))
}

fn duration_round(arguments: &[Value]) -> Result<Value, FuncError> {
    let duration = match any(arguments, 0) {
        Value::Str(text) => Duration::parse(text).unwrap_or_default(),
        Value::Int(IntKind::Int64, nanoseconds) => Duration(*nanoseconds),
        value => Time::of(value).map_or(Duration(0), |time| Time::now().since(time)),
    };
    let (length, hour) = (duration.0.unsigned_abs(), Duration::HOUR.0.unsigned_abs());
    let units = [
        (hour * 24 * 365, "y"),
        (hour * 24 * 30, "mo"),
        (hour * 24, "d"),
        (hour, "h"),
        (Duration::MINUTE.0.unsigned_abs(), "m"),
        (Duration::SECOND.0.unsigned_abs(), "s"),
    ];
    let largest = units.into_iter().find(|(unit, _)| length > *unit);
    Ok(Value::from(largest.map_or("0s".into(), |(unit, name)| format!("{}{name}", length / unit))))
}
