//! Doors for the fuzz targets, which are a workspace of their own. Not for anybody else.

use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::redirect::redirect;
use crate::{Address, Body, RedirectHosts, Response, SendError};

/// Where answers with any `Location` lead: only where that says, in a form that can be asked for; from TLS to nothing
/// else; and to no unknown host where hosts are named. The first byte of `data` chooses the status.
///
/// # Panics
/// When one of these does not hold.
pub fn location(data: &[u8]) {
    let Some((status, location)) = data.split_first() else { return };
    let Ok(value) = HeaderValue::from_bytes(location) else { return };
    let status = [301, 302, 303, 304, 307, 308, 300, 200][usize::from(status % 8)];
    for from in ["https://server.example:8200", "http://server.example:8200/below"] {
        let Ok(from) = from.parse::<Address>() else { return };
        let response = Response {
            status: StatusCode::from_u16(status).unwrap_or_default(),
            headers: HeaderMap::from_iter([(header::LOCATION, value.clone())]),
            body: Body::empty(),
        };
        match redirect(&response, &from) {
            Ok(None) => {}
            Err(why) => assert!(matches!(why, SendError::Downgrade) && from.is_tls(), "{why}"),
            Ok(Some((to, target))) => {
                assert!([301, 302, 307, 308].contains(&status), "{status}");
                assert!(to.is_tls() || !from.is_tls(), "{to}");
                assert!(target.starts_with('/') && !target.contains(['\r', '\n', ' ', '#']), "{target:?}");
                // It is asked for in the words of the header.
                let words = target.strip_prefix('/').unwrap_or(&target);
                assert!(
                    words.is_empty() || location.windows(words.len()).any(|part| part == words.as_bytes())
                );
                let known = RedirectHosts::Known(Vec::new());
                let name = "server.example";
                let same = to.to_string().to_ascii_lowercase().contains(name);
                assert!(same || !known.allow(&from, &to, []), "{to}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PIECES: &[&str] = &[
        "http",
        "https",
        "://",
        "/",
        "//",
        "server.example",
        "server.example.",
        "other",
        ":8200",
        ":99999",
        "[::1]",
        "@",
        "?",
        "#",
        "%2f",
        "..",
        " ",
        "\\",
        "\t",
        "é",
        "v1/secret",
        "unix",
    ];

    proptest! {
        /// Fuzz target 12 in small.
        #[test]
        fn fz12_where_a_redirect_leads(
            status in any::<u8>(), pieces in prop::collection::vec(prop::sample::select(PIECES), 0..12),
        ) {
            location(&[&[status], pieces.concat().as_bytes()].concat());
        }
    }
}
