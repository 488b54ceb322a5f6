//! `cache { … }`: answers remembered. The stanza's presence alone turns it on.

mod bounds;
mod persist;
mod static_secrets;

pub use self::bounds::CacheBounds;
pub use self::persist::{Persist, PersistKey};
pub use self::static_secrets::{KvVersion, Revalidate, StaticSecrets};

use super::api_proxy::{RawConsistency, UseAutoAuthToken, read_consistency, read_use_token};
use crate::decode::{Block, Fields, Labels};
use crate::problem::{Place, Placed};

/// The cache.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Cache {
    /// Of leases and tokens.
    pub bounds: CacheBounds,
    /// Leases and tokens are not remembered (`disable_caching_dynamic_secrets`).
    pub only_static: bool,
    /// Where it is kept between two runs.
    pub persist: Option<Persist>,
    /// Secrets of KV mounts, if they are kept.
    pub static_secrets: Option<StaticSecrets>,
}

/// The stanza as it was read.
#[derive(Debug)]
pub(crate) struct RawCache {
    pub(crate) place: Place,
    pub(crate) bounds: CacheBounds,
    pub(crate) only_static: bool,
    /// The agent's old place for the key of `api_proxy`.
    pub(crate) use_token: Option<Placed<UseAutoAuthToken>>,
    /// The same.
    pub(crate) consistency: RawConsistency,
    pub(crate) persist: Option<Persist>,
    pub(crate) static_secrets: Option<Placed<StaticSecrets>>,
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
    let bounds = bounds::read(&fields);
    let persist = persist::read(&fields);
    let static_secrets = read_static_secrets(&fields);
    let only_static = fields.lax_bool("disable_caching_dynamic_secrets").unwrap_or(false);
    let place = fields.report.place(fields.span);
    fields.finish();
    RawCache { place, bounds, only_static, use_token, consistency, persist, static_secrets }
}

fn read_static_secrets<'a>(cache: &Fields<'a>) -> Option<Placed<StaticSecrets>> {
    let only_one = "only one \"static_secrets\" block is allowed";
    let vaults = static_secrets::read_vaults(cache);
    let Some(block) = cache.single("static_secrets", Labels::Ignored, PREFIX, only_one) else {
        let place = cache.report.place(cache.span_of("cache_static_secrets"));
        return vaults.map(|value| Placed { value, place });
    };
    if vaults.is_some() {
        let message = "cache_static_secrets and static_secrets are both given";
        cache.refuse_with(block.span, message, "static_secrets says more; remove the other");
    }
    let place = cache.report.place(block.span);
    static_secrets::read(cache, &block).map(|value| Placed { value, place })
}
