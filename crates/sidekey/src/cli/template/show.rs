//! What is wrong with a template, drawn with its own line, a caret and a hint.

use hcl1::{Diagnostic, Severity, Source, Span};

use super::super::check::color;

/// Prints `message` to standard error, with the line of `text` where `span` lies, if it lies anywhere.
#[expect(clippy::print_stderr, reason = "the command line speaks here")]
pub(super) fn show(name: &str, text: &[u8], span: Option<std::ops::Range<usize>>, message: &str, hint: Option<&str>) {
    let mut diagnostic = match span {
        Some(span) => {
            let source = Source::new(name, text);
            Diagnostic::error(&source, Span::new(span.start, span.end), message)
        }
        None => Diagnostic::plain(Severity::Error, format!("{name}: {message}")),
    };
    if let Some(hint) = hint {
        diagnostic = diagnostic.hint(hint);
    }
    eprintln!("{}", diagnostic.render(color()));
}
