//! Blocks: lists of them, single ones, and JSON's way of writing labels.

use hcl1::{Diagnostic, Key, Kind, Object, Span, Syntax, Value};

use super::Fields;

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
