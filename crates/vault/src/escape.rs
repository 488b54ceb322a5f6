//! How one byte may be written with several: as JSON and as URLs do it. Pure.

/// The longest way: `%73`, each character of it as `\u0025`.
pub(crate) const LONGEST: usize = 18;

/// What an escape begins with.
pub(crate) const BEGINNINGS: [u8; 2] = [b'\\', b'%'];

/// What stands at the beginning of some bytes.
#[derive(Clone, Copy)]
pub(crate) enum Escape {
    /// This byte, written with so many.
    Of(u8, usize),
    /// The bytes end within one.
    Begun,
    Not,
}

impl Escape {
    /// At the beginning of `bytes`. What a URL's escape is made of may be escaped again as JSON does it. Control
    /// characters are of no interest here: no token has any.
    pub(crate) fn at(bytes: &[u8]) -> Self {
        let (first, mut at) = match json(bytes) {
            Self::Of(byte, length) => (byte, length),
            other => return other,
        };
        let alone = if at == 1 { Self::Not } else { Self::Of(first, at) };
        if first != b'%' {
            return alone;
        }
        let mut value = 0;
        for _ in 0..2 {
            let (digit, length) = match json(&bytes[at..]) {
                Self::Of(digit, length) => (digit, length),
                Self::Begun => return Self::Begun,
                Self::Not => return alone,
            };
            let Some(digit) = char::from(digit).to_digit(16) else { return alone };
            value = value * 16 + digit as u8;
            at += length;
        }
        Self::Of(value, at)
    }
}

/// One character of a JSON text.
fn json(bytes: &[u8]) -> Escape {
    match bytes {
        [] | [b'\\'] => Escape::Begun,
        [b'\\', b'u', digits @ ..] => hexadecimal(digits),
        [b'\\', byte @ (b'"' | b'\\' | b'/'), ..] => Escape::Of(*byte, 2),
        [b'\\', ..] => Escape::Not,
        [byte, ..] => Escape::Of(*byte, 1),
    }
}

/// The four digits behind `\u`.
fn hexadecimal(digits: &[u8]) -> Escape {
    let mut value = 0;
    for digit in digits.iter().take(4) {
        let Some(digit) = char::from(*digit).to_digit(16) else { return Escape::Not };
        value = value * 16 + digit;
    }
    match u8::try_from(value) {
        Ok(byte) if digits.len() >= 4 => Escape::Of(byte, 6),
        Ok(_) => Escape::Begun,
        Err(_) => Escape::Not,
    }
}
