//! Reading keys and blocks out of the tree.
//!
//! A decoder asks a [`Fields`] for its keys by name and ends with [`Fields::finish`], which complains about the
//! keys nobody asked for. Everything wrong goes to the [`Report`]; what a decoder gets back then is a stand-in,
//! good for going on to the next mistake, and no settings are made of it.
//!
//! How strict a kind of value is follows upstream, which is stricter than one would guess in places and laxer in
//! others. We accept more where it cannot be misread: `"true"` for a boolean, numbers for strings, `null` for
//! "not given", lists of blocks in HCL.

mod blocks;
mod stanzas;
mod values;

use std::cell::RefCell;

use hcl1::{Diagnostic, Item, Kind, Object, Span, Syntax, Value};

use crate::nearest::nearest;
use crate::problem::{Frame, NOT_BUILT_HINT, Problem, Report, not_built};

pub(crate) use blocks::{Block, Labels};
pub(crate) use stanzas::Stanzas;
pub(crate) use values::{lax_bool, seconds};

/// The keys of one stanza.
pub(crate) struct Fields<'a> {
    pub(crate) report: &'a Report,
    items: Vec<&'a Item>,
    /// The stanza's key and labels.
    pub(crate) span: Span,
    /// `auto_auth.method`; empty for a whole file.
    path: String,
    frame: Frame,
    /// What upstream's messages begin with.
    prefix: String,
    wording: Wording,
    syntax: Syntax,
    known: RefCell<Vec<&'static str>>,
    /// Keys with their other names.
    aliases: RefCell<Vec<(&'static str, &'static str)>>,
}

/// How upstream words a bad value.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Wording {
    /// Prefix, cause.
    #[default]
    Plain,
    /// Prefix without its colon, `invalid value for tls_disable: `, cause.
    Listener,
    /// Prefix, the key in single quotes, cause; and unknown keys are errors.
    Template,
}

impl<'a> Fields<'a> {
    /// The keys of a whole file.
    pub(crate) fn of_file(report: &'a Report, object: &'a Object) -> Self {
        Self {
            report,
            items: object.items.iter().collect(),
            span: Span::default(),
            path: String::new(),
            frame: report.frame.clone(),
            prefix: String::new(),
            wording: Wording::Plain,
            syntax: object.syntax,
            known: RefCell::default(),
            aliases: RefCell::default(),
        }
    }

    /// The keys of a block inside this stanza.
    pub(crate) fn inside(&self, name: &str, block: &Block<'a>, prefix: impl Into<String>) -> Self {
        self.inside_all(name, std::slice::from_ref(block), prefix)
    }

