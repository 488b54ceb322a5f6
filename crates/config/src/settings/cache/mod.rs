//! `cache { … }`: answers remembered. The stanza's presence alone turns it on.

mod persist;

use super::api_proxy::{RawConsistency, UseAutoAuthToken, read_consistency, read_use_token};
use crate::decode::{Block, Fields};
use crate::problem::{Place, Placed};

pub use self::persist::{Persist, PersistKey};

/// The cache.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Cache {
    /// Where it is kept between two runs.
    pub persist: Option<Persist>,
}

/// The stanza as it was read.
#[derive(Debug)]
pub(crate) struct RawCache {
    pub(crate) place: Place,
    /// The agent's old place for the key of `api_proxy`.
    pub(crate) use_token: Option<Placed<UseAutoAuthToken>>,
    /// The same.
    pub(crate) consistency: RawConsistency,
    pub(crate) persist: Option<Persist>,
}

pub(crate) const PREFIX: &str = "error parsing 'cache':";

pub(crate) fn read<'a>(file: &Fields<'a>, block: &Block<'a>, product: vault::Product) -> RawCache {
    let fields = file.inside("cache", block, PREFIX);
    let mut use_token = None;
    let mut consistency = RawConsistency::default();
    if product == vault::Product::Agent {
        use_token = read_use_token(&fields);
        consistency = read_consistency(&fields, "cache");
    }
    let persist = persist::read(&fields);
    // Vault's cache of static secrets. What only tunes it means nothing while it is off.
    for key in ["cache_static_secrets", "disable_caching_dynamic_secrets"] {
        if fields.lax_bool(key) == Some(true) {
            fields.not_built(key);
        }
    }
    fields.ignore(&[
        "static_secret_token_capability_refresh_interval",
        "static_secret_token_capability_refresh_behavior",
    ]);
    let place = fields.report.place(fields.span);
    fields.finish();
    RawCache { place, use_token, consistency, persist }
}
