//! Oracle's form of HTTP signatures (draft-cavage-http-signatures, version "1").

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::super::rsa::{KeyProblem, RsaKey};

/// Somebody who signs.
pub(super) struct Signer<'a> {
    /// Tells Oracle whose public key to check with.
    pub(super) key_id: &'a str,
    pub(super) key: &'a RsaKey,
}

impl Signer<'_> {
    /// The header `Authorization` over these headers, in this order; names in lower case.
    ///
    /// # Errors
    /// The key cannot sign.
    pub(super) fn authorization(&self, headers: &[(&str, &str)]) -> Result<String, KeyProblem> {
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let signature = BASE64_STANDARD.encode(self.key.sign(signing_string(headers).as_bytes())?);
        Ok(format!(
            "Signature version=\"1\",headers=\"{}\",keyId=\"{}\",algorithm=\"rsa-sha256\",signature=\"{signature}\"",
            names.join(" "),
            self.key_id
        ))
    }
}

fn signing_string(headers: &[(&str, &str)]) -> String {
    headers.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From Oracle's page "Request Signatures", the sample for POST.
    #[test]
    fn oracles_own_example_is_signed_as_oracle_does() {
        let headers = [
            ("date", "Thu, 05 Jan 2014 21:31:40 GMT"),
            ("(request-target)", "post /20160918/volumeAttachments"),
            ("host", "iaas.us-phoenix-1.oraclecloud.com"),
            ("content-length", "316"),
            ("content-type", "application/json"),
            ("x-content-sha256", "V9Z20UJTvkvpJ50flBzKE32+6m2zJjweHpDMX/U4Uy0="),
        ];
        let expected = "date: Thu, 05 Jan 2014 21:31:40 GMT\n\
                        (request-target): post /20160918/volumeAttachments\n\
                        host: iaas.us-phoenix-1.oraclecloud.com\n\
                        content-length: 316\n\
                        content-type: application/json\n\
                        x-content-sha256: V9Z20UJTvkvpJ50flBzKE32+6m2zJjweHpDMX/U4Uy0=";
        assert_eq!(signing_string(&headers), expected);
    }
}
