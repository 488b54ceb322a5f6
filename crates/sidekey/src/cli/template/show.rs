//! What is wrong with a template, drawn with its own line and a caret.

use std::ops::Range;

use hcl1::{Diagnostic, Severity, Source, Span};
use template::{RenderError, Rendered};

use super::super::check::color;

/// Prints why a template did not render, to standard error.
pub(super) fn show(name: &str, rendered: &Rendered, error: &RenderError) {
    let place: Option<Range<usize>> = match error {
        RenderError::Parse(error) => Some(error.span.clone()),
        RenderError::Exec(error) => Some(error.span.clone()),
        RenderError::Source(_) | RenderError::Fetch(_) | RenderError::Endless | RenderError::Bug => None,
    };
    let diagnostic = match place {
        Some(span) => {
            let source = Source::new(name, rendered.template.as_slice());
            Diagnostic::error(&source, Span::new(span.start, span.end), error.to_string())
        }
        None => Diagnostic::plain(Severity::Error, format!("{name}: {error}")),
    };
    errln!("{}\n", diagnostic.render(color()));
}
