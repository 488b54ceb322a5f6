//! `method "aws"`.

use std::path::PathBuf;
use std::time::Duration;

use vault::SecretString;

use super::keys::{poll_interval, required, secret, string};
use crate::decode::Fields;

/// Who we are to AWS, by signed request or by the instance's own papers.
#[derive(Clone, Debug, PartialEq)]
pub struct Aws {
    /// The role to log in to.
    pub role: String,
    /// `type`.
    pub login: AwsLogin,
    /// Where instance metadata are; none: the environment decides, else the usual address.
    pub metadata_endpoint: Option<String>,
}

/// What proves who we are.
#[derive(Clone, Debug, PartialEq)]
pub enum AwsLogin {
    /// A request to AWS's STS, signed and not sent.
    Iam(AwsIam),
    /// The instance's identity document.
    Ec2(AwsEc2),
}

/// `type = "iam"`.
#[derive(Clone, Debug, PartialEq)]
pub struct AwsIam {
    /// From the file; first of all sources.
    pub keys: Option<AwsKeys>,
    /// The region to sign for. `None` when the key is empty: then the environment decides.
    pub region: Option<String>,
    /// The value of `X-Vault-AWS-IAM-Server-ID`.
    pub header_value: Option<String>,
    /// How often to look for new credentials.
    pub poll_interval: Duration,
}

/// Access keys that stand in the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct AwsKeys {
    /// Its id.
    pub access_key: String,
    /// What signs.
    pub secret_key: SecretString,
    /// Beside temporary keys.
    pub session_token: Option<SecretString>,
}

/// `type = "ec2"`.
#[derive(Clone, Debug, PartialEq)]
pub struct AwsEc2 {
    /// What the server binds the instance to.
    pub nonce: AwsNonce,
    /// Send the PKCS#7 signature instead of document and RSA signature.
    pub pkcs7: bool,
}

/// Where the nonce of an instance comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum AwsNonce {
    /// Made at start and forgotten at the end.
    Fresh,
    /// From the configuration.
    Given(SecretString),
    /// Made once and kept in this file.
    Kept(PathBuf),
}

/// The region upstream signs for when none is given.
pub const DEFAULT_AWS_REGION: &str = "us-east-1";

pub(super) fn read(config: &Fields<'_>) -> Option<Aws> {
    let kind = required(config, "type");
    let role = required(config, "role");
    let iam = iam(config);
    let ec2 = ec2(config);
    let metadata_endpoint = string(config, "metadata_endpoint").filter(|base| !base.is_empty());
    let login = match kind?.as_str() {
        "iam" => AwsLogin::Iam(iam),
        "ec2" => AwsLogin::Ec2(ec2),
        _ => {
            let hint = "the types are \"iam\" and \"ec2\"";
            config.refuse_with(config.span_of("type"), "'type' value is invalid", hint);
            return None;
        }
    };
    Some(Aws { role: role?, login, metadata_endpoint })
}

fn iam(config: &Fields<'_>) -> AwsIam {
    let access_key = string(config, "access_key").filter(|key| !key.is_empty());
    let secret_key = secret(config, "secret_key");
    let session_token = secret(config, "session_token");
    let keys = match (access_key, secret_key) {
        (Some(access_key), Some(secret_key)) => Some(AwsKeys { access_key, secret_key, session_token }),
        (None, None) => None,
        (access_key, _) => {
            let given = if access_key.is_some() { "access_key" } else { "secret_key" };
            config.refuse(
                config.span_of(given),
                "static AWS client credentials haven't been properly configured (the access key or secret key were \
                 provided but not both)",
            );
            None
        }
    };
    let header_value = string(config, "header_value").filter(|value| !value.is_empty());
    if header_value.as_ref().is_some_and(|value| value.chars().any(|c| !(' '..='~').contains(&c))) {
        let message = "'header_value' holds a character that an HTTP header cannot carry";
        config.refuse(config.span_of("header_value"), message);
    }
    let region = string(config, "region");
    if region.as_ref().is_some_and(|region| !is_region(region)) {
        let hint = "a region is written like \"eu-central-1\"";
        config.refuse_with(config.span_of("region"), "'region' value is no region", hint);
    }
    AwsIam {
        keys,
        region: Some(region.unwrap_or_else(|| DEFAULT_AWS_REGION.to_owned())).filter(|r| !r.is_empty()),
        header_value,
        poll_interval: poll_interval(config),
    }
}

fn ec2(config: &Fields<'_>) -> AwsEc2 {
    let nonce = secret(config, "nonce");
    let path = string(config, "nonce_path").filter(|path| !path.is_empty());
    let nonce = match (nonce, path) {
        (Some(_), Some(_)) => {
            let span = config.span_of("nonce_path");
            config.refuse(span, "'nonce' and 'nonce_path' exclude each other");
            AwsNonce::Fresh
        }
        (Some(nonce), None) => AwsNonce::Given(nonce),
        (None, Some(path)) => AwsNonce::Kept(path.into()),
        (None, None) => AwsNonce::Fresh,
    };
    AwsEc2 { nonce, pkcs7: config.lax_bool("pkcs7").unwrap_or(false) }
}

/// It becomes part of a host name and of what is signed.
fn is_region(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
