//! `method "kubernetes"`.

use std::path::PathBuf;

use super::keys::{optional, required};
use crate::decode::Fields;

/// Where a pod finds the token of its service account.
const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// The token of a pod's service account.
#[derive(Clone, Debug, PartialEq)]
pub struct Kubernetes {
    /// The role to log in to.
    pub role: String,
    /// The token's file, default `/var/run/secrets/kubernetes.io/serviceaccount/token`.
    pub token_path: PathBuf,
}

pub(super) fn read(config: &Fields<'_>) -> Option<Kubernetes> {
    let role = required(config, "role");
    let token_path = optional(config, "token_path").map_or_else(|| TOKEN_PATH.into(), PathBuf::from);
    Some(Kubernetes { role: role?, token_path })
}
