//! Request targets: what comes out is canonical, and stays so.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy::fuzzing::canonical;

const MOST: usize = 16 * 1024;

/// A percent-decoder that shares nothing with ours.
fn decoded(path: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut parts = path.split('%');
    out.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        out.push(u8::from_str_radix(&part[..2], 16).expect("an escape"));
        out.extend_from_slice(&part.as_bytes()[2..]);
    }
    out
}

fuzz_target!(|raw: &str| {
    let Some(once) = canonical(raw, MOST) else { return };
    assert_eq!(canonical(&once, 3 * MOST), Some(once.clone()), "{raw:?}");
    assert!(once.is_ascii() && once.starts_with('/') && !once.bytes().any(|byte| byte.is_ascii_control()));
    let path = once.split('?').next().unwrap_or_default();
    assert!(!path.contains("//") && (path == "/" || !path.ends_with('/')), "{raw:?}: {once}");
    let bytes = decoded(path);
    assert!(!bytes.iter().any(u8::is_ascii_control), "{raw:?}");
    assert!(!bytes.split(|byte| *byte == b'/').any(|part| part == b"." || part == b".."), "{raw:?}");
    // It means what was sent: the same bytes once the escapes are resolved, a slash at the end aside.
    let sent = decoded(raw.split('?').next().unwrap_or_default());
    let sent = if sent.len() > 1 { sent.strip_suffix(b"/").unwrap_or(&sent) } else { &sent };
    assert_eq!(bytes, sent, "{raw:?}");
    let query = raw.split_once('?').map(|(_, query)| query).filter(|query| !query.is_empty());
    let out = once.split_once('?').map(|(_, query)| query);
    assert_eq!(out.is_some(), query.is_some(), "{raw:?}");
    assert_eq!(out.map(decoded), query.map(decoded), "{raw:?}");
});
