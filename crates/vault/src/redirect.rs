//! Where an answer sends us: pure.

use http::{StatusCode, Uri, header};

use crate::address::Address;
use crate::{Response, SendError};

/// Where a 301, 302, 307 or 308 points, if it is a place we can go to: server and target.
///
/// # Errors
/// From TLS to none: the token would travel in the open.
pub(crate) fn redirect(response: &Response, from: &Address) -> Result<Option<(Address, String)>, SendError> {
    let Some((address, target)) = place(response, from) else { return Ok(None) };
    if from.is_tls() && !address.is_tls() {
        return Err(SendError::Downgrade);
    }
    Ok(Some((address, target)))
}

fn place(response: &Response, from: &Address) -> Option<(Address, String)> {
    let follow = matches!(
        response.status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    if !follow {
        return None;
    }
    let location: Uri = response.headers.get(header::LOCATION)?.to_str().ok()?.parse().ok()?;
    let target = location.path_and_query()?.as_str().to_owned();
    match (location.scheme_str(), location.authority()) {
        (Some(scheme @ ("http" | "https")), Some(authority)) => {
            Some((format!("{scheme}://{authority}").parse().ok()?, target))
        }
        // `//host/…` would be another server.
        (None, None) if !target.starts_with("//") => {
            Some((Address { prefix: String::new(), ..from.clone() }, target))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::Body;

    fn from(address: &str, status: u16, location: &str) -> Result<Option<String>, SendError> {
        let headers = HeaderMap::from_iter([(header::LOCATION, HeaderValue::from_str(location).unwrap())]);
        let response =
            Response { status: StatusCode::from_u16(status).unwrap(), headers, body: Body::empty() };
        let found = redirect(&response, &address.parse().unwrap())?;
        Ok(found.map(|(address, target)| format!("{address} {target}")))
    }

    #[test]
    fn s31_where_redirects_may_lead() {
        for (status, location, to) in [
            (307, "https://b:8200/v1/x?y=1", Some("https://b:8200 /v1/x?y=1")),
            (308, "https://b:8200/v1/x", Some("https://b:8200 /v1/x")),
            (301, "/v1/y", Some("https://a:8200 /v1/y")),
            (303, "https://b:8200/v1/x", None),
            (200, "https://b:8200/v1/x", None),
            (307, "ftp://b/x", None),
            (307, "//b/v1/x", None),
            (307, "unix://b/x", None),
        ] {
            assert_eq!(
                from("https://a:8200/gw", status, location).unwrap().as_deref(),
                to,
                "{status} {location}"
            );
        }
        assert!(matches!(from("https://a:8200", 307, "http://b:8200/v1/x"), Err(SendError::Downgrade)));
        assert!(from("http://a:8200", 307, "https://b:8200/v1/x").unwrap().is_some());
    }
}
