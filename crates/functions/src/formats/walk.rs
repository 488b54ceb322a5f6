//! What every writer must know of a value that is no plain data.

use gotemplate::{Key, Map, Object, Value};

/// A container that a writer is inside of, to find a map that contains itself.
#[derive(Clone)]
pub(crate) enum Inside {
    Map(Map),
    Other(Value),
}

impl Inside {
    fn type_name(&self) -> String {
        match self {
            Self::Map(map) => Value::Map(map.clone()).type_name(),
            Self::Other(value) => value.type_name(),
        }
    }
}

/// The containers on the way to the value at hand.
#[derive(Default)]
pub(crate) struct Trail(Vec<Inside>);

/// From this depth on Go looks for cycles; what is less deep is only deep.
const LOOK_FROM: usize = 1000;

impl Trail {
    /// Goes into a container.
    ///
    /// # Errors
    /// The name of the type at which the cycle is noticed.
    pub(crate) fn enter(&mut self, value: &Value) -> Result<(), String> {
        let inside = match value {
            Value::Map(map) => {
                let deep = self.0.get(LOOK_FROM..).unwrap_or_default();
                let again = |other: &Inside| matches!(other, Inside::Map(other) if other.is_same(map));
                if deep.iter().any(again) {
                    return Err(self.0.get(LOOK_FROM).map(Inside::type_name).unwrap_or_default());
                }
                Inside::Map(map.clone())
            }
            other => Inside::Other(other.clone()),
        };
        self.0.push(inside);
        Ok(())
    }

    /// Leaves the innermost container.
    pub(crate) fn leave(&mut self) {
        self.0.pop();
    }
}

/// Go types that write themselves.
pub(crate) enum Special {
    /// A `time.Time`, as RFC 3339 with as many digits behind the second as are needed.
    Time(String),
    /// Whatever has a `MarshalText`.
    Text(Vec<u8>),
}

/// How an object writes itself, if its type does.
pub(crate) fn special(object: &dyn Object) -> Option<Special> {
    match object.type_name().as_ref() {
        "time.Time" | "*time.Time" => {
            let text = object.text().unwrap_or_default();
            Some(Special::Time(rfc3339(&String::from_utf8_lossy(&text))))
        }
        "*semver.Version" | "semver.Version" => Some(Special::Text(object.text().unwrap_or_default())),
        _ => None,
    }
}

/// From what Go prints for a time, `2017-12-31 12:00:01.12 +0200 CEST`, to `2017-12-31T12:00:01.12+02:00`.
fn rfc3339(printed: &str) -> String {
    let mut parts = printed.split(' ');
    let date = parts.next().unwrap_or_default();
    let time = parts.next().unwrap_or_default();
    let zone = match parts.next().and_then(|zone| zone.split_at_checked(3)) {
        None | Some(("+00" | "-00", "00")) => "Z".to_owned(),
        Some((hours, minutes)) => format!("{hours}:{minutes}"),
    };
    format!("{date}T{time}{zone}")
}

/// A key as the bytes of its text; `None` for one that has none in a text format.
pub(crate) fn key_text(key: &Key) -> Option<Vec<u8>> {
    match key {
        Key::Str(text) => Some(text.to_vec()),
        Key::Int(_, number) => Some(number.to_string().into_bytes()),
        Key::Uint(_, number) => Some(number.to_string().into_bytes()),
        _ => None,
    }
}
