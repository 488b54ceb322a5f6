//! `time.Time`, `time.Month`, `time.Weekday` and `*time.Location` as templates see them: fields none, methods many.

use std::any::Any;
use std::borrow::Cow;
use std::cmp::Ordering;

use gotemplate::{FuncError, List, Method, Object, Param, Shape, Type, UintKind, Value};

use super::{Time, Zone};
use crate::go::duration;
use crate::go::layout;

/// How a time is printed.
const PRINTED: &[u8] = b"2006-01-02 15:04:05.999999999 -0700 MST";
/// The type of a parameter that is a time.
pub(crate) const PARAM: Param = Param::Named("time.Time");

impl Time {
    /// The time in an argument of [`PARAM`]'s type.
    pub(crate) fn of(value: &Value) -> Option<&Self> {
        match value {
            Value::Object(object) => object.as_any()?.downcast_ref(),
            _ => None,
        }
    }

    /// `time.Date(2017, time.December, 31, 0, 0, 0, 0, time.UTC)`
    fn as_go(&self) -> Vec<u8> {
        let civil = self.civil();
        let zone = match self.zone() {
            Zone::Utc => "time.UTC".into(),
            Zone::Local => "time.Local".into(),
            zone => format!("time.Location({})", layout::quoted(&zone.name())),
        };
        let date = format!("{}, time.{}, {}", civil.year, layout::month_name(civil.month), civil.day);
        let clock = format!("{}, {}, {}, {}", civil.hour, civil.minute, civil.second, self.nanosecond());
        format!("time.Date({date}, {clock}, {zone})").into_bytes()
    }

    fn is_dst(&self) -> bool {
        let timestamp = jiff::Timestamp::from_second(self.unix()).unwrap_or_default();
        self.zone().rules().is_some_and(|rules| rules.to_offset_info(timestamp).dst().is_dst())
    }

    fn marshalled(&self, function: &str) -> Result<String, FuncError> {
        self.rfc3339().map_err(|why| FuncError::new(format!("Time.{function}: {why}")))
    }
}

