//! One version.

use std::any::Any;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::LazyLock;

use gotemplate::{FuncError, List, Method, Object, Param, Shape, Type, UintKind, Value};
use regex::Regex;

use super::constraint::MAX_TEXT;
use crate::go::strconv;

/// `v1.2.3-pre+meta`, of which only the first number must be there.
pub(super) const VERSION: &str = r"v?([0-9]+)(\.[0-9]+)?(\.[0-9]+)?(-([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?(\+([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?";

/// A version; a pointer as `semver` gives it, a struct as its `Inc` methods do.
#[derive(Clone)]
pub(super) struct Version {
    pub(super) major: u64,
    pub(super) minor: u64,
    pub(super) patch: u64,
    pub(super) pre: String,
    metadata: String,
    original: String,
    shape: Shape,
}

impl Version {
    pub(super) fn zero(shape: Shape) -> Self {
        let (pre, metadata, original) = (String::new(), String::new(), String::new());
        Self { major: 0, minor: 0, patch: 0, pre, metadata, original, shape }
    }

    /// Reads a version; minor and patch are 0 if they are missing.
    ///
    /// # Errors
    /// Upstream's words, or that it is too long.
    pub(super) fn parse(text: &str, shape: Shape) -> Result<Self, FuncError> {
        static PATTERN: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(&format!("^{VERSION}$")).ok());
        if text.len() > MAX_TEXT {
            return Err("the version is too long".into());
        }
        let found = PATTERN.as_ref().and_then(|pattern| pattern.captures(text));
        let found = found.ok_or("invalid semantic version")?;
        let part = |nth| found.get(nth).map(|part| part.as_str()).unwrap_or_default();
        let number = |nth| match part(nth).trim_start_matches('.') {
            "" => Ok(0),
            digits => strconv::parse_uint(digits.as_bytes())
                .map_err(|why| FuncError::new(format!("error parsing version segment: {why}"))),
        };
        let (pre, metadata) = (part(5).to_owned(), part(8).to_owned());
        let version = Self {
            major: number(1)?,
            minor: number(2)?,
            patch: number(3)?,
            pre,
            metadata,
            original: text.to_owned(),
            shape,
        };
        check_prerelease(&version.pre)?;
        Ok(version)
    }

    fn text(&self) -> String {
        let mut text = format!("{}.{}.{}", self.major, self.minor, self.patch);
        for (mark, part) in [('-', &self.pre), ('+', &self.metadata)] {
            if !part.is_empty() {
                text.push(mark);
                text.push_str(part);
            }
        }
        text
    }

    /// By numbers, then by prerelease; metadata does not count.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        let numbers = |version: &Self| (version.major, version.minor, version.patch);
        numbers(self).cmp(&numbers(other)).then_with(|| {
            match (self.pre.is_empty(), other.pre.is_empty()) {
                (false, false) => compare_prerelease(&self.pre, &other.pre),
                // A release is above its prereleases.
                (own, theirs) => own.cmp(&theirs),
            }
        })
    }

    /// A changed copy, no pointer any more.
    fn changed(&self, change: impl FnOnce(&mut Self)) -> Value {
        let mut next = Self { shape: Shape::Struct, ..self.clone() };
        change(&mut next);
        let prefix = if self.original.starts_with('v') { "v" } else { "" };
        next.original = format!("{prefix}{}", next.text());
        Value::object(next)
    }

    /// The next version, of whose parts `set` changes the numbers.
    fn next(&self, set: impl FnOnce(&mut Self)) -> Value {
        self.changed(|next| {
            next.pre.clear();
            next.metadata.clear();
            set(next);
        })
    }
}

fn check_prerelease(text: &str) -> Result<(), FuncError> {
    for part in text.split('.') {
        if part.bytes().all(|byte| byte.is_ascii_digit()) {
            if part.len() > 1 && part.starts_with('0') {
                return Err("version segment starts with 0".into());
            }
        } else if !is_identifier(part) {
            return Err("invalid prerelease string".into());
        }
    }
    Ok(())
}

fn check_metadata(text: &str) -> Result<(), FuncError> {
    if text.split('.').all(is_identifier) { Ok(()) } else { Err("invalid metadata string".into()) }
}

