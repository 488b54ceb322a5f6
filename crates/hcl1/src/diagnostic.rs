//! A problem in a file, drawn with the line it stands on.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::{Source, Span};

/// How bad it is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// The file is used all the same.
    Warning,
    /// The file is refused.
    Error,
}

/// One problem: what, where, why, and what to do.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// Refused, or only remarked upon.
    pub severity: Severity,
    /// What is wrong, one line.
    pub message: String,
    /// The file it concerns; none for problems of the configuration as a whole.
    pub source: Option<Source>,
    /// The place in that file.
    pub span: Option<Span>,
    /// A few words at the caret.
    pub label: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// A reason to refuse the file, at a place in it.
    pub fn error(source: &Source, span: Span, message: impl Into<String>) -> Self {
        Self::at(Severity::Error, source, span, message)
    }

    /// A remark at a place in a file that is used all the same.
    pub fn warning(source: &Source, span: Span, message: impl Into<String>) -> Self {
        Self::at(Severity::Warning, source, span, message)
    }

    /// A problem of the whole, without a place.
    pub fn plain(severity: Severity, message: impl Into<String>) -> Self {
        Self { severity, message: message.into(), source: None, span: None, label: None, hint: None }
    }

    fn at(severity: Severity, source: &Source, span: Span, message: impl Into<String>) -> Self {
        Self {
            severity,
            message: message.into(),
            source: Some(source.clone()),
            span: Some(span),
            label: None,
            hint: None,
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds a few words at the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// `At LINE:COLUMN: MESSAGE`, the form of upstream's parser, or the message alone without a place.
    pub fn upstream_text(&self) -> String {
        match (&self.source, self.span) {
            (Some(source), Some(span)) => {
                let at = source.position(span.start);
                format!("At {}:{}: {}", at.line, at.column, self.message)
            }
            _ => self.message.clone(),
        }
    }

    /// Draws it as several lines: title, file, source line with carets, hint. No trailing newline.
    ///
    /// Only the first line of a long span is drawn, and control characters are shown as `?`, so that a file
    /// cannot drive the terminal it is complained about on.
    pub fn render(&self, color: Color) -> String {
        let level = match self.severity {
            Severity::Warning => Level::WARNING,
            Severity::Error => Level::ERROR,
        };
        let message = printable(&self.message);
        let title = level.primary_title(message.as_str());
        let hint = self.hint.as_deref().map(printable);
        let label = self.label.as_deref().map(printable);
        let place = self.source.as_ref().zip(self.span).map(|(source, span)| Place::new(source, span));

        let mut group: Group<'_> = match &place {
            Some(place) => {
                let kind = AnnotationKind::Primary.span(place.from..place.to);
                let annotation = match &label {
                    Some(label) => kind.label(label.as_str()),
                    None => kind,
                };
                title.element(
                    Snippet::source(place.line.as_str())
                        .line_start(place.number)
                        .path(place.name.as_str())
                        .annotation(annotation),
                )
            }
            None => Group::with_title(title),
        };
        if let Some(hint) = &hint {
            group = group.element(Level::HELP.with_name("hint").message(hint.as_str()));
        }
        let renderer = match color {
            Color::Plain => Renderer::plain(),
            Color::Ansi => Renderer::styled(),
        };
        renderer.render(&[group])
    }
}

/// Whether drawings use terminal colours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Color {
    /// Text alone.
    Plain,
    /// ANSI colours, for a terminal.
    Ansi,
}

/// A line cut out of a source, with the part to underline.
struct Place {
    name: String,
    line: String,
    number: usize,
    from: usize,
    to: usize,
}

impl Place {
    fn new(source: &Source, span: Span) -> Self {
        let (whole, line) = source.line(span.start);
        let line = printable(line.trim_end_matches('\r'));
        let from = floor_boundary(&line, span.start.saturating_sub(whole.start));
        let end = span.end.min(whole.end).saturating_sub(whole.start);
        let to = floor_boundary(&line, end).max(from);
        Self { name: printable(source.name()), line, number: source.position(span.start).line, from, to }
    }
}

/// The text with control characters made visible. A byte stays a byte wherever it was one, so offsets hold.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_control() && c != '\t' && c != '\n' { '?' } else { c }).collect()
}

fn floor_boundary(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