    /// The keys of several blocks taken together, the later ones winning.
    pub(crate) fn inside_all(&self, name: &str, blocks: &[Block<'a>], prefix: impl Into<String>) -> Self {
        let items = blocks.iter().filter_map(|block| block.object).flat_map(|object| &object.items).collect();
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Self {
            report: self.report,
            items,
            span: blocks.first().map_or(self.span, |block| block.span),
            path,
            frame: self.report.frame.clone(),
            prefix: prefix.into(),
            wording: Wording::Plain,
            syntax: self.syntax,
            known: RefCell::default(),
            aliases: RefCell::default(),
        }
    }

    /// The same with more words behind the prefix, for upstreams that name the key in the message.
    pub(crate) fn with_more_prefix(&self, more: &str) -> Self {
        self.with_prefix(format!("{}{more}", self.prefix))
    }

    /// The same keys with other words before the problems. Keys asked for here count as unknown there.
    pub(crate) fn with_prefix(&self, prefix: impl Into<String>) -> Self {
        Self {
            report: self.report,
            items: self.items.clone(),
            span: self.span,
            path: self.path.clone(),
            frame: self.frame.clone(),
            prefix: prefix.into(),
            wording: self.wording,
            syntax: self.syntax,
            known: RefCell::default(),
            aliases: self.aliases.clone(),
        }
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(crate) fn is_hcl(&self) -> bool {
        self.syntax == Syntax::Hcl
    }

    pub(crate) fn worded(mut self, wording: Wording) -> Self {
        self.wording = wording;
        self
    }

    /// From here on, problems are such as upstream finds only when it starts.
    pub(crate) fn at_start(mut self, prefix: impl Into<String>) -> Self {
        self.frame = Frame::Bare;
        self.prefix = prefix.into();
        self
    }

    // === Problems ===

    pub(crate) fn refuse(&self, span: Span, message: impl Into<String>) {
        self.refuse_as(&self.prefix, Diagnostic::error(&self.report.source, span, message), false);
    }

    pub(crate) fn refuse_with(&self, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        let diagnostic = Diagnostic::error(&self.report.source, span, message).hint(hint);
        self.refuse_as(&self.prefix, diagnostic, false);
    }

    /// A problem of the stanza that upstream words without the colon behind the stanza's name.
    pub(crate) fn refuse_beside(&self, span: Span, message: impl Into<String>) {
        let prefix = format!("{} ", self.prefix.trim_end_matches(": "));
        self.refuse_as(&prefix, Diagnostic::error(&self.report.source, span, message), false);
    }

    pub(crate) fn warn(&self, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.report.warn(Diagnostic::warning(&self.report.source, span, message).hint(hint));
    }

    /// `what` is something upstream has; it carries its own quotes.
    pub(crate) fn refuse_not_built(&self, span: Span, what: &str) {
        let diagnostic = Diagnostic::error(&self.report.source, span, not_built(what)).hint(NOT_BUILT_HINT);
        // Whatever upstream would find out only when it starts, we say while reading the file.
        let prefix = match self.frame {
            Frame::Bare => "",
            // Nothing failed to decode.
            _ => self.prefix.split("decoding failed").next().unwrap_or_default(),
        };
        self.report.refuse(Problem::new(self.report.frame.clone(), prefix, diagnostic));
    }

    fn refuse_as(&self, prefix: &str, diagnostic: Diagnostic, located: bool) {
        let problem = Problem::new(self.frame.clone(), prefix, diagnostic);
        self.report.refuse(if located { problem.located() } else { problem });
    }

    /// A value of the right kind that names something unknown.
    pub(crate) fn refuse_named(&self, key: &'static str, why: &str, hint: &str) {
        self.refuse_value(key, self.span_of(key), "invalid value for", why, Some(hint));
    }

    /// A value of the wrong kind.
    fn refuse_kind(&self, key: &str, value: &Value, wanted: &str) {
        let message = format!("`{key}` must be {wanted}, not a {}", value.kind.name());
        let mut diagnostic = Diagnostic::error(&self.report.source, value.span, message);
        if let (Kind::Bool(value), "a string") = (&value.kind, wanted) {
            diagnostic = diagnostic.hint(format!("put it in quotes: \"{value}\""));
        }
        self.refuse_as(&self.prefix, diagnostic, true);
    }

    /// A value of the right kind that says nothing sensible: `kind` is upstream's word before the key.
    fn refuse_value(&self, key: &str, span: Span, kind: &str, why: &str, hint: Option<&str>) {
        let (prefix, message) = match self.wording {
            Wording::Plain => (self.prefix.clone(), why.to_owned()),
            Wording::Listener => {
                (format!("{} {kind} {key}: ", self.prefix.trim_end_matches(": ")), why.to_owned())
            }
            Wording::Template => (self.prefix.clone(), format!("'{key}' {why}")),
        };
        let mut diagnostic = Diagnostic::error(&self.report.source, span, message);
        if let Some(hint) = hint {
            diagnostic = diagnostic.hint(hint);
        }
        self.refuse_as(&prefix, diagnostic, false);
    }

    // === Keys ===

    /// From here on, whatever is asked of `key` is answered by `alias` as well. Both at once are refused: which one
    /// counts would be a guess.
    pub(crate) fn also_called(&self, key: &'static str, alias: &'static str) {
        if self.has(key) && self.has(alias) {
            let message =
                format!("`{alias}` is another name of `{key}`, and both are given{}", self.in_path());
            self.refuse_with(self.key_span(alias), message, "keep one of them");
        }
        self.aliases.borrow_mut().push((key, alias));
    }

    /// Every item of that key, in order.
    fn all(&self, key: &'static str) -> impl Iterator<Item = &'a Item> {
        let aliases = self.aliases.borrow();
        let aliases = aliases.iter().filter(|(known, _)| *known == key).map(|(_, alias)| *alias);
        let names: Vec<_> = std::iter::once(key).chain(aliases).collect();
        self.ignore(&names);
        let is_named =
            move |item: &&Item| names.iter().any(|name| item.key().text.eq_ignore_ascii_case(name));
        self.items.iter().copied().filter(is_named)
    }

    /// The value of a key that may stand there once: the last one, with a remark when there are several.
    pub(crate) fn value(&self, key: &'static str) -> Option<&'a Value> {
        let items: Vec<&Item> = self.all(key).collect();
        let (last, earlier) = items.split_last()?;
        for item in earlier {
            self.warn(
                item.key().span,
                format!("`{key}` is given more than once{}", self.in_path()),
                "the last one counts; remove this one",
            );
        }
        Some(&last.value)
    }

    pub(crate) fn has(&self, key: &'static str) -> bool {
        self.all(key).next().is_some()
    }

    /// Where the value of a key stands; the stanza's own place when it is not given.
    pub(crate) fn span_of(&self, key: &'static str) -> Span {
        self.all(key).last().map_or(self.span, |item| item.value.span)
    }

    /// Where the last such key stands.
    pub(crate) fn key_span(&self, key: &'static str) -> Span {
        self.all(key).last().map_or(self.span, |item| item.key().span)
    }

    /// Keys that are legal and mean nothing here.
    pub(crate) fn ignore(&self, keys: &[&'static str]) {
        let mut known = self.known.borrow_mut();
        for key in keys {
            if !known.contains(key) {
                known.push(key);
            }
        }
    }

    /// Refuses a key that upstream has and we have not.
    pub(crate) fn not_built(&self, key: &'static str) {
        for item in self.all(key) {
            self.refuse_not_built(item.key().span, &format!("\"{key}\""));
        }
    }

    /// Whether there is a key that nobody has asked for so far.
    pub(crate) fn has_unknown(&self) -> bool {
        let known = self.known.borrow();
        self.items.iter().any(|item| !known.iter().any(|known| item.key().text.eq_ignore_ascii_case(known)))
    }

    /// Complains about the keys nobody asked for.
    pub(crate) fn finish(self) {
        let known = self.known.borrow();
        let mut stanzas = self.report.stanzas.borrow_mut();
        stanzas.add(&self.path, &known);
        for item in &self.items {
            if self.report.is_full() {
                break;
            }
            let key = item.key();
            if known.iter().any(|known| key.text.eq_ignore_ascii_case(known)) {
                continue;
            }
            // What is exactly another stanza's key is no slip.
            let elsewhere = stanzas.inside(&self.path, &key.text);
            let hint = match elsewhere.map(|stanza| format!("it belongs into {stanza}")) {
                None => nearest(&key.text, &known).map(|near| format!("did you mean `{near}`?")),
                elsewhere => elsewhere,
            };
            let message = match self.wording {
                Wording::Template if self.path == "exec" => {
                    format!("'config.ExecConfig' has invalid keys: {}", key.text)
                }
                Wording::Template if ["allow", "env", "exec", "wait"].contains(&self.name()) => {
                    format!("'{}' has invalid keys: {}", self.name(), key.text)
                }
                Wording::Template => format!("'config.TemplateConfig' has invalid keys: {}", key.text),
                _ => format!("unknown key `{}`{}", key.text, self.in_path()),
            };
            let mut diagnostic = Diagnostic::error(&self.report.source, key.span, message);
            if let Some(hint) = hint {
                diagnostic = diagnostic.hint(hint);
            }
            if self.wording == Wording::Template {
                self.refuse_as(&self.prefix, diagnostic, false);
            } else {
                diagnostic.severity = hcl1::Severity::Warning;
                self.report.unknown_key(diagnostic);
            }
        }
    }

    /// The stanza's own name.
    fn name(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or_default()
    }

    fn in_path(&self) -> String {
        if self.path.is_empty() { String::new() } else { format!(" in {}", self.path) }
    }
}