fn is_identifier(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Part by part: numbers by value and below words, words by their bytes, a missing part first.
fn compare_prerelease(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let order = match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (a, None) => a.cmp(&None),
            (None, b) => None.cmp(&b),
            (Some(a), Some(b)) => match (a.parse::<u64>(), b.parse::<u64>()) {
                _ if a == b => Ordering::Equal,
                (Ok(a), Ok(b)) => a.cmp(&b),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => a.cmp(b),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

// === As templates see it ===

const OTHER: Method = Method::new(&[Param::Named("*semver.Version")]);
const NOTHING: Method = Method::new(&[]);
const TEXT: Method = Method::new(&[Param::Str]);

impl Object for Version {
    fn type_name(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self.shape {
            Shape::Pointer => "*semver.Version",
            Shape::Struct => "semver.Version",
        })
    }

    fn shape(&self) -> Shape {
        self.shape
    }

    fn all_fields(&self) -> Vec<(&'static str, Value)> {
        let number = |number| Value::Uint(UintKind::Uint64, number);
        vec![
            ("major", number(self.major)),
            ("minor", number(self.minor)),
            ("patch", number(self.patch)),
            ("pre", Value::from(self.pre.as_str())),
            ("metadata", Value::from(self.metadata.as_str())),
            ("original", Value::from(self.original.as_str())),
        ]
    }

    fn method(&self, name: &str) -> Option<Method> {
        match name {
            "Major" | "Minor" | "Patch" | "Prerelease" | "Metadata" | "String" | "IncMajor" | "IncMinor"
            | "IncPatch" | "MarshalJSON" | "MarshalText" => Some(NOTHING),
            "Value" => Some(NOTHING.any()),
            "SetPrerelease" | "SetMetadata" => Some(TEXT),
            // Declared on the pointer, and a result of a method has no address.
            _ if self.shape == Shape::Struct => None,
            "Original" => Some(NOTHING),
            "Compare" | "LessThan" | "LessThanEqual" | "GreaterThan" | "GreaterThanEqual" | "Equal" => {
                Some(OTHER)
            }
            _ => None,
        }
    }

    fn call(&self, name: &str, args: &[Value]) -> Result<Value, FuncError> {
        let argument = args.first().and_then(Value::as_str).unwrap_or_default();
        let argument = String::from_utf8_lossy(argument);
        let octets = |text: String| {
            let octets = text.bytes().map(|byte| Value::Uint(UintKind::Uint8, u64::from(byte))).collect();
            Value::List(List::new(Type::Uint(UintKind::Uint8), octets))
        };
        Ok(match name {
            "Major" => Value::Uint(UintKind::Uint64, self.major),
            "Minor" => Value::Uint(UintKind::Uint64, self.minor),
            "Patch" => Value::Uint(UintKind::Uint64, self.patch),
            "Prerelease" => Value::from(self.pre.as_str()),
            "Metadata" => Value::from(self.metadata.as_str()),
            "Original" => Value::from(self.original.as_str()),
            "String" | "Value" => Value::from(self.text()),
            "MarshalText" => octets(self.text()),
            "MarshalJSON" => octets(format!("\"{}\"", self.text())),
            "IncMajor" => self.next(|next| {
                (next.major, next.minor, next.patch) = (self.major.wrapping_add(1), 0, 0);
            }),
            "IncMinor" => self.next(|next| (next.minor, next.patch) = (self.minor.wrapping_add(1), 0)),
            // The release of a prerelease is the next version already.
            "IncPatch" if !self.pre.is_empty() => self.next(|_| {}),
            "IncPatch" => self.next(|next| next.patch = self.patch.wrapping_add(1)),
            "SetPrerelease" => {
                check_prerelease(&argument)?;
                self.changed(|next| next.pre = argument.into_owned())
            }
            "SetMetadata" => {
                check_metadata(&argument)?;
                self.changed(|next| next.metadata = argument.into_owned())
            }
            _ => return self.compared(name, args.first()),
        })
    }

    fn text(&self) -> Option<Vec<u8>> {
        Some(self.text().into_bytes())
    }

    fn equals(&self, other: &dyn Object) -> bool {
        let all = |version: &Self| {
            let Self { major, minor, patch, pre, metadata, original, .. } = version.clone();
            (major, minor, patch, pre, metadata, original)
        };
        let other = other.as_any().and_then(|other| other.downcast_ref::<Self>());
        other.is_some_and(|other| all(self) == all(other))
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl Version {
    fn compared(&self, name: &str, other: Option<&Value>) -> Result<Value, FuncError> {
        let other = match other {
            Some(Value::Object(other)) => other.clone(),
            _ => return Err(super::super::convert::NIL_DEREFERENCE.into()),
        };
        let other = other.as_any().and_then(|other| other.downcast_ref::<Self>());
        let order = self.compare(other.ok_or("no version")?);
        Ok(match name {
            "LessThan" => Value::from(order.is_lt()),
            "LessThanEqual" => Value::from(order.is_le()),
            "GreaterThan" => Value::from(order.is_gt()),
            "GreaterThanEqual" => Value::from(order.is_ge()),
            "Equal" => Value::from(order.is_eq()),
            _ => Value::int(order as i64),
        })
    }
}
