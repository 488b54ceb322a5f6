//! How one byte may be written with several: as JSON and as URLs do it. Pure.

/// The longest way: `\u0073`.
pub(crate) const LONGEST: usize = 6;

/// What an escape begins with.
pub(crate) const BEGINNINGS: [u8; 2] = [b'\\', b'%'];

/// What stands at the beginning of some bytes.
pub(crate) enum Escape {
    /// This byte, written with so many.
    Of(u8, usize),
    /// The bytes end within one.
    Begun,
    Not,
}

impl Escape {
    /// At the beginning of `bytes`. Control characters are of no interest here: no token has any.
    pub(crate) fn at(bytes: &[u8]) -> Self {
        match bytes {
            [b'%', ..] => hexadecimal(bytes, 1, 3),
            [b'\\', b'u', ..] => hexadecimal(bytes, 2, LONGEST),
            [b'\\', byte @ (b'"' | b'\\' | b'/'), ..] => Self::Of(*byte, 2),
            [b'\\'] => Self::Begun,
            _ => Self::Not,
        }
    }
}

/// One that is `length` bytes long, digits from `prefix` on.
fn hexadecimal(bytes: &[u8], prefix: usize, length: usize) -> Escape {
    let mut value = 0;
    for digit in bytes.iter().take(length).skip(prefix) {
        let Some(digit) = char::from(*digit).to_digit(16) else { return Escape::Not };
        value = value * 16 + digit;
    }
    match u8::try_from(value) {
        Ok(byte) if bytes.len() >= length => Escape::Of(byte, length),
        Ok(_) => Escape::Begun,
        Err(_) => Escape::Not,
    }
}
