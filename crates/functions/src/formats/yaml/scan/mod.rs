//! From characters to tokens, with the keys and block ends that only indentation tells.

mod blocks;
mod cursor;
mod quoted;
mod tags;
mod tokens;

pub(super) use cursor::Problem;
pub(super) use tokens::{Token, TokenKind};

use std::collections::{HashMap, VecDeque};

use super::characters::{is_blank, is_blank_or_end, is_break, is_break_or_end, is_end};
use cursor::{Cursor, Mark};

/// As deep as flows and blocks may nest.
const MAX_DEPTH: usize = 10_000;

/// A place where a key may have begun whose `:` was not seen yet.
#[derive(Clone, Copy, Default)]
struct SimpleKey {
    possible: bool,
    required: bool,
    token: usize,
    mark: Mark,
}

/// The tokens of a text, one after the other.
pub(super) struct Scanner {
    cursor: Cursor,
    begun: bool,
    ended: bool,
    /// Tokens that are made but not taken.
    queue: VecDeque<Token>,
    /// How many tokens were taken.
    taken: usize,
    /// The column of the block at hand, -1 outside of all.
    indent: i64,
    indents: Vec<i64>,
    flow_level: usize,
    simple_key_allowed: bool,
    /// One for each flow level.
    simple_keys: Vec<SimpleKey>,
    /// Which of them waits for which token.
    keys_by_token: HashMap<usize, usize>,
}

impl Scanner {
    pub(super) fn new(text: &[u8]) -> Result<Self, Problem> {
        Ok(Self {
            cursor: Cursor::new(text)?,
            begun: false,
            ended: false,
            queue: VecDeque::new(),
            taken: 0,
            indent: -1,
            indents: Vec::new(),
            flow_level: 0,
            simple_key_allowed: false,
            simple_keys: Vec::new(),
            keys_by_token: HashMap::new(),
        })
    }

    /// The next token, left where it is.
    pub(super) fn peek(&mut self) -> Result<&Token, Problem> {
        self.fill()?;
        self.queue.front().ok_or_else(Problem::unknown)
    }

    /// The next token.
    pub(super) fn next(&mut self) -> Result<Token, Problem> {
        self.fill()?;
        let token = self.queue.pop_front().ok_or_else(Problem::unknown)?;
        self.taken += 1;
        Ok(token)
    }

    /// Makes tokens until the first one can no longer turn out to stand behind a key.
    fn fill(&mut self) -> Result<(), Problem> {
        loop {
            if !self.queue.is_empty() {
                let Some(&nth) = self.keys_by_token.get(&self.taken) else { return Ok(()) };
                if !self.key_is_valid(nth)? {
                    return Ok(());
                }
            } else if self.ended {
                return Ok(());
            }
            self.fetch()?;
        }
    }

    fn fetch(&mut self) -> Result<(), Problem> {
        self.cursor.need(1)?;
        if !self.begun {
            self.begun = true;
            self.simple_keys.push(SimpleKey::default());
            self.simple_key_allowed = true;
            self.push(TokenKind::StreamStart, self.cursor.mark);
            return Ok(());
        }
        self.skip_to_token()?;
        self.unroll(self.cursor.mark.column);
        self.cursor.need(4)?;
        let rest = self.cursor.rest();
        if is_end(rest) {
            return self.stream_end();
        }
        let line_start = self.cursor.mark.column == 0;
        let next = rest.get(1..).unwrap_or_default();
        let in_flow = self.flow_level > 0;
        match self.cursor.at(0) {
            b'%' if line_start => self.directive(),
            b'-' if self.cursor.is_document_indicator(b'-') => self.document(TokenKind::DocumentStart),
            b'.' if self.cursor.is_document_indicator(b'.') => self.document(TokenKind::DocumentEnd),
            b'[' => self.flow_start(TokenKind::FlowSequenceStart),
            b'{' => self.flow_start(TokenKind::FlowMappingStart),
            b']' => self.flow_end(TokenKind::FlowSequenceEnd),
            b'}' => self.flow_end(TokenKind::FlowMappingEnd),
            b',' => {
                self.remove_simple_key()?;
                self.simple_key_allowed = true;
                self.indicator(TokenKind::FlowEntry);
                Ok(())
            }
            b'-' if is_blank_or_end(next) => self.block_entry(),
            b'?' if in_flow || is_blank_or_end(next) => self.key(),
            b':' if in_flow || is_blank_or_end(next) => self.value(),
            b'*' => self.anchor(true),
            b'&' => self.anchor(false),
            b'!' => {
                self.save_simple_key()?;
                self.simple_key_allowed = false;
                self.scan_tag()
            }
            indicator @ (b'|' | b'>') if !in_flow => {
                self.remove_simple_key()?;
                self.simple_key_allowed = true;
                self.scan_block_scalar(indicator == b'|')
            }
            quote @ (b'\'' | b'"') => {
                self.save_simple_key()?;
                self.simple_key_allowed = false;
                self.scan_quoted(quote == b'\'')
            }
            first if may_begin_plain(first, rest, next, in_flow) => {
                self.save_simple_key()?;
                self.simple_key_allowed = false;
                self.scan_plain()
            }
            _ => Err(self.cursor.problem("found character that cannot start any token")),
        }
    }