impl Object for Time {
    fn type_name(&self) -> Cow<'static, str> {
        "time.Time".into()
    }

    fn shape(&self) -> Shape {
        Shape::Struct
    }

    fn method(&self, name: &str) -> Option<Method> {
        Some(match name {
            "Add" | "Round" | "Truncate" => Method::new(&[duration::PARAM]),
            "AddDate" => Method::new(&[Param::Int, Param::Int, Param::Int]),
            "After" | "Before" | "Compare" | "Equal" | "Sub" => Method::new(&[PARAM]),
            "Format" => Method::new(&[Param::Str]),
            "In" => Method::new(&[Param::Named("*time.Location")]),
            "Day" | "GoString" | "Hour" | "IsDST" | "IsZero" | "Local" | "Location" | "MarshalJSON"
            | "MarshalText" | "Minute" | "Month" | "Nanosecond" | "Second" | "String" | "UTC" | "Unix"
            | "UnixMicro" | "UnixMilli" | "UnixNano" | "Weekday" | "Year" | "YearDay" => Method::new(&[]),
            "Clock" => Method::unfit(&[], "function Clock has 3 return values; should be 1 or 2"),
            "Date" => Method::unfit(&[], "function Date has 3 return values; should be 1 or 2"),
            "ISOWeek" => Method::unfit(
                &[],
                "invalid function signature for ISOWeek: second return value should be error; is int",
            ),
            "Zone" => Method::unfit(
                &[],
                "invalid function signature for Zone: second return value should be error; is int",
            ),
            "ZoneBounds" => Method::unfit(
                &[],
                "invalid function signature for ZoneBounds: second return value should be error; is time.Time",
            ),
            _ => return None,
        })
    }

    fn call(&self, name: &str, args: &[Value]) -> Result<Value, FuncError> {
        let number = |nth| crate::arguments::int(args, nth);
        let span = duration::argument(args.first());
        let other = || args.first().and_then(Self::of).cloned().unwrap_or_default();
        let order = || self.key().cmp(&other().key());
        Ok(match name {
            "Add" => Value::object(self.clone().plus(span)),
            "Round" => Value::object(self.round(span)),
            "Truncate" => Value::object(self.truncate(span)),
            "AddDate" => Value::object(self.plus_date(number(0), number(1), number(2))),
            "After" => Value::Bool(order() == Ordering::Greater),
            "Before" => Value::Bool(order() == Ordering::Less),
            "Equal" => Value::Bool(order() == Ordering::Equal),
            "Compare" => Value::int(order() as i64),
            "Sub" => Value::object(self.since(&other())),
            "Format" => {
                let layout = crate::arguments::bytes(args, 0);
                // A year may have thrice the digits of its example.
                crate::arguments::bounded(layout.len().saturating_mul(4))?;
                Value::from(self.format(layout))
            }
            "In" => match args.first() {
                Some(Value::Object(object)) => {
                    let zone = object.as_any().and_then(|any| any.downcast_ref::<Location>());
                    Value::object(self.clone().in_zone(zone.map_or(Zone::Utc, |zone| zone.0.clone())))
                }
                _ => return Err("time: missing Location in call to Time.In".into()),
            },
            "UTC" => Value::object(self.clone().in_zone(Zone::Utc)),
            "Local" => Value::object(self.clone().in_zone(Zone::Local)),
            "Location" => Value::object(Location(self.zone().clone())),
            "Year" => Value::int(self.civil().year),
            "Month" => Value::object(Named::Month(self.civil().month)),
            "Weekday" => Value::object(Named::Weekday(self.civil().weekday)),
            "Day" => Value::int(self.civil().day),
            "Hour" => Value::int(self.civil().hour),
            "Minute" => Value::int(self.civil().minute),
            "Second" => Value::int(self.civil().second),
            "Nanosecond" => Value::int(self.nanosecond().into()),
            "YearDay" => Value::int(self.civil().year_day),
            "IsZero" => Value::Bool(self.key() == (0, 0)),
            "IsDST" => Value::Bool(self.is_dst()),
            "Unix" => Value::int64(self.unix()),
            "UnixMilli" => Value::int64(self.unix_in(1_000)),
            "UnixMicro" => Value::int64(self.unix_in(1_000_000)),
            "UnixNano" => Value::int64(self.unix_in(1_000_000_000)),
            "GoString" => Value::from(self.as_go()),
            "String" => Value::from(self.format(PRINTED)),
            "MarshalText" => byte_list(self.marshalled(name)?.as_bytes()),
            "MarshalJSON" => byte_list(format!("\"{}\"", self.marshalled(name)?).as_bytes()),
            _ => return Err(FuncError::new(format!("no method {name}"))),
        })
    }

    fn text(&self) -> Option<Vec<u8>> {
        Some(self.format(PRINTED))
    }

    fn go_text(&self) -> Option<Vec<u8>> {
        Some(self.as_go())
    }

    fn equals(&self, other: &dyn Object) -> bool {
        let other = other.as_any().and_then(|any| any.downcast_ref::<Self>());
        other.is_some_and(|other| self.key() == other.key() && self.zone().is_same(other.zone()))
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl Time {
    /// Since 1970, of which units a second has `per_second`. Too much wraps, as in Go.
    fn unix_in(&self, per_second: i64) -> i64 {
        let part = i64::from(self.nanosecond()) / (1_000_000_000 / per_second);
        self.unix().wrapping_mul(per_second).wrapping_add(part)
    }
}

/// A `[]byte`.
fn byte_list(bytes: &[u8]) -> Value {
    let items = bytes.iter().map(|byte| Value::Uint(UintKind::Uint8, u64::from(*byte))).collect();
    Value::List(List::new(Type::Uint(UintKind::Uint8), items))
}

/// Integers with names for their values.
enum Named {
    Month(i64),
    Weekday(i64),
}

impl Object for Named {
    fn type_name(&self) -> Cow<'static, str> {
        match self {
            Self::Month(_) => "time.Month".into(),
            Self::Weekday(_) => "time.Weekday".into(),
        }
    }

    fn shape(&self) -> Shape {
        Shape::Struct
    }

    fn method(&self, name: &str) -> Option<Method> {
        (name == "String").then(|| Method::new(&[]))
    }

    fn call(&self, _: &str, _: &[Value]) -> Result<Value, FuncError> {
        Ok(Value::from(self.text().unwrap_or_default()))
    }

    fn text(&self) -> Option<Vec<u8>> {
        Some(match self {
            Self::Month(month) => layout::month_name(*month).into_bytes(),
            Self::Weekday(day) => layout::weekday_name(*day).into_bytes(),
        })
    }

    fn underlying(&self) -> Option<Value> {
        match self {
            Self::Month(value) | Self::Weekday(value) => Some(Value::int(*value)),
        }
    }
}

/// A pointer to a zone.
struct Location(Zone);

impl Object for Location {
    fn type_name(&self) -> Cow<'static, str> {
        "*time.Location".into()
    }

    fn method(&self, name: &str) -> Option<Method> {
        (name == "String").then(|| Method::new(&[]))
    }

    fn call(&self, _: &str, _: &[Value]) -> Result<Value, FuncError> {
        Ok(Value::from(self.0.name()))
    }

    fn text(&self) -> Option<Vec<u8>> {
        Some(self.0.name())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}
