//! A request made of the bytes of its head, which have passed the strict reader. Values are parts of them, not copies.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use memchr::memchr;
use vault::headers;

use super::head::Head;
use crate::breach::Breach;

/// Room for headers that are added on the way.
const ADDED: usize = 3;

/// A request without its body.
///
/// # Errors
/// A target that is none: the strict reader does not look into it.
pub(super) fn request(head: &Head, bytes: &Bytes) -> Result<Request<()>, Breach> {
    const BAD: Breach = Breach::Framing("the head of the request cannot be read");
    let mut lines = Lines { bytes, at: head.start };
    let line = lines.next().ok_or(BAD)?;
    let mut words = line.split(|byte| *byte == b' ');
    let (method, target) = (words.next().ok_or(BAD)?, words.next().ok_or(BAD)?);
    let mut headers = HeaderMap::with_capacity(head.fields + ADDED);
    for line in lines {
        if line.is_empty() {
            break;
        }
        let colon = memchr(b':', line).ok_or(BAD)?;
        let (name, value) =
            (line.get(..colon).unwrap_or_default(), line.get(colon + 1..).unwrap_or_default());
        let name = known(name).map_or_else(|| HeaderName::from_bytes(name), Ok).map_err(|_| BAD)?;
        let value = match value.trim_ascii() {
            [] => HeaderValue::from_static(""),
            value => HeaderValue::from_maybe_shared(bytes.slice_ref(value)).map_err(|_| BAD)?,
        };
        headers.try_append(name, value).map_err(|_| Breach::HeaderCount)?;
    }
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(method).map_err(|_| BAD)?;
    *request.uri_mut() = Uri::from_maybe_shared(bytes.slice_ref(target))
        .map_err(|_| Breach::Framing("the request target is none"))?;
    *request.version_mut() = if head.modern { Version::HTTP_11 } else { Version::HTTP_10 };
    *request.headers_mut() = headers;
    Ok(request)
}

/// Names of the API, which every client sends: they need no memory.
fn known(name: &[u8]) -> Option<HeaderName> {
    let known = match name.len() {
        13 => headers::TOKEN,
        15 => headers::REQUEST,
        17 => headers::NAMESPACE,
        _ => return None,
    };
    name.eq_ignore_ascii_case(known.as_str().as_bytes()).then_some(known)
}

/// The lines of a head, without their ends.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.bytes.get(self.at..)?;
        let end = memchr(b'\n', rest)?;
        self.at += end + 1;
        rest.get(..end.checked_sub(1)?)
    }
}