    // === Indicators ===

    fn push(&mut self, kind: TokenKind, mark: Mark) {
        self.queue.push_back(Token { kind, line: mark.line });
    }

    /// A token of one character.
    fn indicator(&mut self, kind: TokenKind) {
        let mark = self.cursor.mark;
        self.cursor.skip();
        self.push(kind, mark);
    }

    fn stream_end(&mut self) -> Result<(), Problem> {
        self.cursor.force_new_line();
        self.unroll(-1);
        self.remove_simple_key()?;
        self.simple_key_allowed = false;
        self.ended = true;
        self.push(TokenKind::StreamEnd, self.cursor.mark);
        Ok(())
    }

    fn directive(&mut self) -> Result<(), Problem> {
        self.unroll(-1);
        self.remove_simple_key()?;
        self.simple_key_allowed = false;
        self.scan_directive()
    }

    fn document(&mut self, kind: TokenKind) -> Result<(), Problem> {
        self.unroll(-1);
        self.remove_simple_key()?;
        self.simple_key_allowed = false;
        let mark = self.cursor.mark;
        for _ in 0..3 {
            self.cursor.skip();
        }
        self.push(kind, mark);
        Ok(())
    }

    fn flow_start(&mut self, kind: TokenKind) -> Result<(), Problem> {
        self.save_simple_key()?;
        self.simple_keys.push(SimpleKey {
            token: self.taken + self.queue.len(),
            mark: self.cursor.mark,
            ..SimpleKey::default()
        });
        self.flow_level += 1;
        if self.flow_level > MAX_DEPTH {
            return Err(self.cursor.problem("exceeded max depth of 10000"));
        }
        self.simple_key_allowed = true;
        self.indicator(kind);
        Ok(())
    }

    fn flow_end(&mut self, kind: TokenKind) -> Result<(), Problem> {
        self.remove_simple_key()?;
        if self.flow_level > 0 {
            self.flow_level -= 1;
            if let Some(last) = self.simple_keys.pop() {
                self.keys_by_token.remove(&last.token);
            }
        }
        self.simple_key_allowed = false;
        self.indicator(kind);
        Ok(())
    }

    fn block_entry(&mut self) -> Result<(), Problem> {
        if self.flow_level == 0 {
            if !self.simple_key_allowed {
                return Err(self.cursor.problem("block sequence entries are not allowed in this context"));
            }
            self.roll(self.cursor.mark, None, TokenKind::BlockSequenceStart)?;
        }
        self.remove_simple_key()?;
        self.simple_key_allowed = true;
        self.indicator(TokenKind::BlockEntry);
        Ok(())
    }

    fn key(&mut self) -> Result<(), Problem> {
        if self.flow_level == 0 {
            if !self.simple_key_allowed {
                return Err(self.cursor.problem("mapping keys are not allowed in this context"));
            }
            self.roll(self.cursor.mark, None, TokenKind::BlockMappingStart)?;
        }
        self.remove_simple_key()?;
        self.simple_key_allowed = self.flow_level == 0;
        self.indicator(TokenKind::Key);
        Ok(())
    }

    fn value(&mut self) -> Result<(), Problem> {
        let last = self.simple_keys.len().saturating_sub(1);
        if self.key_is_valid(last)? {
            let key = self.simple_keys.get(last).copied().unwrap_or_default();
            let place = key.token.saturating_sub(self.taken);
            self.insert(place, Token { kind: TokenKind::Key, line: key.mark.line });
            self.roll(key.mark, Some(place), TokenKind::BlockMappingStart)?;
            if let Some(key) = self.simple_keys.get_mut(last) {
                key.possible = false;
            }
            self.keys_by_token.remove(&key.token);
            self.simple_key_allowed = false;
        } else {
            if self.flow_level == 0 {
                if !self.simple_key_allowed {
                    return Err(self.cursor.problem("mapping values are not allowed in this context"));
                }
                self.roll(self.cursor.mark, None, TokenKind::BlockMappingStart)?;
            }
            self.simple_key_allowed = self.flow_level == 0;
        }
        self.indicator(TokenKind::Value);
        Ok(())
    }

    fn anchor(&mut self, alias: bool) -> Result<(), Problem> {
        self.save_simple_key()?;
        self.simple_key_allowed = false;
        self.scan_anchor(alias)
    }

    // === Keys without `?` ===

