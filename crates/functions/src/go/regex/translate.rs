//! Go's syntax (`regexp/syntax` with its Perl flags) read and written anew for the `regex` crate.
//!
//! One pass over the expression writes one pattern. Whatever can be repeated is written as something that needs
//! no parentheses around it, so a repetition is only appended. Flags are never carried over: each piece says in
//! itself what they make of it.

use std::fmt::Write as _;

use super::classes;
use crate::go::unicode::{first_rune, is_bad};

/// Groups within groups. Go allows a tree of 1000; the crate recurses while it compiles.
pub(super) const MAX_HEIGHT: usize = 250;
/// Go's limit for a count, and for the product of counts within each other.
const MAX_REPEAT: u64 = 1000;
/// The longest expression. Go has no such limit but the memory of its own tree.
const MAX_PATTERN: usize = 128 << 10;
/// What may be spent on large classes, in code points; see [`Writer::spend`].
const MAX_COST: u64 = 30_000_000;

/// An expression for the crate, and what its groups are called.
pub(super) struct Translated {
    pub(super) pattern: String,
    pub(super) names: Vec<String>,
    /// How many characters and classes it has, with repetitions written out.
    pub(super) size: u64,
}

/// Go's message.
pub(super) fn error(code: &str, expression: &[u8]) -> String {
    format!("error parsing regexp: {code}: `{}`", String::from_utf8_lossy(expression))
}

/// The part of `text` that comes before its tail `rest`.
pub(super) fn until<'p>(text: &'p [u8], rest: &[u8]) -> &'p [u8] {
    text.get(..text.len().saturating_sub(rest.len())).unwrap_or_default()
}

/// The first character and what follows it.
pub(super) fn rune(text: &[u8]) -> Result<(char, &[u8]), String> {
    match first_rune(text) {
        Some((first, width)) if !is_bad(first, width) => Ok((first, text.get(width..).unwrap_or_default())),
        _ => Err(error("invalid UTF-8", text)),
    }
}

/// Refuses the first byte that is not UTF-8.
pub(super) fn check_utf8(text: &[u8]) -> Result<(), String> {
    match std::str::from_utf8(text) {
        Ok(_) => Ok(()),
        Err(why) => Err(error("invalid UTF-8", text.get(why.valid_up_to()..).unwrap_or_default())),
    }
}

#[derive(Clone, Copy, Default)]
pub(super) struct Flags {
    /// `i`
    pub(super) fold: bool,
    /// `m`: `^` and `$` match at lines.
    lines: bool,
    /// `s`: `.` matches a newline.
    dot_newline: bool,
    /// `U`: repetitions are lazy, and eager with a `?`.
    lazy: bool,
}

/// What can be repeated: the last piece written.
#[derive(Clone, Copy)]
struct Item {
    start: usize,
    /// The largest product of counts within it.
    weight: u64,
    /// Its pieces, as often as they are repeated.
    size: u64,
    height: usize,
    repeated: bool,
}

/// An open parenthesis, or the whole.
struct Group {
    start: usize,
    /// Those outside, to return to.
    flags: Flags,
    weight: u64,
    size: u64,
    height: usize,
    last: Option<Item>,
}

impl Group {
    fn new(start: usize, flags: Flags) -> Self {
        Self { start, flags, weight: 1, size: 0, height: 0, last: None }
    }

    fn push(&mut self, item: Item) {
        self.weight = self.weight.max(item.weight);
        self.size = self.size.saturating_add(item.size);
        self.height = self.height.max(item.height);
        self.last = Some(item);
    }
}

pub(super) struct Writer {
    pub(super) out: String,
    pub(super) flags: Flags,
    names: Vec<String>,
    /// The innermost group; those around it.
    group: Group,
    around: Vec<Group>,
    cost: u64,
}

pub(super) fn translate(pattern: &[u8]) -> Result<Translated, String> {
    let mut writer = Writer {
        out: String::with_capacity(pattern.len() + 16),
        flags: Flags::default(),
        names: vec![String::new()],
        group: Group::new(0, Flags::default()),
        around: Vec::new(),
        cost: 0,
    };
    if pattern.len() > MAX_PATTERN {
        return Err(error("expression too large", pattern.get(..80).unwrap_or_default()));
    }
    writer.expression(pattern)?;
    if !writer.around.is_empty() {
        return Err(error("missing closing )", pattern));
    }
    if writer.group.height > MAX_HEIGHT {
        return Err(error("expression nests too deeply", pattern));
    }
    if writer.cost > MAX_COST {
        return Err(error("expression too large", pattern));
    }
    Ok(Translated { pattern: writer.out, names: writer.names, size: writer.group.size })
}

