//! `cache { … }`: answers remembered. The stanza's presence alone turns it on.

use super::api_proxy::{RawConsistency, UseAutoAuthToken, read_consistency, read_use_token};
use crate::decode::{Block, Fields, Labels};
use crate::problem::{Place, Placed};

mod bounds;

pub use self::bounds::CacheBounds;

/// The cache.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Cache {
    /// Of leases and tokens.
    pub bounds: CacheBounds,
}

/// The stanza as it was read.
#[derive(Debug)]
pub(crate) struct RawCache {
    pub(crate) place: Place,
    pub(crate) bounds: CacheBounds,
    /// The agent's old place for the key of `api_proxy`.
    pub(crate) use_token: Option<Placed<UseAutoAuthToken>>,
    /// The same.
    pub(crate) consistency: RawConsistency,
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
    read_persist(&fields);
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
    RawCache { place, bounds, use_token, consistency }
}

/// Checked as upstream does, so that the first complaint is the one the user can do something about.
fn read_persist<'a>(cache: &Fields<'a>) {
    const PREFIX: &str = "error parsing 'cache':error parsing persist: ";
    let only_one = "only one \"persist\" block is required";
    let Some(block) = cache.single("persist", Labels::Wanted(&[]), PREFIX, only_one) else { return };
    let fields = cache.inside("persist", &block, PREFIX);
    if block.object.is_some() && fields.kind(&block).is_none_or(|kind| kind.is_empty()) {
        fields.refuse(block.span, "persist type must be specified");
    }
    fields.text("path");
    fields.text("service_account_token_file");
    fields.strict_bool("keep_after_import");
    fields.strict_bool("exit_on_err");
    if block.object.is_some() {
        fields.refuse_not_built(block.span, "\"persist\"");
    }
    fields.ignore(&["type"]);
    fields.finish();
}
