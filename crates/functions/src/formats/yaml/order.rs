//! The order of keys: numbers by value and before text, text by its letters and the numbers in it.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::LazyLock;

use gotemplate::{IntKind, Key, UintKind, Value};
use regex::Regex;

use crate::formats::text::lossy;

/// Entries in the order in which they are written.
///
/// The order is not one that mathematics would accept (three keys can stand in a circle), which some sorting
/// functions answer with a panic; a heap only gives some order then.
pub(super) fn sorted(entries: Vec<(Key, Value)>) -> Vec<(Key, Value)> {
    let heap: BinaryHeap<Entry> =
        entries.into_iter().map(|(key, value)| Entry { name: Name::of(&key), key, value }).collect();
    heap.into_sorted_vec().into_iter().map(|entry| (entry.key, entry.value)).collect()
}

struct Entry {
    name: Name,
    key: Key,
    value: Value,
}

/// A key as it is compared.
enum Name {
    /// `reflect.Kind` and value.
    Number(u8, f64, Key),
    Text(Vec<char>),
    Nil,
}

impl Name {
    fn of(key: &Key) -> Self {
        let number = match key {
            Key::Nil => return Self::Nil,
            Key::Str(text) => return Self::Text(lossy(text).chars().collect()),
            Key::Bool(value) => f64::from(u8::from(*value)),
            Key::Int(_, number) => *number as f64,
            Key::Uint(_, number) => *number as f64,
            Key::Float(number) => *number,
        };
        Self::Number(kind(key), number, key.clone())
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Number(kind, ..) => *kind,
            Self::Nil => 20,
            Self::Text(_) => 24,
        }
    }
}

/// The number of `reflect.Kind`.
fn kind(key: &Key) -> u8 {
    match key {
        Key::Bool(_) => 1,
        Key::Int(kind, _) => match kind {
            IntKind::Int => 2,
            IntKind::Int8 => 3,
            IntKind::Int16 => 4,
            IntKind::Int32 => 5,
            IntKind::Int64 => 6,
        },
        Key::Uint(kind, _) => match kind {
            UintKind::Uint => 7,
            UintKind::Uint8 => 8,
            UintKind::Uint16 => 9,
            UintKind::Uint32 => 10,
            UintKind::Uint64 => 11,
        },
        Key::Float(_) => 14,
        Key::Nil => 20,
        Key::Str(_) => 24,
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.name, &other.name) {
            (Name::Number(p, a, x), Name::Number(q, b, y)) => {
                a.partial_cmp(b).unwrap_or(Ordering::Equal).then(p.cmp(q)).then_with(|| x.cmp(y))
            }
            (Name::Text(a), Name::Text(b)) => texts(a, b),
            (a, b) => a.kind().cmp(&b.kind()),
        }
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

fn texts(a: &[char], b: &[char]) -> Ordering {
    let Some((at, (&p, &q))) = a.iter().zip(b).enumerate().find(|(_, (p, q))| p != q) else {
        return a.len().cmp(&b.len());
    };
    match (is_letter(p), is_letter(q)) {
        (true, true) => return p.cmp(&q),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    // A zero that continues a number is one of its digits; without the number before it, it would count for nothing.
    let continued =
        (p == '0' || q == '0') && a.iter().take(at).rev().take_while(|&&c| is_digit(c)).any(|&c| c != '0');
    let (x, x_length) = digits(a.get(at..).unwrap_or_default(), continued);
    let (y, y_length) = digits(b.get(at..).unwrap_or_default(), continued);
    x.cmp(&y).then(x_length.cmp(&y_length)).then(p.cmp(&q))
}

fn digits(text: &[char], continued: bool) -> (i64, usize) {
    let digits = text.iter().take_while(|&&c| is_digit(c));
    digits.fold((i64::from(continued), 0), |(sum, length), &c| {
        let digit = i64::from(u32::from(c)) - i64::from(u32::from('0'));
        (sum.wrapping_mul(10).wrapping_add(digit), length + 1)
    })
}

fn is_letter(c: char) -> bool {
    static LETTER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\p{L}").ok());
    if c.is_ascii() { c.is_ascii_alphabetic() } else { matches(&LETTER, c) }
}

fn is_digit(c: char) -> bool {
    static DIGIT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\p{Nd}").ok());
    if c.is_ascii() { c.is_ascii_digit() } else { matches(&DIGIT, c) }
}

fn matches(class: &Option<Regex>, c: char) -> bool {
    class.as_ref().is_some_and(|class| class.is_match(c.encode_utf8(&mut [0; 4])))
}
