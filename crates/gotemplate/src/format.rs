//! Go's `fmt`: `Sprint`, `Sprintln`, `Sprintf` and the printing of values by `%v` and its kin.
//!
//! A wrong verb is no error but a marker in the output, such as `%!d(string=x)`.

mod directive;
mod number;
mod string;
mod value;

use crate::text::rune_count;
use crate::value::Value;

/// How deep lists and maps may nest in what is printed; beyond it printing fails instead of exhausting the stack.
const MAX_DEPTH: usize = 200;
/// The longest text one call makes. A template that doubles a string in a loop would take all memory.
pub(crate) const MAX_LENGTH: usize = 16 << 20;
/// What is said when it gets longer.
pub(crate) const TOO_LONG: &str = "text exceeds 16777216 bytes";
/// Go refuses a width or precision above this.
const MAX_WIDTH: i64 = 1_000_000;

/// `fmt.Sprint`: a space between two operands when neither is a string.
///
/// # Errors
/// When values nest too deeply or the text gets too long to be meant.
pub fn sprint(args: &[Value]) -> Result<Vec<u8>, &'static str> {
    let mut printer = Printer::default();
    let mut previous_string = false;
    for (at, arg) in args.iter().enumerate() {
        let string = arg.is_string_kind();
        if at > 0 && !string && !previous_string {
            printer.put(b" ");
        }
        printer.arg(arg, 'v');
        previous_string = string;
    }
    printer.finish()
}

/// `fmt.Sprintln`: spaces between operands always, a newline at the end.
///
/// # Errors
/// As [`sprint`].
pub fn sprintln(args: &[Value]) -> Result<Vec<u8>, &'static str> {
    let mut printer = Printer::default();
    for (at, arg) in args.iter().enumerate() {
        if at > 0 {
            printer.put(b" ");
        }
        printer.arg(arg, 'v');
    }
    printer.put(b"\n");
    printer.finish()
}

/// `fmt.Sprintf`.
///
/// # Errors
/// As [`sprint`].
pub fn sprintf(format: &[u8], args: &[Value]) -> Result<Vec<u8>, &'static str> {
    let mut printer = Printer::default();
    printer.format(format, args);
    printer.finish()
}

#[derive(Clone, Copy, Default)]
struct Flags {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    /// `%+v` and `%#v` change the whole tree, not its leaves.
    plus_v: bool,
    sharp_v: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

#[derive(Default)]
struct Printer {
    out: Vec<u8>,
    flags: Flags,
    /// Inside a bad-verb marker, where no method is called.
    erroring: bool,
    reordered: bool,
    good_index: bool,
    /// No `]` comes any more; looking for it at every `[` would take quadratic time.
    no_bracket: bool,
    failure: Option<&'static str>,
}

impl Printer {
    fn finish(self) -> Result<Vec<u8>, &'static str> {
        match self.failure {
            Some(failure) => Err(failure),
            None => Ok(self.out),
        }
    }

    /// Everything printed comes through here or through `padding`, so the text never gets longer than allowed.
    pub(super) fn put(&mut self, text: &[u8]) {
        if self.has_room(text.len()) {
            self.out.extend_from_slice(text);
        }
    }

    pub(super) fn push(&mut self, text: &str) {
        self.put(text.as_bytes());
    }

    pub(super) fn padding(&mut self, count: usize, byte: u8) {
        if self.has_room(count) {
            self.out.resize(self.out.len() + count, byte);
        }
    }

    fn has_room(&mut self, count: usize) -> bool {
        if self.out.len().saturating_add(count) > MAX_LENGTH {
            self.failure = Some(TOO_LONG);
        }
        self.failure.is_none()
    }

    pub(super) fn pad(&mut self, text: &[u8]) {
        // Zeros are for the left only.
        let byte = if self.flags.zero && !self.flags.minus { b'0' } else { b' ' };
        self.pad_with(text, byte);
    }

    pub(super) fn pad_unzeroed(&mut self, text: &[u8]) {
        self.pad_with(text, b' ');
    }

    fn pad_with(&mut self, text: &[u8], byte: u8) {
        let count = self.flags.width.map_or(0, |width| width.saturating_sub(rune_count(text)));
        if !self.flags.minus {
            self.padding(count, byte);
        }
        self.put(text);
        if self.flags.minus {
            self.padding(count, byte);
        }
    }
}
