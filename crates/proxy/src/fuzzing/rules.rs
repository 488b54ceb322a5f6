//! Bodies of fuzz targets: rules that hold for any headers and any answer.

use bytes::Bytes;
use config::UseAutoAuthToken;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use vault::{Accessor, Token, TokenState, headers};

use crate::filter::Filter;
use crate::forward::{attach, strip_hop_by_hop};
use crate::redact::headers_in_order;
use crate::token::{Choice, adopt_bearer, choose, remove_clients};

const TOKEN: &str = "hvs.CANARY-token";
const ACCESSOR: &str = "canary-Accessor";

fn ours() -> TokenState {
    TokenState {
        token: Token::new(TOKEN).ok().map(Into::into),
        accessor: Accessor::new(ACCESSOR).map(Into::into),
        ..TokenState::default()
    }
}

/// A head as it would reach the server, for lines of `name: value`: hop-by-hop headers are gone, what says who asks is
/// not, and a client's token and ours never travel together.
///
/// # Panics
/// When one of these does not hold.
pub fn header_rules(lines: &[u8]) {
    let mut before = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n').take(100) {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else { continue };
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value.trim_ascii()))
        {
            before.append(name, value);
        }
    }
    for mode in [UseAutoAuthToken::No, UseAutoAuthToken::WhenMissing, UseAutoAuthToken::Force] {
        for path in ["/v1/secret/data/app", "/v1/auth/userpass/login/me", "/ui"] {
            let mut headers = before.clone();
            strip_hop_by_hop(&mut headers);
            assert!(!headers.keys().any(|name| headers::is_hop_by_hop(name.as_str())), "{headers:?}");
            for kept in [headers::TOKEN, headers::NAMESPACE] {
                assert_eq!(headers.get(&kept), before.get(&kept));
            }
            adopt_bearer(&mut headers, &Method::PUT, path);
            match choose(mode, &Method::PUT, path, &headers) {
                Choice::Clients => {
                    let is_forced = mode == UseAutoAuthToken::Force && path.starts_with("/v1/secret");
                    assert!(!is_forced || headers.contains_key(headers::INLINE_AUTH_PATH), "{headers:?}");
                }
                Choice::Ours => {
                    assert!(mode != UseAutoAuthToken::No && path.starts_with("/v1/secret"), "{path}");
                    let client = before.get(headers::TOKEN).is_some_and(|token| !token.is_empty());
                    assert!(mode == UseAutoAuthToken::Force || !client, "{before:?}");
                    remove_clients(&mut headers);
                    attach(&mut headers, &ours());
                    let tokens: Vec<_> = headers.get_all(headers::TOKEN).iter().collect();
                    assert_eq!(tokens, [TOKEN]);
                    let bearer =
                        |value: &HeaderValue| value.as_bytes().to_ascii_lowercase().starts_with(b"bearer ");
                    assert!(!headers.get_all(header::AUTHORIZATION).iter().any(bearer), "{headers:?}");
                }
            }
        }
    }
}

/// An answer with our token or its accessor planted in it, each character in one of the spellings of JSON and of URLs,
/// in pieces of any size: it is not in what leaves, however that is read. `data` says how: the first bytes choose, the
/// rest is what stands around it.
///
/// # Panics
/// When it is there.
pub fn planted(data: &[u8]) {
    let Some((how, around)) = data.split_at_checked(20) else { return };
    let secret = if how[17] & 1 == 0 { TOKEN } else { ACCESSOR };
    let (before, after) = around.split_at(usize::from(how[18]).min(around.len()));
    let mut text = before.to_vec();
    for (c, how) in secret.chars().zip(how) {
        let c = u32::from(c);
        let spelled = match how % 6 {
            0 | 1 => char::from_u32(c).map(String::from).unwrap_or_default(),
            2 => format!("\\u{c:04X}"),
            3 => format!("\\u{c:04x}"),
            4 => format!("%{c:02X}"),
            _ => format!("%{c:02x}"),
        };
        text.extend_from_slice(spelled.as_bytes());
    }
    text.extend_from_slice(after);
    let Some(mut filter) = Filter::new(ours()) else { return };
    let mut out = Vec::new();
    for piece in text.chunks(usize::from(how[19]).max(1)) {
        out.extend_from_slice(&filter.push(Bytes::copy_from_slice(piece)));
    }
    out.extend_from_slice(&filter.finish());
    assert!(filter.found > 0, "{:?}", String::from_utf8_lossy(&text));
    for from in 0..out.len() {
        let left = read(&out[from..], TOKEN.len());
        assert!(
            left != TOKEN.as_bytes() && !left.starts_with(ACCESSOR.as_bytes()),
            "{:?}",
            String::from_utf8_lossy(&out)
        );
    }
    // The same in a header.
    if let Ok(value) = HeaderValue::from_bytes(&text) {
        let headers = HeaderMap::from_iter([(HeaderName::from_static("x-a"), value)]);
        assert!(headers_in_order(&headers, &ours()).is_err(), "{headers:?}");
    }
    if let Ok(name) = HeaderName::from_bytes(&text) {
        let headers = HeaderMap::from_iter([(name, HeaderValue::from_static("a"))]);
        assert!(headers_in_order(&headers, &ours()).is_err(), "{headers:?}");
    }
}

