//! What went wrong, as Go words it, and where, so that a caller can show the line.

use std::fmt;
use std::ops::Range;

use crate::exec::Limit;

/// A template that could not be parsed. Displayed as `template: NAME:LINE: MESSAGE`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseError {
    /// The template's name.
    pub name: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in bytes, from 0. Go does not show it.
    pub column: usize,
    /// The offending bytes of the template; may be empty.
    pub span: Range<usize>,
    /// The bare message.
    pub message: String,
    /// The name, when the message is `function "x" not defined`.
    pub undefined_function: Option<String>,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "template: {}:{}: {}", self.name, self.line, self.message)
    }
}

impl std::error::Error for ParseError {}

/// A template that failed while running.
///
/// Displayed as `template: NAME:LINE:COL: executing "TEMPLATE" at <CONTEXT>: MESSAGE`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExecError {
    /// The name of the text that was parsed.
    pub name: String,
    /// The defined template that was running; [`name`](Self::name) outside of any `define`.
    pub template: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in bytes, from 0.
    pub column: usize,
    /// Where in the template the context begins, and how many bytes its first line has if it stands there
    /// literally.
    pub span: Range<usize>,
    /// The expression, printed canonically.
    pub context: String,
    /// The bare message.
    pub message: String,
    /// The bound that was exceeded, if that is what went wrong.
    pub limit: Option<Limit>,
}

impl fmt::Display for ExecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, line, column, context, message, .. } = self;
        let template = crate::text::quoted(self.template.as_bytes());
        write!(f, "template: {name}:{line}:{column}: executing {template} at <{context}>: {message}")
    }
}

impl std::error::Error for ExecError {}

/// Line (from 1) and column (bytes, from 0) of an offset.
pub(crate) fn position(text: &[u8], offset: usize) -> (usize, usize) {
    let before = &text[..offset.min(text.len())];
    let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
    let start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    (line, before.len() - start)
}
