//! From tokens to events: the grammar.

use std::collections::HashMap;

use super::scan::{Problem, Scanner, Token, TokenKind};
use crate::arguments::{bounded, bounded_elements};

/// A piece of a document.
#[derive(Debug)]
pub(super) enum Event {
    StreamStart,
    StreamEnd,
    DocumentStart,
    DocumentEnd,
    Alias(Vec<u8>),
    Scalar(Scalar),
    SequenceStart { anchor: Option<Vec<u8>> },
    SequenceEnd,
    MappingStart { anchor: Option<Vec<u8>> },
    MappingEnd,
}

#[derive(Debug)]
pub(super) struct Scalar {
    pub(super) anchor: Option<Vec<u8>>,
    /// The whole name; empty without one.
    pub(super) tag: Vec<u8>,
    pub(super) value: Vec<u8>,
    /// Plain without a tag, or tagged `!`.
    pub(super) implicit: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    StreamStart,
    ImplicitDocumentStart,
    DocumentStart,
    DocumentContent,
    DocumentEnd,
    BlockNode,
    BlockSequence { first: bool },
    IndentlessSequence,
    BlockMappingKey { first: bool },
    BlockMappingValue,
    FlowSequence { first: bool },
    FlowPairKey,
    FlowPairValue,
    FlowPairEnd,
    FlowMappingKey { first: bool },
    FlowMappingValue { empty: bool },
    End,
}

/// Where a node stands.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Flow,
    Block,
    /// In a block where a sequence needs no indentation of its own.
    BlockOrIndentless,
}

const TAG_PREFIX: &[u8] = b"tag:yaml.org,2002:";

/// The events of a text, one after the other.
pub(super) struct Parser {
    scanner: Scanner,
    state: State,
    /// What follows the nodes that are open.
    states: Vec<State>,
    /// Handles and prefixes of the document.
    directives: HashMap<Vec<u8>, Vec<u8>>,
    /// The length of all tags so far.
    tags: usize,
}

impl Parser {
    pub(super) fn new(text: &[u8]) -> Result<Self, Problem> {
        Ok(Self {
            scanner: Scanner::new(text)?,
            state: State::StreamStart,
            states: Vec::new(),
            directives: HashMap::new(),
            tags: 0,
        })
    }

    pub(super) fn next(&mut self) -> Result<Event, Problem> {
        match self.state {
            State::StreamStart => {
                self.scanner.next()?;
                self.state = State::ImplicitDocumentStart;
                Ok(Event::StreamStart)
            }
            State::ImplicitDocumentStart => self.document_start(true),
            State::DocumentStart => self.document_start(false),
            State::DocumentContent => match self.scanner.peek()?.kind {
                TokenKind::Version { .. }
                | TokenKind::TagDirective { .. }
                | TokenKind::DocumentStart
                | TokenKind::DocumentEnd
                | TokenKind::StreamEnd => {
                    self.pop();
                    Ok(empty())
                }
                _ => self.node(Place::Block),
            },
            State::DocumentEnd => self.document_end(),
            State::BlockNode => self.node(Place::Block),
            State::BlockSequence { first } => self.block_sequence(first),
            State::IndentlessSequence => self.indentless_sequence(),
            State::BlockMappingKey { first } => self.block_mapping_key(first),
            State::BlockMappingValue => self.block_mapping_value(),
            State::FlowSequence { first } => self.flow_sequence(first),
            State::FlowPairKey => self.flow_pair_key(),
            State::FlowPairValue => self.flow_value(State::FlowPairEnd, &TokenKind::FlowSequenceEnd),
            State::FlowPairEnd => {
                self.scanner.peek()?;
                self.state = State::FlowSequence { first: false };
                Ok(Event::MappingEnd)
            }
            State::FlowMappingKey { first } => self.flow_mapping_key(first),
            State::FlowMappingValue { empty: true } => {
                self.scanner.peek()?;
                self.state = State::FlowMappingKey { first: false };
                Ok(empty())
            }
            State::FlowMappingValue { empty: false } => {
                self.flow_value(State::FlowMappingKey { first: false }, &TokenKind::FlowMappingEnd)
            }
            State::End => Ok(Event::StreamEnd),
        }
    }