impl Writer {
    fn expression(&mut self, pattern: &[u8]) -> Result<(), String> {
        let mut rest = pattern;
        // Where the repetition began that was read just before.
        let mut last_repeat: Option<&[u8]> = None;
        while let Some(&byte) = rest.first() {
            let here = rest;
            let tail = rest.get(1..).unwrap_or_default();
            let mut repeat = None;
            rest = match byte {
                b'(' if tail.first() == Some(&b'?') => self.perl_group(rest)?,
                b'(' => {
                    self.capture(String::new());
                    tail
                }
                b'|' => {
                    self.out.push('|');
                    self.group.last = None;
                    tail
                }
                b')' => {
                    self.close().ok_or_else(|| error("unexpected )", pattern))?;
                    tail
                }
                b'^' => self.piece(if self.flags.lines { "(?m:^)" } else { r"\A" }, tail),
                b'$' => self.piece(if self.flags.lines { "(?m:$)" } else { r"\z" }, tail),
                b'.' => self.piece(if self.flags.dot_newline { classes::ANY } else { r"[^\n]" }, tail),
                b'[' => self.class(rest)?,
                b'*' | b'+' | b'?' => {
                    repeat = Some(here);
                    self.repeat(&char::from(byte).to_string(), (1, false), here, tail, last_repeat)?
                }
                b'{' => match counts(rest) {
                    None => {
                        self.literal(u32::from('{'));
                        tail
                    }
                    Some((least, most, after)) => {
                        let valid = least <= MAX_REPEAT
                            && most.is_none_or(|most| most <= MAX_REPEAT && least <= most);
                        if !valid {
                            return Err(error("invalid repeat count", until(here, after)));
                        }
                        repeat = Some(here);
                        let operator = match most {
                            None => format!("{{{least},}}"),
                            Some(most) => format!("{{{least},{most}}}"),
                        };
                        let factor = most.unwrap_or(least);
                        let counted = least >= 2 || most.is_some_and(|most| most >= 2);
                        let factor = if most == Some(0) { 0 } else { factor.max(1) };
                        self.repeat(&operator, (factor, counted), here, after, last_repeat)?
                    }
                },
                b'\\' => self.backslash(rest)?,
                _ => {
                    let (c, tail) = rune(rest)?;
                    self.literal(u32::from(c));
                    tail
                }
            };
            last_repeat = repeat;
        }
        Ok(())
    }

    // === Pieces ===

