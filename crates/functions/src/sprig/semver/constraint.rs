//! What a version may be asked to be.

use std::cmp::Ordering;
use std::sync::LazyLock;

use gotemplate::{FuncError, Shape};
use regex::{Captures, Regex};

use super::version::Version;

/// A version of which parts may be missing or an x.
const VERSION: &str = r"v?([0-9|x|X|\*]+)(\.[0-9|x|X|\*]+)?(\.[0-9|x|X|\*]+)?(-([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?(\+([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?";
const OPERATORS: &str = r"=||!=|>|<|>=|=>|<=|=<|~|~>|\^";
/// Go's white space in patterns.
const SPACE: &str = r"[\t\n\x0c\r ]";

struct Patterns {
    /// `1.2 - 1.4`
    range: Regex,
    /// Everything between two `||`.
    group: Regex,
    /// One condition of it, anywhere.
    any: Regex,
    /// One condition, alone.
    one: Regex,
}

static PATTERNS: LazyLock<Option<Patterns>> = LazyLock::new(|| {
    let (v, o, s) = (VERSION, OPERATORS, SPACE);
    Some(Patterns {
        range: Regex::new(&format!("{s}*({v}){s}+-{s}+({v}){s}*")).ok()?,
        group: Regex::new(&format!("^({s}*({o}){s}*({v}){s}*)((?:{s}+|,{s}*)({o}){s}*({v}){s}*)*$")).ok()?,
        any: Regex::new(&format!("({o}){s}*({v})")).ok()?,
        one: Regex::new(&format!("^{s}*({o}){s}*({v}){s}*$")).ok()?,
    })
});

/// The longest version or constraint that is read, in bytes; each condition is matched by several expressions.
pub(super) const MAX_TEXT: usize = 16 << 10;

/// All conditions of a group must be met.
pub(super) struct Group {
    conditions: Vec<Condition>,
    /// Whether prereleases may meet it: only if one of its conditions names one.
    prereleases: bool,
}

struct Condition {
    operator: String,
    version: Version,
    /// Which part was the first to be missing or an x.
    open: Open,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Open {
    None,
    Major,
    Minor,
    Patch,
}

/// Groups of conditions, of which one must be met.
///
/// # Errors
/// Upstream's words.
pub(super) fn parse(text: &str) -> Result<Vec<Group>, FuncError> {
    if text.len() > MAX_TEXT {
        return Err("the constraint is too long".into());
    }
    let patterns = PATTERNS.as_ref().ok_or("constraint parser error")?;
    let bounds = |range: &Captures<'_>| format!(">= {}, <= {} ", part(range, 1), part(range, 11));
    let rewritten = patterns.range.replace_all(text, bounds);
    rewritten.split("||").map(|group| parse_group(patterns, group)).collect()
}

fn part<'a>(captures: &Captures<'a>, nth: usize) -> &'a str {
    captures.get(nth).map(|part| part.as_str()).unwrap_or_default()
}

fn parse_group(patterns: &Patterns, text: &str) -> Result<Group, FuncError> {
    if !patterns.group.is_match(text) {
        return Err(format!("improper constraint: {text}").into());
    }
    let conditions = patterns
        .any
        .find_iter(text)
        .map(|condition| parse_condition(patterns, condition.as_str()))
        .collect::<Result<Vec<_>, _>>()?;
    let prereleases = conditions.iter().any(|condition| !condition.version.pre.is_empty());
    Ok(Group { conditions, prereleases })
}

fn parse_condition(patterns: &Patterns, text: &str) -> Result<Condition, FuncError> {
    let found =
        patterns.one.captures(text).ok_or_else(|| FuncError::new(format!("improper constraint: {text}")))?;
    let (major, minor, patch) = (part(&found, 3), part(&found, 4), part(&found, 5));
    let pre = part(&found, 6);
    let is_open = |part: &str| matches!(part.trim_start_matches('.'), "" | "x" | "X" | "*");
    let (open, version) = if is_open(major) {
        (Open::Major, format!("0.0.0{pre}"))
    } else if is_open(minor) {
        (Open::Minor, format!("{major}.0.0{pre}"))
    } else if is_open(patch) {
        (Open::Patch, format!("{major}{minor}.0{pre}"))
    } else {
        (Open::None, part(&found, 2).to_owned())
    };
    let version = Version::parse(&version, Shape::Struct).map_err(|_| "constraint parser error")?;
    Ok(Condition { operator: part(&found, 1).to_owned(), version, open })
}

/// Whether `version` meets one of the groups.
pub(super) fn check(groups: &[Group], version: &Version) -> bool {
    groups.iter().any(|group| {
        (version.pre.is_empty() || group.prereleases)
            && group.conditions.iter().all(|condition| condition.met_by(version))
    })
}

impl Condition {
    fn met_by(&self, version: &Version) -> bool {
        let order = version.compare(&self.version);
        match self.operator.as_str() {
            "" | "=" if self.open == Open::None => order == Ordering::Equal,
            "" | "=" | "~" | "~>" => order.is_ge() && self.tilde(version),
            "!=" => self.differs(version, order),
            ">" => self.below(version, order),
            "<" => order.is_lt(),
            ">=" | "=>" => order.is_ge(),
            "<=" | "=<" => self.not_below(version, order),
            _ => order.is_ge() && self.caret(version),
        }
    }

    fn differs(&self, version: &Version, order: Ordering) -> bool {
        let limit = &self.version;
        match self.open {
            Open::None | Open::Major => order != Ordering::Equal,
            Open::Minor => version.major != limit.major,
            Open::Patch => {
                version.major != limit.major || version.minor != limit.minor || version.pre != limit.pre
            }
        }
    }

    /// `>`: all of 11.x is no more than 11.
    fn below(&self, version: &Version, order: Ordering) -> bool {
        let limit = &self.version;
        match self.open {
            Open::None | Open::Major => order.is_gt(),
            Open::Minor => version.major > limit.major,
            Open::Patch => (version.major, version.minor) > (limit.major, limit.minor),
        }
    }

    /// `<=`: all of 11.x is no more than 11.
    fn not_below(&self, version: &Version, order: Ordering) -> bool {
        let limit = &self.version;
        match self.open {
            Open::None => order.is_le(),
            Open::Minor => version.major <= limit.major,
            Open::Major | Open::Patch => (version.major, version.minor) <= (limit.major, limit.minor),
        }
    }

    /// The same minor version; the same major one, if the minor one is open.
    fn tilde(&self, version: &Version) -> bool {
        let limit = &self.version;
        let zero = (limit.major, limit.minor, limit.patch) == (0, 0, 0);
        if zero && matches!(self.open, Open::None | Open::Major) {
            return true;
        }
        version.major == limit.major && (version.minor == limit.minor || self.open == Open::Minor)
    }

    /// The first number that is not zero stays.
    fn caret(&self, version: &Version) -> bool {
        let limit = &self.version;
        if limit.major > 0 || self.open == Open::Minor || version.major > 0 {
            return version.major == limit.major;
        }
        if limit.minor > 0 || self.open == Open::Patch || version.minor > 0 {
            return version.minor == limit.minor;
        }
        version.patch == limit.patch
    }
}