    /// Whether the place may still be a key: on the same line, and not 1024 characters ago.
    fn key_is_valid(&mut self, nth: usize) -> Result<bool, Problem> {
        let now = self.cursor.mark;
        let Some(key) = self.simple_keys.get_mut(nth).filter(|key| key.possible) else { return Ok(false) };
        if key.mark.line >= now.line && key.mark.index + 1024 >= now.index {
            return Ok(true);
        }
        if key.required {
            return Err(self.cursor.problem("could not find expected ':'"));
        }
        key.possible = false;
        Ok(false)
    }

    fn save_simple_key(&mut self) -> Result<(), Problem> {
        if !self.simple_key_allowed {
            return Ok(());
        }
        let mark = self.cursor.mark;
        let required = self.flow_level == 0 && self.indent == mark.column;
        let token = self.taken + self.queue.len();
        self.remove_simple_key()?;
        let last = self.simple_keys.len().saturating_sub(1);
        if let Some(key) = self.simple_keys.get_mut(last) {
            *key = SimpleKey { possible: true, required, token, mark };
            self.keys_by_token.insert(token, last);
        }
        Ok(())
    }

    fn remove_simple_key(&mut self) -> Result<(), Problem> {
        let Some(key) = self.simple_keys.last_mut().filter(|key| key.possible) else { return Ok(()) };
        if key.required {
            return Err(self.cursor.problem("could not find expected ':'"));
        }
        key.possible = false;
        self.keys_by_token.remove(&key.token);
        Ok(())
    }

    // === Indentation ===

    /// Opens a block at the column of `mark` if that is further in, with its token at a place of the queue.
    fn roll(&mut self, mark: Mark, place: Option<usize>, kind: TokenKind) -> Result<(), Problem> {
        if self.flow_level > 0 || self.indent >= mark.column {
            return Ok(());
        }
        self.indents.push(self.indent);
        self.indent = mark.column;
        if self.indents.len() > MAX_DEPTH {
            return Err(self.cursor.problem("exceeded max depth of 10000"));
        }
        self.insert(place.unwrap_or(self.queue.len()), Token { kind, line: mark.line });
        Ok(())
    }

    /// Closes the blocks that are further in than `column`.
    fn unroll(&mut self, column: i64) {
        if self.flow_level > 0 {
            return;
        }
        while self.indent > column {
            self.push(TokenKind::BlockEnd, self.cursor.mark);
            self.indent = self.indents.pop().unwrap_or(-1);
        }
    }

    fn insert(&mut self, place: usize, token: Token) {
        self.queue.insert(place.min(self.queue.len()), token);
    }

    // === White space ===

    fn skip_to_token(&mut self) -> Result<(), Problem> {
        loop {
            self.cursor.need(1)?;
            if self.cursor.mark.column == 0 && self.cursor.rest().starts_with(b"\xef\xbb\xbf") {
                self.cursor.skip();
            }
            self.cursor.need(1)?;
            // A tab may not indent a block.
            let tabs = self.flow_level > 0 || !self.simple_key_allowed;
            while self.cursor.at(0) == b' ' || tabs && self.cursor.at(0) == b'\t' {
                self.cursor.skip();
                self.cursor.need(1)?;
            }
            self.skip_comment()?;
            if !is_break(self.cursor.rest()) {
                return Ok(());
            }
            self.cursor.need(2)?;
            self.cursor.skip_line();
            if self.flow_level == 0 {
                self.simple_key_allowed = true;
            }
        }
    }

    fn skip_comment(&mut self) -> Result<(), Problem> {
        if self.cursor.at(0) == b'#' {
            while !is_break_or_end(self.cursor.rest()) {
                self.cursor.skip();
                self.cursor.need(1)?;
            }
        }
        Ok(())
    }

    fn skip_blanks(&mut self) -> Result<(), Problem> {
        while is_blank(self.cursor.rest()) {
            self.cursor.skip();
            self.cursor.need(1)?;
        }
        Ok(())
    }

    /// Blanks and a comment up to the end of the line, and the line break.
    fn skip_rest_of_line(&mut self) -> Result<(), Problem> {
        self.cursor.need(1)?;
        self.skip_blanks()?;
        self.skip_comment()?;
        if !is_break_or_end(self.cursor.rest()) {
            return Err(self.cursor.problem("did not find expected comment or line break"));
        }
        if is_break(self.cursor.rest()) {
            self.cursor.need(2)?;
            self.cursor.skip_line();
        }
        Ok(())
    }
}

fn may_begin_plain(first: u8, rest: &[u8], next: &[u8], in_flow: bool) -> bool {
    match first {
        b'-' => !is_blank(next),
        b'?' | b':' => !in_flow && !is_blank_or_end(next),
        b',' | b'[' | b']' | b'{' | b'}' | b'#' | b'&' | b'*' | b'!' | b'|' | b'>' | b'\'' | b'"' | b'%'
        | b'@' | b'`' => false,
        _ => !is_blank_or_end(rest),
    }
}