    /// Writes something that can be repeated as it is.
    fn piece<'p>(&mut self, text: &str, rest: &'p [u8]) -> &'p [u8] {
        let start = self.out.len();
        self.out.push_str(text);
        self.group.push(Item { start, weight: 1, size: 1, height: 0, repeated: false });
        rest
    }

    fn literal(&mut self, code: u32) {
        let Some(c) = char::from_u32(code) else {
            // A surrogate is in no text.
            self.piece(classes::NEVER, &[]);
            return;
        };
        let mut text = String::new();
        if c.is_ascii_alphanumeric() || !c.is_ascii() {
            text.push(c);
        } else {
            let _ = write!(text, r"\x{{{code:x}}}");
        }
        if self.flags.fold && (c.is_ascii_alphabetic() || !c.is_ascii()) {
            text = format!("(?i:{text})");
        }
        self.piece(&text, &[]);
    }

    fn class<'p>(&mut self, rest: &'p [u8]) -> Result<&'p [u8], String> {
        let (text, rest) = classes::bracketed(self, rest)?;
        Ok(self.folded_piece(&text, rest))
    }

    fn folded_piece<'p>(&mut self, text: &str, rest: &'p [u8]) -> &'p [u8] {
        if self.flags.fold { self.piece(&format!("(?i:{text})"), rest) } else { self.piece(text, rest) }
    }

    /// Notes what a class will cost: the crate folds case character by character, and a named class is a table of
    /// hundreds of ranges. Without a bound a long expression of these would take minutes and gigabytes.
    pub(super) fn spend(&mut self, code_points: u32) {
        self.cost += if self.flags.fold { u64::from(code_points) } else { u64::from(code_points) / 16 };
    }

    fn backslash<'p>(&mut self, rest: &'p [u8]) -> Result<&'p [u8], String> {
        let tail = rest.get(2..).unwrap_or_default();
        match rest.get(1) {
            Some(b'A') => return Ok(self.piece(r"\A", tail)),
            Some(b'z') => return Ok(self.piece(r"\z", tail)),
            Some(b'b') => return Ok(self.piece(r"(?-u:\b)", tail)),
            Some(b'B') => return Ok(self.piece(r"(?-u:\B)", tail)),
            Some(b'C') => return Err(error("invalid escape sequence", until(rest, tail))),
            Some(b'Q') => {
                let end = tail.windows(2).position(|pair| pair == br"\E");
                let (mut quoted, rest) = match end {
                    Some(end) => {
                        (tail.get(..end).unwrap_or_default(), tail.get(end + 2..).unwrap_or_default())
                    }
                    None => (tail, &b""[..]),
                };
                while !quoted.is_empty() {
                    let (c, behind) = rune(quoted)?;
                    self.literal(u32::from(c));
                    quoted = behind;
                }
                return Ok(rest);
            }
            _ => {}
        }
        if let Some((text, rest)) = classes::unicode(self, rest)? {
            return Ok(self.folded_piece(&text, rest));
        }
        if let Some((text, rest)) = classes::perl(rest) {
            return Ok(self.folded_piece(&format!("[{text}]"), rest));
        }
        let (code, rest) = escape(rest)?;
        self.literal(code);
        Ok(rest)
    }

    // === Groups ===

    fn open(&mut self, text: &str, inner: Flags) {
        let group = Group::new(self.out.len(), self.flags);
        self.out.push_str(text);
        self.around.push(std::mem::replace(&mut self.group, group));
        self.flags = inner;
    }

    fn capture(&mut self, name: String) {
        self.names.push(name);
        self.open("(", self.flags);
    }

    fn close(&mut self) -> Option<()> {
        let group = std::mem::replace(&mut self.group, self.around.pop()?);
        self.out.push(')');
        self.flags = group.flags;
        let Group { start, weight, size, height, .. } = group;
        self.group.push(Item {
            start,
            weight,
            size: size.saturating_add(1),
            height: height + 1,
            repeated: false,
        });
        Some(())
    }

    /// `(?flags)`, `(?flags:`, `(?P<name>` or `(?<name>`.
    fn perl_group<'p>(&mut self, whole: &'p [u8]) -> Result<&'p [u8], String> {
        let named = if whole.len() > 4 && whole.starts_with(b"(?P<") {
            Some(4)
        } else if whole.len() > 3 && whole.starts_with(b"(?<") {
            Some(3)
        } else {
            None
        };
        if let Some(start) = named {
            let Some(end) = whole.iter().position(|&byte| byte == b'>') else {
                check_utf8(whole)?;
                return Err(error("invalid named capture", whole));
            };
            let name = whole.get(start..end).unwrap_or_default();
            let rest = whole.get(end + 1..).unwrap_or_default();
            check_utf8(name)?;
            if name.is_empty() || !name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') {
                return Err(error("invalid named capture", until(whole, rest)));
            }
            self.capture(String::from_utf8_lossy(name).into_owned());
            return Ok(rest);
        }
        let mut rest = whole.get(2..).unwrap_or_default();
        let (mut flags, mut on, mut seen) = (self.flags, true, false);
        while !rest.is_empty() {
            let (c, behind) = rune(rest)?;
            rest = behind;
            match c {
                'i' => flags.fold = on,
                'm' => flags.lines = on,
                's' => flags.dot_newline = on,
                'U' => flags.lazy = on,
                '-' if on => {
                    on = false;
                    seen = false;
                    continue;
                }
                ':' | ')' if on || seen => {
                    if c == ':' {
                        self.open("(?:", flags);
                    } else {
                        self.flags = flags;
                    }
                    return Ok(rest);
                }
                _ => break,
            }
            seen = true;
        }
        Err(error("invalid or unsupported Perl syntax", until(whole, rest)))
    }

    // === Repetition ===

    /// Repeats the last item. `factor` is by how much its weight grows, and whether the product has to be looked
    /// at; `before` begins with the operator, `after` with what follows it.
    fn repeat<'p>(
        &mut self,
        operator: &str,
        (factor, counted): (u64, bool),
        before: &[u8],
        after: &'p [u8],
        last_repeat: Option<&[u8]>,
    ) -> Result<&'p [u8], String> {
        let (question, after) = match after.strip_prefix(b"?") {
            Some(behind) => (true, behind),
            None => (false, after),
        };
        if let Some(last) = last_repeat {
            return Err(error("invalid nested repetition operator", until(last, after)));
        }
        let Some(mut item) = self.group.last else {
            return Err(error("missing argument to repetition operator", until(before, after)));
        };
        item.weight = item.weight.saturating_mul(factor);
        self.group.size = self.group.size.saturating_sub(item.size);
        item.size = item.size.saturating_mul(factor.max(1));
        if counted && item.weight > MAX_REPEAT {
            return Err(error("invalid repeat count", until(before, after)));
        }
        // Only flags can stand between two operators, `a*(?i)*`. Beyond the limit the result is refused anyway.
        if item.repeated && item.height <= MAX_HEIGHT {
            self.out.insert_str(item.start, "(?:");
            self.out.push(')');
            item.height += 1;
        }
        item.repeated = true;
        self.out.push_str(operator);
        if question != self.flags.lazy {
            self.out.push('?');
        }
        self.group.push(item);
        Ok(after)
    }
}

