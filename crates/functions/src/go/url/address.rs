//! `netip.ParseAddr`, for its verdict and its words.

use gotemplate::quoted;

/// Which kind of address it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Version {
    Four,
    Six,
}

/// Whether `text` is an IP address.
///
/// # Errors
/// Go's words, with the text.
pub(super) fn check(text: &[u8]) -> Result<Version, String> {
    let fault = match text.iter().find(|byte| matches!(byte, b'.' | b':' | b'%')) {
        Some(b'.') => four(text).map(|()| Version::Four),
        Some(b':') => six(text).map(|()| Version::Six),
        Some(_) => Err(Fault::new("missing IPv6 address")),
        None => Err(Fault::new("unable to parse IP")),
    };
    fault.map_err(|Fault { why, at }| {
        let at = at.map(|at| format!(" (at {})", quoted(at))).unwrap_or_default();
        format!("ParseAddr({}): {why}{at}", quoted(text))
    })
}

/// What is wrong, and where.
#[derive(Debug)]
struct Fault<'a> {
    why: &'static str,
    at: Option<&'a [u8]>,
}

impl<'a> Fault<'a> {
    fn new(why: &'static str) -> Self {
        Self { why, at: None }
    }

    fn at(why: &'static str, at: &'a [u8]) -> Self {
        Self { why, at: Some(at) }
    }
}

fn four(text: &[u8]) -> Result<(), Fault<'_>> {
    let (mut value, mut digits, mut fields) = (0u32, 0, 0);
    for (at, &byte) in text.iter().enumerate() {
        let rest = text.get(at..).unwrap_or_default();
        match byte {
            b'0'..=b'9' => {
                if digits == 1 && value == 0 {
                    return Err(Fault::new("IPv4 field has octet with leading zero"));
                }
                value = value * 10 + u32::from(byte - b'0');
                digits += 1;
                if value > 255 {
                    return Err(Fault::new("IPv4 field has value >255"));
                }
            }
            b'.' if digits == 0 || rest.len() == 1 => {
                return Err(Fault::at("IPv4 field must have at least one digit", rest));
            }
            b'.' if fields == 3 => return Err(Fault::new("IPv4 address too long")),
            b'.' => (value, digits, fields) = (0, 0, fields + 1),
            _ => return Err(Fault::at("unexpected character", rest)),
        }
    }
    if fields < 3 { Err(Fault::new("IPv4 address too short")) } else { Ok(()) }
}

fn six(text: &[u8]) -> Result<(), Fault<'_>> {
    let zone = text.iter().position(|byte| *byte == b'%');
    if zone.is_some_and(|zone| zone + 1 == text.len()) {
        return Err(Fault::new("zone must be a non-empty string"));
    }
    let mut rest = text.get(..zone.unwrap_or(text.len())).unwrap_or_default();
    let mut gap = false;
    if let Some(behind) = rest.strip_prefix(b"::") {
        gap = true;
        rest = behind;
        if rest.is_empty() {
            return Ok(());
        }
    }
    let mut groups = 0;
    while groups < 8 {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        if digits > 4 {
            return Err(Fault::at("each group must have 4 or less digits", rest));
        }
        if digits == 0 {
            return Err(Fault::at("each colon-separated field must have at least one digit", rest));
        }
        if rest.get(digits) == Some(&b'.') {
            if !gap && groups != 6 {
                let why = "embedded IPv4 address must replace the final 2 fields of the address";
                return Err(Fault::at(why, rest));
            }
            if groups > 6 {
                let why = "too many hex fields to fit an embedded IPv4 at the end of the address";
                return Err(Fault::at(why, rest));
            }
            four(rest)?;
            rest = &[];
            groups += 2;
            break;
        }
        groups += 1;
        rest = rest.get(digits..).unwrap_or_default();
        match rest {
            [] => break,
            [b':'] => return Err(Fault::at("colon must be followed by more characters", rest)),
            [b':', b':', behind @ ..] => {
                if gap {
                    return Err(Fault::at("multiple :: in address", rest.get(1..).unwrap_or_default()));
                }
                gap = true;
                rest = behind;
                if rest.is_empty() {
                    break;
                }
            }
            [b':', behind @ ..] => rest = behind,
            _ => return Err(Fault::at("unexpected character, want colon", rest)),
        }
    }
    if !rest.is_empty() {
        return Err(Fault::at("trailing garbage after address", rest));
    }
    match (groups < 8, gap) {
        (true, false) => Err(Fault::new("address string too short")),
        (false, true) => Err(Fault::new("the :: must expand to at least one field of zeros")),
        _ => Ok(()),
    }
}
