//! Reading keys and blocks out of the tree.
//!
//! A decoder asks a [`Fields`] for its keys by name and ends with [`Fields::finish`], which complains about the
//! keys nobody asked for. Everything wrong goes to the [`Report`]; what a decoder gets back then is a stand-in,
//! good for going on to the next mistake, and no settings are made of it.
//!
//! How strict a kind of value is follows upstream, which is stricter than one would guess in places and laxer in
//! others. We accept more where it cannot be misread: `"true"` for a boolean, numbers for strings, `null` for
//! "not given", lists of blocks in HCL.

use std::cell::RefCell;
use std::path::PathBuf;

use hcl1::{Diagnostic, Item, Key, Kind, Object, Span, Syntax, Value};

use crate::go_duration::GoDuration;
use crate::go_scalar::{parse_bool, parse_integer};
use crate::nearest::nearest;
use crate::problem::{Frame, NOT_BUILT_HINT, Placed, Problem, Report, not_built};

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

/// A block with what stands between its key and its brace.
pub(crate) struct Block<'a> {
    pub(crate) labels: Vec<&'a Key>,
    /// `None` when something else stands where the block should: it was reported.
    pub(crate) object: Option<&'a Object>,
    /// Key and labels.
    pub(crate) span: Span,
}

/// Whether a block carries labels. It matters in JSON, which writes them as one more level of objects.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Labels {
    /// None are asked for; some are passed over.
    Ignored,
    /// One may be there. The listed keys are blocks of the stanza's own and not labels.
    Wanted(&'static [&'static str]),
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
        }
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
        let prefix = if self.frame == Frame::Bare { "" } else { &self.prefix };
        self.report.refuse(Problem::new(self.report.frame.clone(), prefix, diagnostic));
    }

    fn refuse_as(&self, prefix: &str, diagnostic: Diagnostic, located: bool) {
        let problem = Problem::new(self.frame.clone(), prefix, diagnostic);
        self.report.refuse(if located { problem.located() } else { problem });
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

    /// Every item of that key, in order.
    fn all(&self, key: &'static str) -> impl Iterator<Item = &'a Item> {
        self.ignore(&[key]);
        self.items.iter().copied().filter(move |item| item.key().text.eq_ignore_ascii_case(key))
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

    /// Complains about the keys nobody asked for.
    pub(crate) fn finish(self) {
        let known = self.known.borrow();
        for item in &self.items {
            let key = item.key();
            if known.iter().any(|known| key.text.eq_ignore_ascii_case(known)) {
                continue;
            }
            let hint = nearest(&key.text, &known).map(|near| format!("did you mean `{near}`?"));
            let message = match self.wording {
                Wording::Template if self.path.ends_with("exec") => {
                    format!("'exec' has invalid keys: {}", key.text)
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

    fn in_path(&self) -> String {
        if self.path.is_empty() { String::new() } else { format!(" in {}", self.path) }
    }

    // === Values ===

    /// Bytes: a string, or a number as it was written.
    pub(crate) fn bytes(&self, key: &'static str) -> Option<Vec<u8>> {
        let value = self.value(key)?;
        match &value.kind {
            Kind::String(text) => Some(text.0.clone()),
            Kind::Number(text) => Some(text.clone().into_bytes()),
            Kind::Null => None,
            _ => {
                self.refuse_kind(key, value, "a string");
                None
            }
        }
    }

    /// Text; `Some("")` when the key is there and empty.
    pub(crate) fn text(&self, key: &'static str) -> Option<String> {
        match String::from_utf8(self.bytes(key)?) {
            Ok(text) => Some(text),
            Err(_) => {
                self.refuse(self.span_of(key), format!("`{key}` holds bytes that are not UTF-8"));
                None
            }
        }
    }

    /// Text, if there is any.
    pub(crate) fn filled(&self, key: &'static str) -> Option<String> {
        self.text(key).filter(|text| !text.is_empty())
    }

    /// Text with its place.
    pub(crate) fn placed(&self, key: &'static str) -> Option<Placed<String>> {
        let value = self.text(key)?;
        Some(Placed { value, place: self.report.place(self.span_of(key)) })
    }

    /// A path, if it is not empty.
    pub(crate) fn file(&self, key: &'static str) -> Option<PathBuf> {
        self.filled(key).map(PathBuf::from)
    }

    /// A whole number, bare or in a string.
    pub(crate) fn integer(&self, key: &'static str) -> Option<i64> {
        let value = self.value(key)?;
        let text = match &value.kind {
            Kind::Number(text) => text.as_str(),
            Kind::String(text) => text.as_str().unwrap_or("\u{fffd}"),
            Kind::Null => return None,
            _ => {
                self.refuse_kind(key, value, "a whole number");
                return None;
            }
        };
        if matches!(value.kind, Kind::Number(_)) && is_float(text) {
            let message = format!("`{key}` must be a whole number");
            self.refuse_as(&self.prefix, Diagnostic::error(&self.report.source, value.span, message), true);
            return None;
        }
        parse_integer(text)
            .map_err(|why| self.refuse_value(key, value.span, "error parsing", &why, None))
            .ok()
    }

    /// A number with decimals, bare or in a string.
    pub(crate) fn float(&self, key: &'static str) -> Option<f64> {
        let value = self.value(key)?;
        let text = match &value.kind {
            Kind::Number(text) => text.as_str(),
            Kind::String(text) => text.as_str().unwrap_or("\u{fffd}"),
            Kind::Null => return None,
            _ => {
                self.refuse_kind(key, value, "a number");
                return None;
            }
        };
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        if number.is_none() {
            let why = format!("strconv.ParseFloat: parsing {text:?}: invalid syntax");
            self.refuse_value(key, value.span, "error parsing", &why, None);
        }
        number
    }

    /// `true` or `false`, in a string too if it must be.
    pub(crate) fn strict_bool(&self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        match &value.kind {
            Kind::Bool(value) => Some(*value),
            Kind::String(text) if text.0 == b"true" => Some(true),
            Kind::String(text) if text.0 == b"false" => Some(false),
            Kind::Null => None,
            _ => {
                let message = format!("`{key}` must be true or false");
                let diagnostic = Diagnostic::error(&self.report.source, value.span, message);
                self.refuse_as(&self.prefix, diagnostic, true);
                None
            }
        }
    }

    /// Whatever can pass for a boolean: any number, Go's words for true and false, nothing.
    pub(crate) fn lax_bool(&self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        match lax_bool(value) {
            Ok(value) => value,
            Err(Some(why)) => {
                let why = format!("cannot parse '' as bool: {why}");
                self.refuse_value(key, value.span, "invalid value for", &why, Some("write true or false"));
                None
            }
            Err(None) => {
                self.refuse_kind(key, value, "true or false");
                None
            }
        }
    }

    /// Seconds as a number, or a duration in text.
    pub(crate) fn duration(&self, key: &'static str) -> Option<GoDuration> {
        let value = self.value(key)?;
        let duration = match &value.kind {
            Kind::Number(text) => seconds(text),
            Kind::String(text) => GoDuration::parse_lax(text.as_str().unwrap_or("\u{fffd}")),
            Kind::Null => return None,
            _ => Err("could not parse duration from input".to_owned()),
        };
        duration
            .map_err(|why| {
                let hint = "a number of seconds, or text like \"90s\", \"5m\", \"1h30m\"";
                self.refuse_value(key, value.span, "error parsing", &why, Some(hint));
            })
            .ok()
    }

    /// A list of strings.
    pub(crate) fn strings(&self, key: &'static str) -> Option<Vec<String>> {
        let value = self.value(key)?;
        match &value.kind {
            Kind::List(values) => Some(self.elements(key, values)),
            Kind::Null => None,
            Kind::String(_) => {
                let message = format!("`{key}` must be a list of strings, not a string");
                let diagnostic = Diagnostic::error(&self.report.source, value.span, message)
                    .hint("put it in brackets: [\"…\"]");
                self.refuse_as(&self.prefix, diagnostic, true);
                None
            }
            _ => {
                self.refuse_kind(key, value, "a list of strings");
                None
            }
        }
    }

    /// A list of strings, or a lone string as `split` takes it apart.
    pub(crate) fn strings_or(
        &self,
        key: &'static str,
        split: impl Fn(&str) -> Vec<String>,
    ) -> Option<Vec<String>> {
        match &self.value(key)?.kind {
            Kind::List(values) => Some(self.elements(key, values)),
            _ => self.text(key).map(|text| split(&text)),
        }
    }

    fn elements(&self, key: &'static str, values: &[Value]) -> Vec<String> {
        let mut texts = Vec::new();
        for value in values {
            match &value.kind {
                Kind::String(text) => match text.as_str() {
                    Some(text) => texts.push(text.to_owned()),
                    None => self.refuse(value.span, format!("`{key}` holds bytes that are not UTF-8")),
                },
                Kind::Number(text) => texts.push(text.clone()),
                Kind::Null => {}
                _ => self.refuse_kind(key, value, "a list of strings"),
            }
        }
        texts
    }

    // === Blocks ===

    /// Every block of that key, lists and JSON's label levels opened up.
    pub(crate) fn blocks(&self, key: &'static str, labels: Labels) -> Vec<Block<'a>> {
        let mut blocks = Vec::new();
        for item in self.all(key) {
            let span = item.keys.iter().fold(item.key().span, |all, key| all.to(key.span));
            self.open(&item.value, item.labels().iter().collect(), span, labels, &mut blocks);
        }
        blocks
    }

    fn open(
        &self,
        value: &'a Value,
        given: Vec<&'a Key>,
        span: Span,
        labels: Labels,
        blocks: &mut Vec<Block<'a>>,
    ) {
        match &value.kind {
            Kind::Object(object) => match labels {
                Labels::Wanted(own) if given.is_empty() && is_label_level(object, own) => {
                    for item in &object.items {
                        self.open(&item.value, vec![item.key()], item.key().span, Labels::Ignored, blocks);
                    }
                }
                _ => blocks.push(Block { labels: given, object: Some(object), span }),
            },
            Kind::List(values) if !values.is_empty() => {
                for value in values {
                    self.open(value, given.clone(), span, labels, blocks);
                }
            }
            _ => {
                let message = match &value.kind {
                    Kind::List(_) => "a block is wanted here, not an empty list".to_owned(),
                    other => format!("a block is wanted here, not a {}", other.name()),
                };
                let diagnostic =
                    Diagnostic::error(&self.report.source, value.span, message).hint("write { … }");
                self.refuse_as(&self.prefix, diagnostic, true);
                blocks.push(Block { labels: given, object: None, span });
            }
        }
    }

    /// The block of a stanza that may stand there once. A second one is refused with `message`.
    pub(crate) fn single(
        &self,
        key: &'static str,
        labels: Labels,
        prefix: &str,
        message: &str,
    ) -> Option<Block<'a>> {
        let mut blocks = self.blocks(key, labels).into_iter();
        let first = blocks.next()?;
        for another in blocks {
            let line = self.report.source.position(first.span.start).line;
            let diagnostic = Diagnostic::error(&self.report.source, another.span, message)
                .hint(format!("the first one is in line {line}; write one block"));
            self.refuse_as(prefix, diagnostic, false);
        }
        Some(first)
    }

    /// The type of a labelled stanza: its `type` key, or else its one label in lower case. `None` without either.
    pub(crate) fn kind(&self, block: &Block<'a>) -> Option<String> {
        if let Some(kind) = self.text("type") {
            return Some(kind);
        }
        match block.labels.as_slice() {
            [label] => Some(label.text.to_lowercase()),
            _ => None,
        }
    }
}

/// An object stands for labels when all it holds are blocks, none of them the stanza's own.
fn is_label_level(object: &Object, own: &[&str]) -> bool {
    let is_block = |value: &Value| match &value.kind {
        Kind::Object(_) => true,
        Kind::List(values) => {
            !values.is_empty() && values.iter().all(|value| matches!(value.kind, Kind::Object(_)))
        }
        _ => false,
    };
    object.syntax == Syntax::Json
        && !object.items.is_empty()
        && object.items.iter().all(|item| {
            is_block(&item.value) && !own.iter().any(|own| item.key().text.eq_ignore_ascii_case(own))
        })
}

/// `Err(None)` for a kind that can be no boolean.
pub(crate) fn lax_bool(value: &Value) -> Result<Option<bool>, Option<String>> {
    match &value.kind {
        Kind::Bool(value) => Ok(Some(*value)),
        Kind::Number(text) => Ok(Some(number_is_true(text))),
        Kind::String(text) if text.0.is_empty() => Ok(Some(false)),
        Kind::String(text) => parse_bool(text.as_str().unwrap_or("\u{fffd}")).map(Some).map_err(Some),
        Kind::Null => Ok(None),
        _ => Err(None),
    }
}

/// Zero is false, every other number true.
fn number_is_true(text: &str) -> bool {
    match parse_integer(text) {
        Ok(number) => number != 0,
        Err(_) => text.parse::<f64>() != Ok(0.0),
    }
}

pub(crate) fn is_float(text: &str) -> bool {
    !text.starts_with("0x") && !text.starts_with("0X") && text.contains(['.', 'e', 'E'])
}

/// A bare number as seconds.
pub(crate) fn seconds(text: &str) -> Result<GoDuration, String> {
    if !is_float(text) {
        return parse_integer(text).map(GoDuration::from_seconds);
    }
    match text.parse::<f64>() {
        // Casting saturates, which is what the longest Go duration is for.
        Ok(seconds) if seconds.is_finite() => Ok(GoDuration::from_nanoseconds((seconds * 1e9) as i64)),
        _ => Err(format!("time: invalid duration {text:?}")),
    }
}
