//! Directives, anchors, aliases and tags.

use super::{Problem, Scanner, TokenKind};
use crate::formats::yaml::characters::{is_alpha, is_blank, is_blank_or_end};

impl Scanner {
    pub(super) fn scan_directive(&mut self) -> Result<(), Problem> {
        let start = self.cursor.mark;
        self.cursor.skip();
        self.cursor.need(1)?;
        let name = self.word()?;
        if name.is_empty() {
            return Err(self.cursor.problem("could not find expected directive name"));
        }
        if !is_blank_or_end(self.cursor.rest()) {
            return Err(self.cursor.problem("found unexpected non-alphabetical character"));
        }
        let kind = match name.as_slice() {
            b"YAML" => self.version()?,
            b"TAG" => self.tag_directive()?,
            _ => return Err(self.cursor.problem("found unknown directive name")),
        };
        self.skip_rest_of_line()?;
        self.push(kind, start);
        Ok(())
    }

    fn version(&mut self) -> Result<TokenKind, Problem> {
        self.cursor.need(1)?;
        self.skip_blanks()?;
        let major = self.version_number()?;
        if self.cursor.at(0) != b'.' {
            return Err(self.cursor.problem("did not find expected digit or '.' character"));
        }
        self.cursor.skip();
        Ok(TokenKind::Version { major, minor: self.version_number()? })
    }

    fn version_number(&mut self) -> Result<u8, Problem> {
        self.cursor.need(1)?;
        let (mut number, mut length) = (0, 0);
        while let digit @ b'0'..=b'9' = self.cursor.at(0) {
            length += 1;
            if length > 2 {
                return Err(self.cursor.problem("found extremely long version number"));
            }
            number = number * 10 + (digit - b'0');
            self.cursor.skip();
            self.cursor.need(1)?;
        }
        if length == 0 {
            return Err(self.cursor.problem("did not find expected version number"));
        }
        Ok(number)
    }

    fn tag_directive(&mut self) -> Result<TokenKind, Problem> {
        self.cursor.need(1)?;
        self.skip_blanks()?;
        let handle = self.tag_handle(true)?;
        self.cursor.need(1)?;
        if !is_blank(self.cursor.rest()) {
            return Err(self.cursor.problem("did not find expected whitespace"));
        }
        self.skip_blanks()?;
        let prefix = self.tag_uri(Vec::new(), false)?;
        self.cursor.need(1)?;
        if !is_blank_or_end(self.cursor.rest()) {
            return Err(self.cursor.problem("did not find expected whitespace or line break"));
        }
        Ok(TokenKind::TagDirective { handle, prefix })
    }

    pub(super) fn scan_anchor(&mut self, alias: bool) -> Result<(), Problem> {
        let start = self.cursor.mark;
        self.cursor.skip();
        self.cursor.need(1)?;
        let name = self.word()?;
        let ends = is_blank_or_end(self.cursor.rest())
            || matches!(self.cursor.at(0), b'?' | b':' | b',' | b']' | b'}' | b'%' | b'@' | b'`');
        if name.is_empty() || !ends {
            return Err(self.cursor.problem("did not find expected alphabetic or numeric character"));
        }
        self.push(if alias { TokenKind::Alias(name) } else { TokenKind::Anchor(name) }, start);
        Ok(())
    }

    pub(super) fn scan_tag(&mut self) -> Result<(), Problem> {
        let start = self.cursor.mark;
        self.cursor.need(2)?;
        let (handle, suffix) = if self.cursor.at(1) == b'<' {
            self.cursor.skip();
            self.cursor.skip();
            let suffix = self.tag_uri(Vec::new(), false)?;
            if self.cursor.at(0) != b'>' {
                return Err(self.cursor.problem("did not find the expected '>'"));
            }
            self.cursor.skip();
            (Vec::new(), suffix)
        } else {
            let handle = self.tag_handle(false)?;
            if handle.len() > 1 && handle.last() == Some(&b'!') {
                (handle, self.tag_uri(Vec::new(), false)?)
            } else {
                // No handle after all: what was read belongs to the tag.
                let head = handle.get(1..).unwrap_or_default().to_vec();
                let suffix = self.tag_uri(head, true)?;
                if suffix.is_empty() { (Vec::new(), b"!".to_vec()) } else { (b"!".to_vec(), suffix) }
            }
        };
        self.cursor.need(1)?;
        if !is_blank_or_end(self.cursor.rest()) {
            return Err(self.cursor.problem("did not find expected whitespace or line break"));
        }
        self.push(TokenKind::Tag { handle, suffix }, start);
        Ok(())
    }

    fn tag_handle(&mut self, directive: bool) -> Result<Vec<u8>, Problem> {
        self.cursor.need(1)?;
        if self.cursor.at(0) != b'!' {
            return Err(self.cursor.problem("did not find expected '!'"));
        }
        let mut handle = Vec::new();
        self.cursor.read(&mut handle);
        self.cursor.need(1)?;
        handle.extend(self.word()?);
        if self.cursor.at(0) == b'!' {
            self.cursor.read(&mut handle);
        } else if directive && handle != b"!" {
            return Err(self.cursor.problem("did not find expected '!'"));
        }
        Ok(handle)
    }

    /// The rest of a tag behind `uri`; `begun` says that it may end here.
    fn tag_uri(&mut self, mut uri: Vec<u8>, mut begun: bool) -> Result<Vec<u8>, Problem> {
        self.cursor.need(1)?;
        loop {
            match self.cursor.at(0) {
                b'%' => self.uri_escapes(&mut uri)?,
                byte if is_alpha(byte) || b";/?:@&=+$,.!~*'()[]".contains(&byte) => {
                    self.cursor.read(&mut uri)
                }
                _ => break,
            }
            self.cursor.need(1)?;
            begun = true;
        }
        if begun { Ok(uri) } else { Err(self.cursor.problem("did not find expected tag URI")) }
    }

    /// One character, each of its bytes as `%XX`.
    fn uri_escapes(&mut self, uri: &mut Vec<u8>) -> Result<(), Problem> {
        let mut left = None;
        while left != Some(0) {
            self.cursor.need(3)?;
            let digit = |offset| char::from(self.cursor.at(offset)).to_digit(16);
            let octet = match (self.cursor.at(0), digit(1), digit(2)) {
                (b'%', Some(high), Some(low)) => u8::try_from(high << 4 | low).unwrap_or_default(),
                _ => return Err(self.cursor.problem("did not find URI escaped octet")),
            };
            left = Some(match (left, octet) {
                (None, 0..0x80) => 0,
                (None, 0xc0..0xe0) => 1,
                (None, 0xe0..0xf0) => 2,
                (None, 0xf0..0xf8) => 3,
                (None, _) => return Err(self.cursor.problem("found an incorrect leading UTF-8 octet")),
                (Some(left), 0x80..0xc0) => left - 1,
                (Some(_), _) => {
                    return Err(self.cursor.problem("found an incorrect trailing UTF-8 octet"));
                }
            });
            uri.push(octet);
            for _ in 0..3 {
                self.cursor.skip();
            }
        }
        Ok(())
    }

    fn word(&mut self) -> Result<Vec<u8>, Problem> {
        let mut word = Vec::new();
        while is_alpha(self.cursor.at(0)) {
            self.cursor.read(&mut word);
            self.cursor.need(1)?;
        }
        Ok(word)
    }
}
