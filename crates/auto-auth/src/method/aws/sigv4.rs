//! AWS's signature version 4, for requests to the root path without a query: all that STS needs.
//!
//! The rules are those of "Create a signed AWS API request" in the IAM user guide; the tests are vectors of AWS's own
//! test suite.

use aws_lc_rs::{digest, hmac};
use jiff::Timestamp;

use super::keys::Keys;

/// What is signed.
pub(super) struct Unsigned<'a> {
    pub(super) method: &'a str,
    /// All headers that count, `host` among them and `x-amz-date` not; lower case names, in any order.
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: &'a [u8],
}

/// What a signature is good for.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

/// The headers a signature adds.
pub(super) struct Signature {
    /// `X-Amz-Date`.
    pub(super) date: String,
    /// `Authorization`.
    pub(super) authorization: String,
}

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Signs with `keys`; the session token, if they have one, is added to the headers.
pub(super) fn sign(mut request: Unsigned<'_>, scope: Scope<'_>, keys: &Keys, now: Timestamp) -> Signature {
    let date = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    let day = now.strftime("%Y%m%d").to_string();
    request.headers.push(("x-amz-date", date.clone()));
    if let Some(token) = &keys.session_token {
        request.headers.push(("x-amz-security-token", token.expose().to_owned()));
    }
    request.headers.sort_unstable_by_key(|(name, _)| *name);
    let names: Vec<&str> = request.headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let headers: String =
        request.headers.iter().map(|(name, value)| format!("{name}:{}\n", squeezed(value))).collect();
    let canonical =
        format!("{}\n/\n\n{headers}\n{names}\n{}", request.method, hex(sha256(request.body).as_ref()));

    let Scope { region, service } = scope;
    let credential = format!("{day}/{region}/{service}/aws4_request");
    let canonical = hex(sha256(canonical.as_bytes()).as_ref());
    let to_sign = format!("{ALGORITHM}\n{date}\n{credential}\n{canonical}");

    let start = format!("AWS4{}", keys.secret_key.expose());
    let mut key = hmac_sha256(start.as_bytes(), &day);
    for part in [region, service, "aws4_request", &to_sign] {
        key = hmac_sha256(key.as_ref(), part);
    }
    let signature = hex(key.as_ref());
    let authorization = format!(
        "{ALGORITHM} Credential={}/{credential}, SignedHeaders={names}, Signature={signature}",
        keys.access_key
    );
    Signature { date, authorization }
}

/// Without white space around, and with one space where there were more.
fn squeezed(value: &str) -> String {
    value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

fn sha256(bytes: &[u8]) -> digest::Digest {
    digest::digest(&digest::SHA256, bytes)
}

fn hmac_sha256(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test suite's keys, scope and time; gives the headers signed and the signature.
    fn signed(request: Unsigned<'_>, session_token: Option<&str>) -> (String, String) {
        let keys = Keys {
            access_key: "AKIDEXAMPLE".into(),
            secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            session_token: session_token.map(Into::into),
            expires: None,
        };
        let now = "2015-08-30T12:36:00Z".parse().unwrap();
        let scope = Scope { region: "us-east-1", service: "service" };
        let signature = sign(request, scope, &keys, now);
        assert_eq!(signature.date, "20150830T123600Z");
        let (start, signature) = signature.authorization.split_once(", Signature=").unwrap();
        let (credential, names) = start.split_once(", SignedHeaders=").unwrap();
        assert_eq!(
            credential,
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request"
        );
        (names.to_owned(), signature.to_owned())
    }

    fn post(headers: &[(&'static str, &str)], body: &'static str) -> Unsigned<'static> {
        let mut headers: Vec<_> = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        headers.push(("host", "example.amazonaws.com".into()));
        Unsigned { method: "POST", headers, body: body.as_bytes() }
    }

    // Vectors of aws-sig-v4-test-suite, by their names there.
    #[test]
    fn signs_as_the_published_test_suite() {
        let get = |headers| Unsigned { method: "GET", ..post(headers, "") };
        for (name, request, token, names, signature) in [
            (
                "get-vanilla",
                get(&[]),
                None,
                "host;x-amz-date",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "get-header-value-trim",
                get(&[("my-header1", " value1"), ("my-header2", " \"a   b   c\"")]),
                None,
                "host;my-header1;my-header2;x-amz-date",
                "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
            ),
            (
                "post-vanilla",
                post(&[], ""),
                None,
                "host;x-amz-date",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "post-header-key-sort",
                post(&[("my-header1", "value1")], ""),
                None,
                "host;my-header1;x-amz-date",
                "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
            ),
            (
                "post-x-www-form-urlencoded",
                post(&[("content-type", "application/x-www-form-urlencoded")], "Param1=value1"),
                None,
                "content-type;host;x-amz-date",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
            (
                "post-sts-header-before",
                post(&[], ""),
                Some(
                    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==",
                ),
                "host;x-amz-date;x-amz-security-token",
                "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
            ),
        ] {
            let got = signed(request, token);
            assert_eq!(got, (names.to_owned(), signature.to_owned()), "{name}");
        }
    }
}
