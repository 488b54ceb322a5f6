//! Strings: as they are, quoted, in hexadecimal.

use std::fmt::Write as _;

use super::Printer;
use crate::text::{Quoting, quote, truncate_runes};
use crate::value::Value;

impl Printer {
    pub(super) fn string(&mut self, value: &Value, text: &[u8], verb: char) {
        match verb {
            'v' if self.flags.sharp_v => self.quoted(text),
            'v' | 's' => self.text(text),
            'q' => self.quoted(text),
            'x' | 'X' => self.hex(text, verb == 'X'),
            _ => self.bad_verb(value, verb),
        }
    }

    pub(super) fn text(&mut self, text: &[u8]) {
        let text = self.flags.precision.map_or(text, |limit| truncate_runes(text, limit));
        self.pad(text);
    }

    fn quoted(&mut self, text: &[u8]) {
        let text = self.flags.precision.map_or(text, |limit| truncate_runes(text, limit));
        let quoted = if self.flags.sharp && can_backquote(text) {
            [b"`", text, b"`"].concat()
        } else {
            quote(text, if self.flags.plus { Quoting::Ascii } else { Quoting::Unicode }).into_bytes()
        };
        self.pad(&quoted);
    }

    fn hex(&mut self, text: &[u8], upper: bool) {
        let length = self.flags.precision.map_or(text.len(), |limit| limit.min(text.len()));
        let prefix = match (self.flags.sharp, upper) {
            (false, _) => "",
            (true, false) => "0x",
            (true, true) => "0X",
        };
        let mut out = String::new();
        for (at, byte) in text[..length].iter().enumerate() {
            if at > 0 && self.flags.space {
                out.push(' ');
            }
            if at == 0 || self.flags.space {
                out.push_str(prefix);
            }
            // Writing into a String cannot fail.
            let _ = if upper { write!(out, "{byte:02X}") } else { write!(out, "{byte:02x}") };
        }
        self.pad(out.as_bytes());
    }
}

/// Go's `CanBackquote`: one line, no backquote, no control character but tab, no byte order mark.
fn can_backquote(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    text.chars().all(|rune| match rune {
        '\t' => true,
        '`' | '\u{7f}' | '\u{feff}' => false,
        _ => rune >= ' ',
    })
}
