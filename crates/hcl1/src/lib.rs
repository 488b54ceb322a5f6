//! HCL1, the configuration language of the Vault and OpenBao agents, and its JSON twin.
//!
//! Both spellings are read into one tree ([`Object`]) in which every key and value knows its byte [`Span`],
//! so that whoever interprets the tree can point at the place he complains about ([`Diagnostic`]).
//! Syntax only: nothing here knows a stanza, a default or a file. HCL1 is not HCL2; the rules that differ
//! are told beside the code that follows them (`lex.rs`, `text.rs`).
//!
//! ```
//! let source = hcl1::Source::new("agent.hcl", "pid_file = \"/run/sidekey.pid\"");
//! let tree = hcl1::parse(&source).unwrap();
//! assert_eq!(tree.items[0].keys[0].text, "pid_file");
//! ```

mod diagnostic;
mod json;
mod lex;
mod parse;
mod source;
mod text;
mod tree;

pub use diagnostic::{Color, Diagnostic, Severity};
pub use source::{Position, Source, Span};
pub use tree::{Item, Key, Kind, Object, StringText, Syntax, Value};

/// How many objects and lists may stand inside one another. Real configurations use five; a deeper file is
/// refused with a diagnostic instead of exhausting the stack.
pub const MAX_DEPTH: usize = 200;

/// Reads a whole file. JSON when the first character that is not white space is `{`, HCL1 otherwise: the
/// content decides, never the file's name.
///
/// # Errors
/// Every problem found, in the order of the file. The first line of each message is worded as upstream's
/// parser words it, because tools match on it.
pub fn parse(source: &Source) -> Result<Object, Vec<Diagnostic>> {
    let text = match source.utf8() {
        Ok(text) => text,
        Err(at) => {
            let at = Span::new(at, at + 1);
            let why = Diagnostic::error(source, at, "illegal UTF-8 encoding")
                .hint("save the file as UTF-8; inside a string a byte can be written as \\xff");
            return Err(vec![why]);
        }
    };
    if let Some(at) = text.find('\0') {
        let why = Diagnostic::error(source, Span::new(at, at + 1), "unexpected null character (0x00)");
        return Err(vec![why.hint("the file is damaged, or no text file")]);
    }
    // A byte order mark is refused by upstream; editors write it unasked, and skipping it harms nobody.
    let start = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    if text[start..].trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
        json::parse(source, text, start)
    } else {
        parse::parse(source, text, start)
    }
}
