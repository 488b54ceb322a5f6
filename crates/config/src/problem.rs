//! Problems, how upstream prints them, and where the decoders put them.

use std::cell::RefCell;
use std::fmt;

use hcl1::{Color, Diagnostic, Severity, Source, Span};

use crate::decode::Stanzas;

/// What upstream prints before a problem's own words.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Frame {
    /// `error loading configuration from <path>: `
    File(String),
    /// `error loading configuration from <folder>: error loading "<file>": `
    InFolder { folder: String, file: String },
    /// `error validating configuration: `, for what concerns all files together.
    Whole,
    /// Nothing: what upstream finds out only when it starts.
    Bare,
}

/// A reason to refuse the configuration.
#[derive(Clone, Debug)]
pub struct Problem {
    /// What is wrong, drawn with its place where there is one.
    pub diagnostic: Diagnostic,
    frame: Frame,
    /// The stanza, as upstream's messages name it.
    prefix: String,
    /// Upstream names line and column.
    located: bool,
}

impl Problem {
    pub(crate) fn new(frame: Frame, prefix: impl Into<String>, diagnostic: Diagnostic) -> Self {
        Self { diagnostic, frame, prefix: prefix.into(), located: false }
    }

    pub(crate) fn located(mut self) -> Self {
        self.located = true;
        self
    }

    /// A problem of all files together.
    pub(crate) fn whole(message: impl Into<String>, place: Option<&Place>) -> Self {
        Self::new(Frame::Whole, "", diagnostic(message, place))
    }

    /// A problem that upstream finds only when it starts.
    pub(crate) fn at_start(message: impl Into<String>, place: Option<&Place>) -> Self {
        Self::new(Frame::Bare, "", diagnostic(message, place))
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.diagnostic = self.diagnostic.hint(hint);
        self
    }

    /// The line upstream prints for it, for tools that match on its output.
    pub fn upstream_text(&self) -> String {
        let frame = match &self.frame {
            Frame::File(path) => format!("error loading configuration from {path}: "),
            Frame::InFolder { folder, file } => {
                format!("error loading configuration from {folder}: error loading {file:?}: ")
            }
            Frame::Whole => "error validating configuration: ".to_owned(),
            Frame::Bare => String::new(),
        };
        let cause = match self.located {
            true => self.diagnostic.upstream_text(),
            false => self.diagnostic.message.clone(),
        };
        format!("{frame}{}{cause}", self.prefix)
    }
}

fn diagnostic(message: impl Into<String>, place: Option<&Place>) -> Diagnostic {
    match place {
        Some(place) => Diagnostic::error(&place.source, place.span, message),
        None => Diagnostic::plain(Severity::Error, message),
    }
}

/// The error for what upstream has and we have not, always worded alike. `what` carries its own quotes.
pub(crate) fn not_built(what: &str) -> String {
    format!("{what} is not built yet in this version of Sidekey")
}

/// The way out of [`not_built`].
pub(crate) const NOT_BUILT_HINT: &str = "remove it to go on without it";

/// The configuration is refused: every reason, in the order of the files.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Never empty.
    pub problems: Vec<Problem>,
    /// What would have been remarked upon all the same.
    pub warnings: Vec<Diagnostic>,
}

impl Failure {
    /// The problems as diagnostics.
    pub fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        self.problems.iter().map(|problem| &problem.diagnostic)
    }

    /// The lines upstream would print, one a problem, each line once.
    pub fn upstream_lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for problem in &self.problems {
            let line = problem.upstream_text();
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        lines
    }

    /// Every problem drawn with its place and its hint, an empty line between them. No trailing newline.
    pub fn render(&self, color: Color) -> String {
        self.diagnostics().map(|d| d.render(color)).collect::<Vec<_>>().join("\n\n")
    }
}

/// The lines upstream would print.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.upstream_lines().join("\n"))
    }
}

impl std::error::Error for Failure {}

/// A place in some file, for problems found after the files were merged.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) source: Source,
    pub(crate) span: Span,
}

/// A value and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Placed<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

/// What becomes of keys nobody knows.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum UnknownKeys {
    /// A warning; upstream passes over them in silence.
    #[default]
    Warn,
    /// An error (`-strict`).
    Refuse,
}

/// More than this many problems or remarks of one file are one mistake's echo, and nobody reads them.
pub(crate) const MAX_TOLD: usize = 100;

/// Where the decoders of one file put what they find.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) source: Source,
    pub(crate) frame: Frame,
    /// What the stanzas that were read know.
    pub(crate) stanzas: RefCell<Stanzas>,
    unknown_keys: UnknownKeys,
    problems: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Diagnostic>>,
}

impl Report {
    pub(crate) fn new(source: Source, frame: Frame, unknown_keys: UnknownKeys) -> Self {
        Self {
            source,
            frame,
            stanzas: RefCell::default(),
            unknown_keys,
            problems: RefCell::default(),
            warnings: RefCell::default(),
        }
    }

    /// Adds a reason to refuse the file. A decoder may come by a place twice; the second time is passed over.
    pub(crate) fn refuse(&self, problem: Problem) {
        let mut problems = self.problems.borrow_mut();
        if problems.len() >= MAX_TOLD {
            return;
        }
        if !problems.iter().any(|known| same(&known.diagnostic, &problem.diagnostic)) {
            problems.push(problem);
        }
    }

    /// Adds a remark, unless it was made already.
    pub(crate) fn warn(&self, warning: Diagnostic) {
        let mut warnings = self.warnings.borrow_mut();
        if warnings.len() >= MAX_TOLD {
            return;
        }
        if !warnings.iter().any(|known| same(known, &warning)) {
            warnings.push(warning);
        }
    }

    /// A key nobody knows.
    pub(crate) fn unknown_key(&self, mut warning: Diagnostic) {
        match self.unknown_keys {
            UnknownKeys::Warn => self.warn(warning),
            UnknownKeys::Refuse => {
                warning.severity = Severity::Error;
                self.refuse(Problem::new(self.frame.clone(), "", warning).located());
            }
        }
    }

    /// Whether there is no room for another remark.
    pub(crate) fn is_full(&self) -> bool {
        self.warnings.borrow().len() >= MAX_TOLD || self.problems.borrow().len() >= MAX_TOLD
    }

    pub(crate) fn place(&self, span: Span) -> Place {
        Place { source: self.source.clone(), span }
    }

    pub(crate) fn into_parts(self) -> (Vec<Problem>, Vec<Diagnostic>) {
        (self.problems.into_inner(), self.warnings.into_inner())
    }
}

fn same(a: &Diagnostic, b: &Diagnostic) -> bool {
    a.span == b.span && a.message == b.message
}
