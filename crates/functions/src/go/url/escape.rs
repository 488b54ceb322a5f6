//! Percent signs in URLs, as `net/url` reads and writes them.

use gotemplate::quoted;

/// Where in a URL a text stands: each place has characters of its own that need no escape.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    /// Slashes and all.
    Path,
    /// A key or a value; a space is a plus.
    Query,
    /// A name or an address.
    Host,
    /// What follows the percent sign of an IPv6 address.
    Zone,
    /// A name or a password.
    User,
    /// What follows the hash.
    Fragment,
}

fn needs_escape(byte: u8, part: Part) -> bool {
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => false,
        b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'[' | b']'
        | b'<' | b'>' | b'"'
            if matches!(part, Part::Host | Part::Zone) =>
        {
            false
        }
        b'$' | b'&' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'?' | b'@' => match part {
            Part::Path => byte == b'?',
            Part::User => matches!(byte, b'@' | b'/' | b'?' | b':'),
            Part::Fragment => false,
            Part::Query | Part::Host | Part::Zone => true,
        },
        b'!' | b'(' | b')' | b'*' => part != Part::Fragment,
        _ => true,
    }
}

/// The text with escapes where this part needs them.
pub fn escaped(text: &[u8], part: Part) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for &byte in text {
        if byte == b' ' && part == Part::Query {
            out.push(b'+');
        } else if needs_escape(byte, part) {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            out.push(byte);
        }
    }
    out
}

/// The text without escapes.
///
/// # Errors
/// Go's words for an escape that is none or stands where it may not.
pub fn unescaped(text: &[u8], part: Part) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        if byte == b'%' {
            let refused = || format!("invalid URL escape {}", quoted(rest.get(..3).unwrap_or(rest)));
            let plain =
                tail.first_chunk::<2>().and_then(|digits| hexadecimal(*digits)).ok_or_else(refused)?;
            // In a host only bytes beyond ASCII may be escaped, and the percent sign before a zone.
            let allowed = match part {
                Part::Host => plain >= 0x80 || plain == b'%',
                Part::Zone => plain == b'%' || plain == b' ' || !needs_escape(plain, Part::Host),
                Part::Path | Part::Query | Part::User | Part::Fragment => true,
            };
            if !allowed {
                return Err(refused());
            }
            out.push(plain);
            rest = tail.get(2..).unwrap_or_default();
            continue;
        }
        if matches!(part, Part::Host | Part::Zone) && byte.is_ascii() && needs_escape(byte, part) {
            return Err(format!("invalid character {} in host name", quoted([byte])));
        }
        out.push(if byte == b'+' && part == Part::Query { b' ' } else { byte });
        rest = tail;
    }
    Ok(out)
}

fn hexadecimal([high, low]: [u8; 2]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}
