//! `method "spiffe"`: upstream has none.

use std::path::PathBuf;
use std::time::Duration;

use super::keys::{DEFAULT_READ_PERIOD, optional, period, required, required_path};
use crate::decode::Fields;
use crate::nearest::nearest;

/// A SPIFFE identity as a JWT (JWT-SVID), in a file that another program renews.
#[derive(Clone, Debug, PartialEq)]
pub struct Spiffe {
    /// The file: the JWT alone, or the JSON that `spire-agent api fetch jwt -output json` prints.
    pub path: PathBuf,
    /// The role to log in to.
    pub role: String,
    /// Which identity to take when the file holds several; without it the first.
    pub spiffe_id: Option<String>,
    /// How the server wants it.
    pub send_as: SendAs,
    /// How often to look for a new one, at least.
    pub read_period: Duration,
}

/// How a JWT-SVID travels to the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SendAs {
    /// In the body, for the `jwt` auth method of either server.
    Jwt,
    /// In the header `Authorization: Bearer`, for the `spiffe` auth method of Vault Enterprise.
    Bearer,
}

pub(super) fn read(config: &Fields<'_>) -> Option<Spiffe> {
    const SEND_AS: &str = "send_as";
    let path = required_path(config, "path");
    let role = required(config, "role");
    let spiffe_id = optional(config, "spiffe_id");
    let read_period = period(config, "svid_read_period").unwrap_or(DEFAULT_READ_PERIOD);
    let send_as = match optional(config, SEND_AS).as_deref() {
        None | Some("jwt") => Some(SendAs::Jwt),
        Some("bearer") => Some(SendAs::Bearer),
        Some(other) => {
            let hint = match nearest(other, &["jwt", "bearer"]) {
                Some(near) => format!("did you mean {near:?}?"),
                None => "it is \"jwt\" (in the body) or \"bearer\" (in a header)".to_owned(),
            };
            config.refuse_with(config.span_of(SEND_AS), format!("unknown '{SEND_AS}' value {other:?}"), hint);
            None
        }
    };
    Some(Spiffe { path: path?, role: role?, spiffe_id, send_as: send_as?, read_period })
}
