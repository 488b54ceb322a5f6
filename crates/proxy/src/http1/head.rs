//! The head of a request, read strictly: what two readers could read differently is refused. Nothing is allocated.
//!
//! A length beside chunks, bare line feeds, folded lines and their like never get beyond this.

use memchr::memchr;

use crate::breach::Breach;

/// The bounds that count for heads and for the framing of bodies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) header_size: usize,
    pub(super) headers: usize,
    pub(super) target: usize,
    pub(super) body: u64,
}

impl From<&config::ListenerLimits> for Limits {
    fn from(limits: &config::ListenerLimits) -> Self {
        Self {
            header_size: limits.header_size,
            headers: limits.headers,
            target: limits.target,
            body: limits.body as u64,
        }
    }
}

/// Longest method: `BASELINE-CONTROL` and its like, and some room.
const METHOD: usize = 32;

/// How the body behind a head is delimited.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Body {
    Length(u64),
    Chunked,
}

/// A head that was read to its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Head {
    /// Where its request line begins: behind an empty line, if there is one.
    pub(super) start: usize,
    /// Its length in bytes, the empty line at the end included.
    pub(super) end: usize,
    /// How many fields it has.
    pub(super) fields: usize,
    /// HTTP/1.1, not 1.0.
    pub(super) modern: bool,
    /// The client would like to send another request behind this one.
    pub(super) keep: bool,
    /// The client sends its body when it is asked for it.
    pub(super) expects: bool,
    pub(super) body: Body,
    /// The client wants to speak another protocol behind this request.
    pub(super) upgrade: bool,
}

/// A head under way. Offsets count from its first byte.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct HeadScan {
    /// Where the line under way begins.
    line: usize,
    /// Up to where no further end of a line was found.
    looked: usize,
    /// An empty line stood before the request line.
    blank: bool,
    /// The request line is behind us.
    started: bool,
    /// HTTP/1.1, not 1.0.
    modern: bool,
    fields: usize,
    hosts: u8,
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
    expects: bool,
    close: bool,
    keep_alive: bool,
}

const fn framing<T>(why: &'static str) -> Result<T, Breach> {
    Err(Breach::Framing(why))
}

impl HeadScan {
    /// Whether bytes of the head have been seen, a leading empty line aside.
    pub(super) fn has_begun(&self) -> bool {
        self.started || self.looked > self.line
    }

