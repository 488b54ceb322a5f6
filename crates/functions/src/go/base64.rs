//! `encoding/base64` with padding: Go skips line ends, does not mind stray bits at the end, and says where a text
//! stops being base64.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};

/// One of Go's encodings.
pub(crate) struct Encoding {
    engine: GeneralPurpose,
    /// The digits that are neither letters nor numbers.
    specials: [u8; 2],
}

/// `base64.StdEncoding`
pub(crate) static STANDARD: Encoding = Encoding::new(&alphabet::STANDARD, *b"+/");
/// `base64.URLEncoding`
pub(crate) static URL: Encoding = Encoding::new(&alphabet::URL_SAFE, *b"-_");

impl Encoding {
    const fn new(alphabet: &alphabet::Alphabet, specials: [u8; 2]) -> Self {
        let config = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
        Self { engine: GeneralPurpose::new(alphabet, config), specials }
    }

    /// The digits of `plain`.
    pub(crate) fn encode(&self, plain: impl AsRef<[u8]>) -> String {
        self.engine.encode(plain)
    }

    /// The bytes that a text stands for.
    ///
    /// # Errors
    /// The place of the first fault, as `illegal base64 data at input byte N` has it.
    pub(crate) fn decode(&self, text: &[u8]) -> Result<Vec<u8>, usize> {
        let digits: Vec<u8> = without_line_ends(text).map(|(_, byte)| byte).collect();
        self.engine.decode(digits).map_err(|_| self.fault(text))
    }

    /// Where Go's reader stops in a text that is not base64.
    fn fault(&self, text: &[u8]) -> usize {
        let mut rest = without_line_ends(text);
        let mut count = 0;
        while let Some((at, byte)) = rest.next() {
            if byte == b'=' {
                return match (count % 4, rest.next(), rest.next()) {
                    // What is amiss is behind the padding, but Go points to it.
                    (2, Some((second, byte)), _) if byte != b'=' => second - 1,
                    (2, Some(_), behind) | (3, behind, _) => behind.map_or(text.len(), |(at, _)| at),
                    (2, None, _) => text.len(),
                    _ => at,
                };
            }
            if !byte.is_ascii_alphanumeric() && !self.specials.contains(&byte) {
                return at;
            }
            count += 1;
        }
        // Go counts back from the end, line ends within the last group or not.
        text.len() - count % 4
    }
}

fn without_line_ends(text: &[u8]) -> impl Iterator<Item = (usize, u8)> {
    text.iter().copied().enumerate().filter(|(_, byte)| !matches!(byte, b'\n' | b'\r'))
}

#[cfg(test)]
mod tests {
    use super::{STANDARD, URL};

    #[test]
    fn says_where() {
        for (text, fault) in [
            ("abc", 0),
            ("YW!j", 2),
            ("YWJjYW!j", 6),
            ("YW=j", 2),
            ("YW\n=\nj", 4),
            ("YWJjYQ=", 7),
            ("YWJjY", 4),
            ("YWJjY\nQ", 5),
            ("YWJjYQ==x", 8),
            ("YWJjYWI=x", 8),
            ("YWJjYWI=\n=", 9),
            ("=", 0),
            ("====", 0),
            ("Y===", 1),
            ("YW-_", 2),
        ] {
            assert_eq!(STANDARD.decode(text.as_bytes()), Err(fault), "{text}");
        }
        for (text, bytes) in [
            ("", ""),
            ("YWJj", "abc"),
            ("YW\nJj\r\nYWI=\n", "abcab"),
            ("YWJjYQ==", "abca"),
            ("YWJjYR==", "abca"),
            ("YWJjYQ=\n=", "abca"),
        ] {
            assert_eq!(STANDARD.decode(text.as_bytes()).as_deref(), Ok(bytes.as_bytes()), "{text}");
        }
        assert_eq!((URL.decode(b"Pz8_"), URL.decode(b"Pz8/")), (Ok(b"???".to_vec()), Err(3)));
    }
}