    fn pop(&mut self) {
        self.state = self.states.pop().unwrap_or(State::End);
    }

    fn next_is(&mut self, kinds: &[TokenKind]) -> Result<bool, Problem> {
        let kind = &self.scanner.peek()?.kind;
        Ok(kinds.contains(kind))
    }

    fn problem(&mut self, text: &str) -> Problem {
        match self.scanner.peek() {
            Ok(token) => Problem::at(token.line, text),
            Err(problem) => problem,
        }
    }

    // === Documents ===

    fn document_start(&mut self, implicit: bool) -> Result<Event, Problem> {
        while !implicit && self.next_is(&[TokenKind::DocumentEnd])? {
            self.scanner.next()?;
        }
        let token = self.scanner.peek()?;
        match token.kind {
            TokenKind::StreamEnd => {
                self.state = State::End;
                self.scanner.next()?;
                return Ok(Event::StreamEnd);
            }
            TokenKind::Version { .. } | TokenKind::TagDirective { .. } | TokenKind::DocumentStart => {}
            _ if implicit => {
                self.default_directives();
                self.states.push(State::DocumentEnd);
                self.state = State::BlockNode;
                return Ok(Event::DocumentStart);
            }
            _ => {}
        }
        self.take_directives()?;
        if !self.next_is(&[TokenKind::DocumentStart])? {
            return Err(self.problem("did not find expected <document start>"));
        }
        self.states.push(State::DocumentEnd);
        self.state = State::DocumentContent;
        self.scanner.next()?;
        Ok(Event::DocumentStart)
    }

    fn document_end(&mut self) -> Result<Event, Problem> {
        if self.next_is(&[TokenKind::DocumentEnd])? {
            self.scanner.next()?;
        }
        self.directives.clear();
        self.state = State::DocumentStart;
        Ok(Event::DocumentEnd)
    }

    fn take_directives(&mut self) -> Result<(), Problem> {
        let mut versioned = false;
        loop {
            let token = self.scanner.peek()?;
            let line = token.line;
            match token.kind {
                TokenKind::Version { .. } if versioned => {
                    return Err(Problem::at(line, "found duplicate %YAML directive"));
                }
                TokenKind::Version { major, minor } if (major, minor) != (1, 1) => {
                    return Err(Problem::at(line, "found incompatible YAML document"));
                }
                TokenKind::Version { .. } => versioned = true,
                TokenKind::TagDirective { .. } => {}
                _ => {
                    self.default_directives();
                    return Ok(());
                }
            }
            if let Token { kind: TokenKind::TagDirective { handle, prefix }, .. } = self.scanner.next()? {
                bounded_elements(self.directives.len() + 1)?;
                if self.directives.insert(handle, prefix).is_some() {
                    return Err(Problem::at(line, "found duplicate %TAG directive"));
                }
            }
        }
    }

    fn default_directives(&mut self) {
        for (handle, prefix) in [(b"!".as_slice(), b"!".as_slice()), (b"!!", TAG_PREFIX)] {
            self.directives.entry(handle.to_vec()).or_insert_with(|| prefix.to_vec());
        }
    }

    // === Nodes ===