/// The first `most` bytes as a reader of JSON and of URLs would read them.
fn read(text: &[u8], most: usize) -> Vec<u8> {
    let number = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
    let (mut read, mut at) = (Vec::new(), 0);
    while let Some(byte) = text.get(at).filter(|_| read.len() < most) {
        let (escaped, length) = match &text[at..] {
            [b'%', one, other, ..] => (number(&[*one, *other]), 3),
            [b'\\', b'u', b'0', b'0', one, other, ..] => (number(&[*one, *other]), 6),
            _ => (None, 1),
        };
        read.push(escaped.unwrap_or(*byte));
        at += if escaped.is_some() { length } else { 1 };
    }
    read
}

/// Writes of a client that speaks HTTP/2: `data` is a list of frames, each a type, flags, a stream and what is in it.
pub fn frames(data: &[u8]) -> Vec<Vec<u8>> {
    // A head for `GET /v1/a`, as short as it can be written.
    const HEAD: &[u8] = b"\x82\x87\x04\x05/v1/a\x01\x09localhost";
    let mut writes = vec![b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec()];
    let mut rest = data;
    while let [kind, flags, stream, length, more @ ..] = rest
        && writes.len() < 200
    {
        let (content, more) = more.split_at(usize::from(*length).min(more.len()));
        // Heads that are right are seldom found by chance.
        let content = if kind & 0x10 == 0 { content } else { HEAD };
        let size = u32::try_from(content.len()).unwrap_or_default().to_be_bytes();
        let mut frame = size[1..].to_vec();
        frame.extend_from_slice(&[kind & 0x0f, *flags, 0, 0, 0, *stream]);
        frame.extend_from_slice(content);
        writes.push(frame);
        rest = more;
    }
    writes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fuzzing::connection;

    const PIECES: &[&str] = &[
        "Connection: ",
        "x-vault-token",
        "X-Vault-Token: s.client",
        "Authorization: Bearer s.client",
        "Upgrade: a",
        "authorization",
        "TE: trailers",
        "X-Vault-Inline-Auth-Path: a",
        ", ",
        "\n",
        "X-Vault-Namespace: a",
        "close",
        "X-Vault-Token:",
        "Proxy-Authorization: a",
        "Keep-Alive: 5",
        ":",
        "Authorization: bEaRer",
        " ",
    ];

    proptest! {
        /// Fuzz target 4 in small.
        #[test]
        fn fz4_rules_of_headers(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..20)) {
            header_rules(pieces.concat().as_bytes());
        }

        #[test]
        fn fz9_planted_tokens(data in prop::collection::vec(any::<u8>(), 20..120)) {
            planted(&data);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn frames_leave_nothing_behind(
            frames_of in prop::collection::vec((prop::sample::select(&[0_u8, 1, 0x11, 0x11, 3, 4, 6, 8, 9, 0x19][..]),
                prop::sample::select(&[0_u8, 4, 5, 5, 0xff][..]), 0..8_u8, prop::collection::vec(any::<u8>(), 0..20)), 0..30),
        ) {
            let mut data = Vec::new();
            for (kind, flags, stream, content) in frames_of {
                data.extend_from_slice(&[kind, flags, stream, content.len() as u8]);
                data.extend_from_slice(&content);
            }
            let writes = frames(&data);
            let pieces: Vec<&[u8]> = writes.iter().map(Vec::as_slice).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            let outcome = runtime.block_on(connection(&pieces, true));
            prop_assert!(outcome.closed, "{:?}", outcome);
            prop_assert_eq!(outcome.left_over, (0, 0));
            prop_assert!(outcome.targets.iter().all(|target| target == "/v1/a"), "{:?}", outcome.targets);
        }
    }

    #[test]
    fn a_right_head_is_answered() {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let writes = frames(&[0x11, 5, 1, 0]);
        let pieces: Vec<&[u8]> = writes.iter().map(Vec::as_slice).collect();
        assert_eq!(runtime.block_on(connection(&pieces, true)).targets, ["/v1/a"]);
    }
}
