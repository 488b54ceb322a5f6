//! The order of keys: numbers by value and before text, text by its letters and the numbers in it.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::LazyLock;

use gotemplate::{IntKind, Key, Snapshot, UintKind, Value};
use regex::Regex;

use crate::go::unicode::{first_rune, last_rune};

/// Entries in the order in which they are written.
///
/// The order is not one that mathematics would accept (three keys can stand in a circle), which some sorting
/// functions answer with a panic; a heap only gives some order then.
pub(super) fn sorted(entries: &Snapshot) -> Vec<(Key, Value)> {
    let heap: BinaryHeap<Entry> =
        entries.iter().map(|(key, value)| Entry { key: key.clone(), value: value.clone() }).collect();
    heap.into_sorted_vec().into_iter().map(|entry| (entry.key, entry.value)).collect()
}

struct Entry {
    key: Key,
    value: Value,
}

/// What is no text, as a number.
fn number(key: &Key) -> Option<f64> {
    match key {
        Key::Nil | Key::Str(_) => None,
        Key::Bool(value) => Some(f64::from(u8::from(*value))),
        Key::Int(_, number) => Some(*number as f64),
        Key::Uint(_, number) => Some(*number as f64),
        Key::Float(number) => Some(*number),
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
        let (a, b) = (&self.key, &other.key);
        if let (Some(x), Some(y)) = (number(a), number(b)) {
            return x
                .partial_cmp(&y)
                .unwrap_or(Ordering::Equal)
                .then(kind(a).cmp(&kind(b)))
                .then_with(|| a.cmp(b));
        }
        match (a, b) {
            (Key::Str(a), Key::Str(b)) => texts(a, b),
            (a, b) => kind(a).cmp(&kind(b)),
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

fn texts(a: &[u8], b: &[u8]) -> Ordering {
    let whole = a;
    let (a, b) = behind_common(a, b);
    let (Some((p, _)), Some((q, _))) = (first_rune(a), first_rune(b)) else { return a.len().cmp(&b.len()) };
    let before = whole.get(..whole.len() - a.len()).unwrap_or_default();
    match (is_letter(p), is_letter(q)) {
        (true, true) => return p.cmp(&q),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    // A zero that continues a number is one of its digits; without the number before it, it would count for nothing.
    let continued = (p == '0' || q == '0') && ends_in_number(before);
    let (x, x_length) = digits(a, continued);
    let (y, y_length) = digits(b, continued);
    x.cmp(&y).then(x_length.cmp(&y_length)).then(p.cmp(&q))
}

/// What follows the characters with which both begin.
fn behind_common<'t>(a: &'t [u8], b: &'t [u8]) -> (&'t [u8], &'t [u8]) {
    const AT_ONCE: usize = 64;
    let equal = a.chunks(AT_ONCE).zip(b.chunks(AT_ONCE)).take_while(|(a, b)| a == b);
    let mut at: usize = equal.map(|(chunk, _)| chunk.len()).sum();
    while at < a.len() && a.get(at) == b.get(at) {
        at += 1;
    }
    let goes_on = |text: &[u8], at: usize| text.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    while at > 0 && (goes_on(a, at) || goes_on(b, at)) {
        at -= 1;
    }
    let (mut a, mut b) = (a.get(at..).unwrap_or_default(), b.get(at..).unwrap_or_default());
    while let (Some((p, p_width)), Some((q, q_width))) = (first_rune(a), first_rune(b))
        && p == q
    {
        (a, b) = (a.get(p_width..).unwrap_or_default(), b.get(q_width..).unwrap_or_default());
    }
    (a, b)
}

/// Whether digits stand at the end, other than zeros alone.
fn ends_in_number(mut text: &[u8]) -> bool {
    while let Some((c, width)) = last_rune(text).filter(|(c, _)| is_digit(*c)) {
        if c != '0' {
            return true;
        }
        text = text.get(..text.len() - width).unwrap_or_default();
    }
    false
}

fn digits(mut text: &[u8], continued: bool) -> (i64, usize) {
    let (mut sum, mut length) = (i64::from(continued), 0);
    while let Some((c, width)) = first_rune(text).filter(|(c, _)| is_digit(*c)) {
        let digit = i64::from(u32::from(c)) - i64::from(u32::from('0'));
        (sum, length) = (sum.wrapping_mul(10).wrapping_add(digit), length + 1);
        text = text.get(width..).unwrap_or_default();
    }
    (sum, length)
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