    /// Reads on. `bytes` are all bytes of the head so far, and whatever follows it; `None` asks for more.
    pub(super) fn scan(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<Head>, Breach> {
        while let Some(found) = bytes.get(self.looked..).and_then(|rest| memchr(b'\n', rest)) {
            let end = self.looked + found;
            let line = bytes.get(self.line..end).unwrap_or_default();
            if end >= limits.header_size {
                return Err(self.too_long(line.len(), limits));
            }
            let Some((b'\r', line)) = line.split_last() else {
                return framing("a line ends without a carriage return");
            };
            (self.line, self.looked) = (end + 1, end + 1);
            match (self.started, line.is_empty()) {
                (true, false) => self.field(line, limits)?,
                (true, true) => return self.finish(end + 1, limits).map(Some),
                (false, false) => self.request_line(line, limits)?,
                // Some clients send one behind a body; nobody sends two.
                (false, true) if !self.blank => self.blank = true,
                (false, true) => return framing("empty lines before the request"),
            }
        }
        self.looked = bytes.len();
        let rest = bytes.len() - self.line.min(bytes.len());
        if bytes.len() > limits.header_size || !self.started && rest > limits.target + METHOD + 16 {
            return Err(self.too_long(rest, limits));
        }
        Ok(None)
    }

    fn too_long(&self, line: usize, limits: &Limits) -> Breach {
        if !self.started && line > limits.target { Breach::TargetSize } else { Breach::HeaderSize }
    }

    fn request_line(&mut self, line: &[u8], limits: &Limits) -> Result<(), Breach> {
        self.started = true;
        let mut words = line.split(|byte| *byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return framing("the request line is not a method, a target and a version");
        };
        if method.is_empty() || method.len() > METHOD || !method.iter().all(|byte| is_token(*byte)) {
            return framing("the method is none");
        }
        if target.len() > limits.target {
            return Err(Breach::TargetSize);
        }
        // A fragment never belongs on the wire, and would be dropped in silence behind us.
        if target.is_empty() || target.iter().any(|byte| byte.is_ascii_control() || *byte == b'#') {
            return framing("the request target holds a character that it cannot hold");
        }
        self.modern = match version {
            b"HTTP/1.1" => true,
            b"HTTP/1.0" => false,
            [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => return Err(Breach::Version),
            _ => return framing("the version is none of HTTP"),
        };
        if method == b"CONNECT" { Err(Breach::Method) } else { Ok(()) }
    }

    fn field(&mut self, line: &[u8], limits: &Limits) -> Result<(), Breach> {
        self.fields += 1;
        if self.fields > limits.headers {
            return Err(Breach::HeaderCount);
        }
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return framing("a header is folded");
        }
        let Some(colon) = memchr(b':', line) else { return framing("a header without a colon") };
        let (name, value) =
            (line.get(..colon).unwrap_or_default(), line.get(colon + 1..).unwrap_or_default());
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
            return framing("a header's name holds a character that it cannot hold");
        }
        if has_control(value) {
            return framing("a header's value holds a control character");
        }
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        match name.len() {
            4 if is(b"host") => self.hosts = self.hosts.saturating_add(1),
            6 if is(b"expect") => self.expects = value.trim_ascii().eq_ignore_ascii_case(b"100-continue"),
            7 if is(b"upgrade") => self.upgrade = true,
            10 if is(b"connection") => {
                for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    self.close |= token.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            14 if is(b"content-length") => {
                let again = self.length.replace(length(value.trim_ascii())?).is_some();
                if again {
                    return framing("more than one Content-Length");
                }
            }
            17 if is(b"transfer-encoding") => {
                if std::mem::replace(&mut self.chunked, true) {
                    return framing("more than one Transfer-Encoding");
                }
                if !value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                    return framing("a Transfer-Encoding other than chunked");
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&self, end: usize, limits: &Limits) -> Result<Head, Breach> {
        let body = match (self.length, self.chunked) {
            (Some(_), true) => return framing("both Content-Length and Transfer-Encoding"),
            (_, true) if !self.modern => return framing("a chunked body with HTTP/1.0"),
            (None, true) => Body::Chunked,
            (length, false) => Body::Length(length.unwrap_or(0)),
        };
        match self.hosts {
            0 if self.modern => return framing("no Host header"),
            0 | 1 => {}
            _ => return framing("more than one Host header"),
        }
        if let Body::Length(length) = body
            && length > limits.body
        {
            return Err(Breach::BodySize);
        }
        Ok(Head {
            start: if self.blank { 2 } else { 0 },
            end,
            fields: self.fields,
            modern: self.modern,
            keep: !self.close && (self.modern || self.keep_alive),
            expects: self.expects && self.modern,
            body,
            upgrade: self.upgrade,
        })
    }
}

/// A `Content-Length` is digits and nothing else; 19 of them fit.
fn length(value: &[u8]) -> Result<u64, Breach> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return framing("a Content-Length that is no number");
    }
    let digits = value.iter().skip_while(|digit| **digit == b'0');
    if digits.clone().count() > 18 {
        return Err(Breach::BodySize);
    }
    Ok(digits.fold(0, |length, digit| length * 10 + u64::from(digit - b'0')))
}

/// The characters of a name, as RFC 9110 5.6.2 lists them.
pub(super) fn is_token(byte: u8) -> bool {
    const TOKEN: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 128 {
            let b = byte as u8;
            table[byte] = b.is_ascii_alphanumeric()
                || matches!(
                    b,
                    b'!' | b'#'
                        | b'$'
                        | b'%'
                        | b'&'
                        | b'\''
                        | b'*'
                        | b'+'
                        | b'-'
                        | b'.'
                        | b'^'
                        | b'_'
                        | b'`'
                        | b'|'
                        | b'~'
                );
            byte += 1;
        }
        table
    };
    TOKEN[usize::from(byte)]
}

/// Written so that the compiler looks at many bytes at once.
pub(super) fn has_control(value: &[u8]) -> bool {
    value.iter().fold(false, |found, byte| found | ((*byte < b' ') & (*byte != b'\t')) | (*byte == 0x7f))
}
