//! `method "oci"`.

use std::path::PathBuf;
use std::time::Duration;

use super::keys::{piece, required};
use crate::decode::Fields;
use crate::go_duration::GoDuration;

/// How often credentials are looked at; upstream's.
pub const DEFAULT_OCI_POLL_INTERVAL: Duration = Duration::from_secs(60);

/// The profile of a configuration file of Oracle's tools that counts when none is named; theirs.
pub const DEFAULT_OCI_PROFILE: &str = "DEFAULT";

/// A user or an instance of Oracle Cloud.
#[derive(Clone, Debug, PartialEq)]
pub struct Oci {
    /// The role at the server.
    pub role: String,
    /// Whose key signs.
    pub kind: OciKind,
    /// How often to look for new credentials.
    pub poll_interval: Duration,
}

/// Whose key signs a login.
#[derive(Clone, Debug, PartialEq)]
pub enum OciKind {
    /// A user's, from the environment or a configuration file of Oracle's tools.
    ApiKey {
        /// That file instead of those in the home folder.
        config_file: Option<PathBuf>,
        /// Its section.
        profile: String,
    },
    /// The instance's own.
    Instance {
        /// Base URL of the instance metadata service, `http://169.254.169.254/opc/v2`.
        metadata_endpoint: Option<String>,
        /// Base URL of the service that changes a certificate into a token, `https://auth.<region>.oraclecloud.com`.
        federation_endpoint: Option<String>,
    },
}

pub(super) fn read(config: &Fields<'_>) -> Option<Oci> {
    let kind = required(config, "type");
    let role = piece(config, "role", required(config, "role"));
    let poll_interval = read_interval(config);
    let config_file = config.file("config_file");
    let profile = config.filled("profile").unwrap_or_else(|| DEFAULT_OCI_PROFILE.to_owned());
    let metadata_endpoint = config.filled("metadata_endpoint");
    let federation_endpoint = config.filled("federation_endpoint");
    let kind = match kind.as_deref() {
        Some("apikey") => OciKind::ApiKey { config_file, profile },
        Some("instance") => OciKind::Instance { metadata_endpoint, federation_endpoint },
        Some(_) => {
            let hint = "the types are \"apikey\" and \"instance\"";
            config.refuse_with(config.span_of("type"), "'type' value is invalid", hint);
            return None;
        }
        None => return None,
    };
    Some(Oci { role: role?, kind, poll_interval })
}

fn read_interval(config: &Fields<'_>) -> Duration {
    const KEY: &str = "credential_poll_interval";
    let named = config.with_prefix(format!("{}could not parse {KEY}: ", config.prefix()));
    config.ignore(&[KEY]);
    let Some(interval) = named.duration(KEY) else { return DEFAULT_OCI_POLL_INTERVAL };
    GoDuration::positive(interval).unwrap_or_else(|| {
        config.refuse(config.span_of(KEY), format!("'{KEY}' must be longer than nothing"));
        DEFAULT_OCI_POLL_INTERVAL
    })
}
