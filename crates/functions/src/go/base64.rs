//! `base64.StdEncoding`: Go says where a text stops being base64, and does not mind stray bits at the end.

/// The bytes that a text in the standard alphabet with padding stands for; line ends in it are skipped.
///
/// # Errors
/// The place of the first fault, as `illegal base64 data at input byte N` has it.
pub(crate) fn decode(text: &[u8]) -> Result<Vec<u8>, usize> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let mut input = text.iter().copied().enumerate().filter(|(_, byte)| !matches!(byte, b'\n' | b'\r'));
    // The group of four that is being read, and its bits.
    let (mut count, mut bits) = (0, 0_u32);
    while let Some((at, byte)) = input.next() {
        if byte == b'=' {
            return match (count, input.next(), input.next()) {
                (2, None, _) => Err(text.len()),
                (2, Some((_, b'=')), None) => {
                    out.push((bits >> 4) as u8);
                    Ok(out)
                }
                (2, Some((_, b'=')), Some((at, _))) | (3, Some((at, _)), _) => Err(at),
                // What is amiss is behind the padding, but Go points to it.
                (2, Some((second, _)), _) => Err(second - 1),
                (3, None, _) => {
                    out.extend([(bits >> 10) as u8, (bits >> 2) as u8]);
                    Ok(out)
                }
                _ => Err(at),
            };
        }
        bits = bits << 6 | value(byte).ok_or(at)?;
        count += 1;
        if count == 4 {
            out.extend([(bits >> 16) as u8, (bits >> 8) as u8, bits as u8]);
            (count, bits) = (0, 0);
        }
    }
    if count == 0 { Ok(out) } else { Err(text.len() - count) }
}

fn value(byte: u8) -> Option<u32> {
    Some(match byte {
        b'A'..=b'Z' => u32::from(byte - b'A'),
        b'a'..=b'z' => u32::from(byte - b'a') + 26,
        b'0'..=b'9' => u32::from(byte - b'0') + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn says_where() {
        for (text, fault) in [
            ("abc", 0),
            ("YW!j", 2),
            ("YWJjYW!j", 6),
            ("YW=j", 2),
            ("YWJjYQ=", 7),
            ("YWJjY", 4),
            ("YWJjYQ==x", 8),
            ("YWJjYWI=x", 8),
            ("=", 0),
            ("====", 0),
            ("Y===", 1),
        ] {
            assert_eq!(decode(text.as_bytes()), Err(fault), "{text}");
        }
        for (text, bytes) in [
            ("", ""),
            ("YWJj", "abc"),
            ("YWJjYR==", "abca"),
            ("YW\nJj\r\nYWI=\n", "abcab"),
            ("YWJjYQ==", "abca"),
        ] {
            assert_eq!(decode(text.as_bytes()).as_deref(), Ok(bytes.as_bytes()), "{text}");
        }
    }
}
