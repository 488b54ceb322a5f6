//! Certificates as `pkiCert` gives them: PEM blocks out of an answer or of the template's own file.

use std::fmt;

use functions::Profile;
use functions::go::pem::{self, Block};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

/// PEM texts, each with a newline at its end; empty where there was none.
#[derive(Clone, Default, Eq, PartialEq)]
pub(crate) struct Certificate {
    pub(crate) cert: String,
    pub(crate) key: String,
    pub(crate) ca: String,
    /// Every CA, in their order.
    pub(crate) chain: Vec<String>,
    /// When `cert` begins and ends to be valid, in seconds; none without a certificate.
    pub(crate) valid: Option<(i64, i64)>,
}

/// Without the key, and short.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("has_key", &!self.key.is_empty())
            .field("valid", &self.valid)
            .finish_non_exhaustive()
    }
}

impl Certificate {
    /// All blocks of a text in any order; what lies between them is passed over. Of several certificates and
    /// keys the last one counts; of several CAs OpenBao's agent takes the last, Vault's the first.
    ///
    /// # Errors
    /// A block that says it is a certificate and is none.
    pub(crate) fn parse(text: &[u8], profile: Profile) -> Result<Self, String> {
        let mut found = Self::default();
        for block in pem::blocks(text) {
            if block.kind.ends_with("PRIVATE KEY") {
                found.key = encoded(&block);
            } else if block.kind == "CERTIFICATE" {
                let (_, certificate) = X509Certificate::from_der(&block.der)
                    .map_err(|_| "x509: malformed certificate".to_owned())?;
                found.add(&block, &certificate, profile);
            }
        }
        Ok(found)
    }

    fn add(&mut self, block: &Block, certificate: &X509Certificate<'_>, profile: Profile) {
        let text = encoded(block);
        if !certificate.is_ca() {
            let valid = certificate.validity();
            self.valid = Some((valid.not_before.timestamp(), valid.not_after.timestamp()));
            self.cert = text;
            return;
        }
        if self.ca.is_empty() || profile == Profile::OpenBao {
            self.ca.clone_from(&text);
        }
        if !self.chain.contains(&text) {
            self.chain.push(text);
        }
    }

    /// From the data of an answer: every text in it, and every text in its lists.
    ///
    /// # Errors
    /// As [`Certificate::parse`].
    pub(crate) fn of_answer(
        data: &serde_json::Map<String, serde_json::Value>,
        profile: Profile,
    ) -> Result<Self, String> {
        let mut text = String::new();
        let mut add = |value: &serde_json::Value| {
            if let Some(value) = value.as_str() {
                text.push_str(value);
                text.push('\n');
            }
        };
        for value in data.values() {
            add(value);
        }
        for value in data.values().filter_map(|value| value.as_array()).flatten() {
            add(value);
        }
        Self::parse(text.as_bytes(), profile)
    }
}

fn encoded(block: &Block) -> String {
    String::from_utf8_lossy(&block.encode()).into_owned()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A fresh certificate valid between these times, its key, and a CA, as PEM.
    pub(crate) fn issue(not_before: i64, not_after: i64) -> (String, String, String) {
        let time = |seconds: i64| {
            let date = jiff::Timestamp::from_second(seconds).unwrap().to_zoned(jiff::tz::TimeZone::UTC);
            let (month, day) = (u8::try_from(date.month()).unwrap(), u8::try_from(date.day()).unwrap());
            let rest = seconds.rem_euclid(86400);
            rcgen::date_time_ymd(i32::from(date.year()), month, day)
                + std::time::Duration::from_secs(u64::try_from(rest).unwrap())
        };
        let ca_key = rcgen::KeyPair::generate().unwrap();
        let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca_cert = ca.self_signed(&ca_key).unwrap();
        let issuer = rcgen::Issuer::new(ca, ca_key);
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["web".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (time(not_before), time(not_after));
        let cert = params.signed_by(&key, &issuer).unwrap();
        let unix = |pem: String| pem.replace('\r', "");
        (unix(cert.pem()), unix(key.serialize_pem()), unix(ca_cert.pem()))
    }

    #[test]
    fn blocks_are_found_in_any_order_and_written_anew() {
        let (cert, key, ca) = issue(1_700_000_000, 1_700_003_600);
        let (_, _, other) = issue(0, 1);
        let text =
            format!("# a remark: mine\n{ca}between\n{key}\n{other}{cert}-----BEGIN JUNK-----\nnot closed");
        let found = Certificate::parse(text.as_bytes(), Profile::OpenBao).unwrap();
        assert_eq!((&found.cert, &found.key, &found.ca), (&cert, &key, &other));
        assert_eq!(found.chain, [ca.clone(), other]);
        assert_eq!(found.valid, Some((1_700_000_000, 1_700_003_600)));
        assert_eq!(Certificate::parse(text.as_bytes(), Profile::Vault).unwrap().ca, ca);
        // One long line instead of many.
        let (head, rest) = cert.split_once('\n').unwrap();
        let long = format!("{head}\n{}", rest.replace('\n', "").replace("-----END", "\n-----END"));
        assert_eq!(Certificate::parse(long.as_bytes(), Profile::Vault).unwrap().cert, cert);
    }

    #[test]
    fn answers_hold_texts_and_lists_of_texts() {
        let (cert, key, ca) = issue(1_700_000_000, 1_700_003_600);
        let data = serde_json::json!({"certificate": cert.trim(), "private_key": key.trim(),
            "ca_chain": [ca.trim()], "issuing_ca": ca.trim(), "expiration": 5});
        let found = Certificate::of_answer(data.as_object().unwrap(), Profile::Vault).unwrap();
        assert_eq!((found.cert, found.key, found.ca, found.chain), (cert, key, ca.clone(), vec![ca]));
    }

    #[test]
    fn what_is_none_is_told() {
        let junk = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(Certificate::parse(junk, Profile::Vault).unwrap_err(), "x509: malformed certificate");
        assert_eq!(Certificate::parse(b"nothing", Profile::Vault).unwrap(), Certificate::default());
    }
}