    fn node(&mut self, place: Place) -> Result<Event, Problem> {
        if let TokenKind::Alias(_) = self.scanner.peek()?.kind {
            self.pop();
            if let TokenKind::Alias(name) = self.scanner.next()?.kind {
                return Ok(Event::Alias(name));
            }
        }
        let (anchor, tag) = self.properties()?;
        let (kind, block) = (&self.scanner.peek()?.kind, place != Place::Flow);
        match kind {
            TokenKind::BlockEntry if place == Place::BlockOrIndentless => {
                self.state = State::IndentlessSequence;
                Ok(Event::SequenceStart { anchor })
            }
            TokenKind::Scalar { .. } => {
                self.pop();
                let TokenKind::Scalar { value, plain } = self.scanner.next()?.kind else {
                    return Err(Problem::unknown());
                };
                let implicit = tag.is_empty() && plain || tag == b"!";
                Ok(Event::Scalar(Scalar { anchor, tag, value, implicit }))
            }
            TokenKind::FlowSequenceStart => {
                self.state = State::FlowSequence { first: true };
                Ok(Event::SequenceStart { anchor })
            }
            TokenKind::FlowMappingStart => {
                self.state = State::FlowMappingKey { first: true };
                Ok(Event::MappingStart { anchor })
            }
            TokenKind::BlockSequenceStart if block => {
                self.state = State::BlockSequence { first: true };
                Ok(Event::SequenceStart { anchor })
            }
            TokenKind::BlockMappingStart if block => {
                self.state = State::BlockMappingKey { first: true };
                Ok(Event::MappingStart { anchor })
            }
            _ if anchor.is_some() || !tag.is_empty() => {
                self.pop();
                let implicit = tag.is_empty();
                Ok(Event::Scalar(Scalar { anchor, tag, value: Vec::new(), implicit }))
            }
            _ => Err(self.problem("did not find expected node content")),
        }
    }

    /// An anchor and a tag in any order, both optional.
    fn properties(&mut self) -> Result<(Option<Vec<u8>>, Vec<u8>), Problem> {
        let (mut anchor, mut tag) = (None, None);
        loop {
            let token = self.scanner.peek()?;
            let line = token.line;
            match token.kind {
                TokenKind::Anchor(_) if anchor.is_none() => {
                    if let TokenKind::Anchor(name) = self.scanner.next()?.kind {
                        anchor = Some(name);
                    }
                }
                TokenKind::Tag { .. } if tag.is_none() => {
                    if let TokenKind::Tag { handle, suffix } = self.scanner.next()?.kind {
                        tag = Some((handle, suffix, line));
                    }
                }
                _ => break,
            }
        }
        let Some((handle, suffix, line)) = tag else { return Ok((anchor, Vec::new())) };
        if handle.is_empty() {
            return Ok((anchor, suffix));
        }
        match self.directives.get(&handle) {
            Some(prefix) => {
                // A long prefix may stand before every node.
                self.tags = self.tags.saturating_add(prefix.len());
                bounded(self.tags)?;
                Ok((anchor, [prefix.as_slice(), &suffix].concat()))
            }
            None => Err(Problem::at(line, "found undefined tag handle")),
        }
    }

    // === Blocks ===

    fn block_sequence(&mut self, first: bool) -> Result<Event, Problem> {
        if first {
            self.scanner.next()?;
        }
        if self.next_is(&[TokenKind::BlockEntry])? {
            self.scanner.next()?;
            if self.next_is(&[TokenKind::BlockEntry, TokenKind::BlockEnd])? {
                self.state = State::BlockSequence { first: false };
                return Ok(empty());
            }
            self.states.push(State::BlockSequence { first: false });
            return self.node(Place::Block);
        }
        if self.next_is(&[TokenKind::BlockEnd])? {
            self.pop();
            self.scanner.next()?;
            return Ok(Event::SequenceEnd);
        }
        Err(self.problem("did not find expected '-' indicator"))
    }

    fn indentless_sequence(&mut self) -> Result<Event, Problem> {
        if !self.next_is(&[TokenKind::BlockEntry])? {
            self.pop();
            return Ok(Event::SequenceEnd);
        }
        self.scanner.next()?;
        if self.next_is(&[TokenKind::BlockEntry, TokenKind::Key, TokenKind::Value, TokenKind::BlockEnd])? {
            self.state = State::IndentlessSequence;
            return Ok(empty());
        }
        self.states.push(State::IndentlessSequence);
        self.node(Place::Block)
    }

