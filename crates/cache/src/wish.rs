//! What a client wants of the cache: `Cache-Control` and `Pragma` of its request.

use http::{HeaderMap, StatusCode, header};
use vault::{Body, Response};

/// What a request says about the cache.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Wish {
    /// Neither read nor write it, and share the answer with nobody.
    pub(crate) no_store: bool,
    /// Ask the server, and put its answer in the place of the old one.
    pub(crate) no_cache: bool,
    /// Ask nobody else.
    pub(crate) only_if_cached: bool,
}

impl Wish {
    /// Directives in any case, with or without values; unknown ones count nothing. `Pragma: no-cache` counts where
    /// there is no `Cache-Control`.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut wish = Self::default();
        if !headers.contains_key(header::CACHE_CONTROL) {
            wish.no_cache =
                headers.get_all(header::PRAGMA).iter().any(|value| names(value.as_bytes(), "no-cache"));
            return wish;
        }
        for value in headers.get_all(header::CACHE_CONTROL) {
            let value = value.as_bytes();
            wish.no_store |= names(value, "no-store");
            wish.no_cache |= names(value, "no-cache");
            wish.only_if_cached |= names(value, "only-if-cached");
        }
        wish
    }
}

fn names(value: &[u8], directive: &str) -> bool {
    value.split(|byte| *byte == b',').any(|part| {
        let name = part.split(|byte| *byte == b'=').next().unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(directive.as_bytes())
    })
}

/// The answer to a client that wanted nothing but what is in memory.
pub(crate) fn absent() -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    let body = r#"{"errors":["not in the cache, and the request allows nothing else (Cache-Control: only-if-cached)"]}"#;
    Response { status: StatusCode::GATEWAY_TIMEOUT, headers, body: Body::full(body) }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn directives_are_read_as_http_has_them() {
        let (none, store) = (Wish::default(), Wish { no_store: true, ..Wish::default() });
        let cache = Wish { no_cache: true, ..Wish::default() };
        for (name, value, wish) in [
            (header::CACHE_CONTROL, "no-store", store),
            (header::CACHE_CONTROL, "max-age=0, No-Store", store),
            (header::CACHE_CONTROL, "no-cache=\"a\"", cache),
            (header::CACHE_CONTROL, "only-if-cached", Wish { only_if_cached: true, ..none }),
            (header::CACHE_CONTROL, "no-stored", none),
            (header::CACHE_CONTROL, "", none),
            (header::PRAGMA, "no-cache", cache),
            (header::PRAGMA, "x", none),
        ] {
            let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
            assert_eq!(Wish::of(&headers), wish, "{value}");
        }
        let both = HeaderMap::from_iter([
            (header::CACHE_CONTROL, HeaderValue::from_static("max-age=5")),
            (header::PRAGMA, HeaderValue::from_static("no-cache")),
        ]);
        assert_eq!(Wish::of(&both), none);
    }
}
