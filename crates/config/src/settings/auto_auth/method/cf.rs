//! `method "cf"`, once called `pcf`.

use super::keys::required;
use crate::decode::Fields;

/// A Cloud Foundry instance, by the certificate and key that it finds through its environment.
#[derive(Clone, Debug, PartialEq)]
pub struct Cf {
    /// The role to log in to.
    pub role: String,
}

pub(super) fn read(config: &Fields<'_>) -> Option<Cf> {
    required(config, "role").map(|role| Cf { role })
}