/// `{n}`, `{n,}` or `{n,m}`: the counts and what follows. What has another form stands for itself.
fn counts(text: &[u8]) -> Option<(u64, Option<u64>, &[u8])> {
    let (least, rest) = count(text.strip_prefix(b"{")?)?;
    let (most, rest) = match rest.strip_prefix(b",") {
        None => (Some(least), rest),
        Some(rest) if rest.starts_with(b"}") => (None, rest),
        Some(rest) => {
            let (most, rest) = count(rest)?;
            (Some(most), rest)
        }
    };
    Some((least, most, rest.strip_prefix(b"}")?))
}

/// A decimal number without zeros in front; one too large for any count is only known as such.
fn count(text: &[u8]) -> Option<(u64, &[u8])> {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at_checked(length)?;
    if digits.is_empty() || digits.len() > 1 && digits.starts_with(b"0") {
        return None;
    }
    let number = digits.iter().fold(0u64, |number, digit| {
        number.saturating_mul(10).saturating_add(u64::from(digit - b'0')).min(MAX_REPEAT + 1)
    });
    Some((number, rest))
}

/// A character written with a backslash. It may be a surrogate, so it is a number.
pub(super) fn escape(whole: &[u8]) -> Result<(u32, &[u8]), String> {
    let body = whole.get(1..).unwrap_or_default();
    if body.is_empty() {
        return Err(error("trailing backslash at end of expression", b""));
    }
    let (c, mut rest) = rune(body)?;
    let octal = |text: &[u8]| text.first().copied().filter(|byte| matches!(byte, b'0'..=b'7'));
    match c {
        // One digit that is not zero would be a back-reference.
        '0'..='7' if c == '0' || octal(rest).is_some() => {
            let mut code = u32::from(c) - u32::from('0');
            for _ in 0..2 {
                let Some(digit) = octal(rest) else { break };
                code = code * 8 + u32::from(digit - b'0');
                rest = rest.get(1..).unwrap_or_default();
            }
            return Ok((code, rest));
        }
        'x' if !rest.is_empty() => {
            let (first, behind) = rune(rest)?;
            rest = behind;
            if first == '{' {
                let (mut code, mut digits) = (0u32, 0);
                while !rest.is_empty() {
                    let (c, behind) = rune(rest)?;
                    rest = behind;
                    match c.to_digit(16) {
                        Some(digit) => code = code * 16 + digit,
                        None if c == '}' && digits > 0 => return Ok((code, rest)),
                        None => break,
                    }
                    if code > u32::from(char::MAX) {
                        break;
                    }
                    digits += 1;
                }
            } else {
                // Go reads a second character here even where there is none.
                let second = if rest.is_empty() { None } else { Some(rune(rest)?) };
                if let Some((second, behind)) = second {
                    rest = behind;
                    if let (Some(high), Some(low)) = (first.to_digit(16), second.to_digit(16)) {
                        return Ok((high * 16 + low, rest));
                    }
                }
            }
        }
        'a' => return Ok((7, rest)),
        'f' => return Ok((12, rest)),
        'n' => return Ok((10, rest)),
        'r' => return Ok((13, rest)),
        't' => return Ok((9, rest)),
        'v' => return Ok((11, rest)),
        _ if c.is_ascii() && !c.is_ascii_alphanumeric() => return Ok((u32::from(c), rest)),
        _ => {}
    }
    Err(error("invalid escape sequence", until(whole, rest)))
}