    fn block_mapping_key(&mut self, first: bool) -> Result<Event, Problem> {
        if first {
            self.scanner.next()?;
        }
        if self.next_is(&[TokenKind::Key])? {
            self.scanner.next()?;
            return self.block_mapping_part(State::BlockMappingValue);
        }
        if self.next_is(&[TokenKind::BlockEnd])? {
            self.pop();
            self.scanner.next()?;
            return Ok(Event::MappingEnd);
        }
        Err(self.problem("did not find expected key"))
    }

    fn block_mapping_value(&mut self) -> Result<Event, Problem> {
        let next = State::BlockMappingKey { first: false };
        if !self.next_is(&[TokenKind::Value])? {
            self.state = next;
            return Ok(empty());
        }
        self.scanner.next()?;
        self.block_mapping_part(next)
    }

    fn block_mapping_part(&mut self, next: State) -> Result<Event, Problem> {
        if self.next_is(&[TokenKind::Key, TokenKind::Value, TokenKind::BlockEnd])? {
            self.state = next;
            return Ok(empty());
        }
        self.states.push(next);
        self.node(Place::BlockOrIndentless)
    }

    // === Flows ===

    fn flow_sequence(&mut self, first: bool) -> Result<Event, Problem> {
        if !self.flow_goes_on(first, &TokenKind::FlowSequenceEnd, "did not find expected ',' or ']'")? {
            return Ok(Event::SequenceEnd);
        }
        if self.next_is(&[TokenKind::Key])? {
            self.state = State::FlowPairKey;
            self.scanner.next()?;
            return Ok(Event::MappingStart { anchor: None });
        }
        self.states.push(State::FlowSequence { first: false });
        self.node(Place::Flow)
    }

    fn flow_mapping_key(&mut self, first: bool) -> Result<Event, Problem> {
        if !self.flow_goes_on(first, &TokenKind::FlowMappingEnd, "did not find expected ',' or '}'")? {
            return Ok(Event::MappingEnd);
        }
        if !self.next_is(&[TokenKind::Key])? {
            self.states.push(State::FlowMappingValue { empty: true });
            return self.node(Place::Flow);
        }
        self.scanner.next()?;
        if self.next_is(&[TokenKind::Value, TokenKind::FlowEntry, TokenKind::FlowMappingEnd])? {
            self.state = State::FlowMappingValue { empty: false };
            return Ok(empty());
        }
        self.states.push(State::FlowMappingValue { empty: false });
        self.node(Place::Flow)
    }

    /// Takes the opening bracket and the comma; false if the collection ends here, which is then taken too.
    fn flow_goes_on(&mut self, first: bool, end: &TokenKind, missing: &str) -> Result<bool, Problem> {
        if first {
            self.scanner.next()?;
        }
        if !first && self.scanner.peek()?.kind != *end {
            if !self.next_is(&[TokenKind::FlowEntry])? {
                return Err(self.problem(missing));
            }
            self.scanner.next()?;
        }
        if self.scanner.peek()?.kind == *end {
            self.pop();
            self.scanner.next()?;
            return Ok(false);
        }
        Ok(true)
    }

    fn flow_pair_key(&mut self) -> Result<Event, Problem> {
        if self.next_is(&[TokenKind::Value, TokenKind::FlowEntry, TokenKind::FlowSequenceEnd])? {
            // The library swallows the token, so that a pair without a key has no value either.
            self.scanner.next()?;
            self.state = State::FlowPairValue;
            return Ok(empty());
        }
        self.states.push(State::FlowPairValue);
        self.node(Place::Flow)
    }

    fn flow_value(&mut self, next: State, end: &TokenKind) -> Result<Event, Problem> {
        if self.next_is(&[TokenKind::Value])? {
            self.scanner.next()?;
            let kind = &self.scanner.peek()?.kind;
            if *kind != TokenKind::FlowEntry && kind != end {
                self.states.push(next);
                return self.node(Place::Flow);
            }
        }
        self.state = next;
        Ok(empty())
    }
}

/// A scalar that is not there.
fn empty() -> Event {
    Event::Scalar(Scalar { anchor: None, tag: Vec::new(), value: Vec::new(), implicit: true })
}
