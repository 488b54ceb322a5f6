//! `method "alicloud"`.

use std::time::Duration;

use vault::SecretString;

use super::keys::{poll_interval, secret, string};
use crate::decode::Fields;

/// Who we are to Alibaba Cloud, by a signed request.
#[derive(Clone, Debug, PartialEq)]
pub struct AliCloud {
    /// The role to log in to.
    pub role: String,
    /// The region whose STS is asked who we are.
    pub region: String,
    /// How often to look for new credentials.
    pub poll_interval: Duration,
    /// What the file says of credentials; the environment comes before it.
    pub source: AliCloudSource,
    /// Where instance metadata are; none: the environment decides, else the usual address.
    pub metadata_endpoint: Option<String>,
}

/// Everything credentials can be made of; which of it is used is decided at login.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AliCloudSource {
    /// An access key's id.
    pub access_key: Option<String>,
    /// What it signs with.
    pub access_secret: Option<SecretString>,
    /// Beside temporary keys.
    pub access_token: Option<SecretString>,
    /// A role to take on with the access key.
    pub role_arn: Option<String>,
    /// The name of that session.
    pub role_session_name: Option<String>,
    /// How long that session lasts, in seconds; none: an hour.
    pub role_session_expiration: Option<u64>,
    /// An RSA key pair to get a session's keys with: base64 of PKCS#8, or PEM.
    pub private_key: Option<SecretString>,
    /// Its id.
    pub public_key_id: Option<String>,
    /// How long that session lasts, in seconds; none: an hour.
    pub session_expiration: Option<u64>,
    /// The role of this instance.
    pub role_name: Option<String>,
}

pub(super) fn read(config: &Fields<'_>) -> Option<AliCloud> {
    let needed = |key: &'static str| {
        let given = string(config, key);
        if !config.has(key) || given.as_deref() == Some("") {
            config.refuse(config.span_of(key), format!("'{key}' is required but is not provided"));
        }
        given.filter(|text| !text.is_empty())
    };
    let (role, region) = (needed("role"), needed("region"));
    let fits = |region: &str| region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if region.as_deref().is_some_and(|region| !fits(region)) {
        let hint = "a region is written like \"cn-hangzhou\"";
        config.refuse_with(config.span_of("region"), "'region' value is no region", hint);
    }
    let source = AliCloudSource {
        access_key: filled(config, "access_key"),
        access_secret: secret(config, "access_secret").or_else(|| secret(config, "secret_key")),
        access_token: secret(config, "access_token"),
        role_arn: filled(config, "role_arn"),
        role_session_name: filled(config, "role_session_name"),
        role_session_expiration: seconds(config, "role_session_expiration"),
        private_key: secret(config, "private_key"),
        public_key_id: filled(config, "public_key_id"),
        session_expiration: seconds(config, "session_expiration"),
        role_name: filled(config, "role_name"),
    };
    config.ignore(&["secret_key"]);
    let poll_interval = poll_interval(config);
    let metadata_endpoint = filled(config, "metadata_endpoint");
    Some(AliCloud { role: role?, region: region?, poll_interval, source, metadata_endpoint })
}

fn filled(config: &Fields<'_>, key: &'static str) -> Option<String> {
    string(config, key).filter(|text| !text.is_empty())
}

fn seconds(config: &Fields<'_>, key: &'static str) -> Option<u64> {
    let number = config.integer(key)?;
    // Zero is upstream's "not given".
    let Ok(seconds) = u64::try_from(number) else {
        config.refuse(config.span_of(key), format!("'{key}' must be a positive number of seconds"));
        return None;
    };
    (seconds > 0).then_some(seconds)
}
