//! What tells answers apart, how much is remembered, and how it is kept alive. All ours; upstream has none of it.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::decode::Fields;

/// Keys of `cache` about leases and tokens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CacheBounds {
    /// `key_mode = "strict"`: requests are the same only if they were spelled the same, as upstream has it.
    pub strict_keys: bool,
    /// Headers that tell requests apart beside those that always do; in lower case.
    pub key_extra_headers: Vec<String>,
    /// Clients may bypass the cache with `Cache-Control`.
    pub client_control: bool,
    /// What a client had replaced with `no-cache` is revoked at the server.
    pub revoke_replaced: bool,
    /// Answers from memory say how long their lease or token lives now.
    pub adjust_ttl: bool,
    /// So many renewals after its last hit an entry is renewed no more; 0 for no bound.
    pub max_idle_renewals: u16,
    /// Each entry is looked up at the server about this often.
    pub verify_interval: Option<Duration>,
    /// Paths, without `/v1/` and with `*`, whose answers are never remembered.
    pub deny_paths: Vec<String>,
    /// Most leases and tokens.
    pub max_entries: usize,
    /// Most bytes for all of them, reckoned.
    pub max_bytes: usize,
    /// Most renewals, look-ups and revocations of our own in a second.
    pub renewals_per_second: u32,
    /// What can be renewed no longer and was asked for since its last renewal is replaced before it ends.
    pub refresh_ahead: bool,
}

impl Default for CacheBounds {
    /// 256 MiB are some 200,000 leases with answers of 500 bytes. A hundred thousand leases of an hour are renewed 40
    /// times a second; 200 leaves room for those that came together.
    fn default() -> Self {
        Self {
            strict_keys: false,
            key_extra_headers: Vec::new(),
            client_control: true,
            revoke_replaced: false,
            adjust_ttl: true,
            max_idle_renewals: 0,
            verify_interval: None,
            deny_paths: Vec::new(),
            max_entries: 200_000,
            max_bytes: 256 * 1024 * 1024,
            renewals_per_second: 200,
            refresh_ahead: false,
        }
    }
}

/// Fewer or more are typing errors.
const ENTRIES: RangeInclusive<i64> = 1..=10_000_000;
const BYTES: RangeInclusive<i64> = 64 * 1024..=1 << 40;
const RENEWALS: RangeInclusive<i64> = 1..=10_000;
const IDLE: RangeInclusive<i64> = 0..=65_535;
/// More often would be more than renewing; more rarely is no bound.
const INTERVALS: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_secs(24 * 3600);

// === Reading ===

pub(super) fn read(fields: &Fields<'_>) -> CacheBounds {
    let default = CacheBounds::default();
    let flag = |key, default: bool| fields.lax_bool(key).unwrap_or(default);
    let strict_keys = match fields.filled("key_mode").as_deref() {
        None | Some("meaning") => false,
        Some("strict") => true,
        Some(other) => {
            let message = format!("unknown key_mode {other:?}");
            fields.refuse_with(fields.span_of("key_mode"), message, "the values are meaning, strict");
            false
        }
    };
    let names = fields.strings("key_extra_headers").unwrap_or_default();
    for name in &names {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || !name.bytes().all(fits) {
            let message = format!("key_extra_headers: {name:?} is no name of a header");
            fields.refuse_beside(fields.span_of("key_extra_headers"), message);
        }
    }
    let key_extra_headers = names.iter().map(|name| name.to_ascii_lowercase()).collect();
    let deny_paths = fields.strings("deny_paths").unwrap_or_default();
    for path in &deny_paths {
        let path = path.trim_start_matches('/');
        if path.is_empty() || path == "v1" || path.starts_with("v1/") {
            let message =
                format!("deny_paths: {path:?} must be a path without /v1/, such as \"database/creds/*\"");
            fields.refuse_beside(fields.span_of("deny_paths"), message);
        }
    }
    let narrow = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
    let wide = |number: i64| usize::try_from(number).unwrap_or(usize::MAX);
    CacheBounds {
        strict_keys,
        key_extra_headers,
        client_control: flag("client_control", default.client_control),
        revoke_replaced: flag("revoke_replaced", default.revoke_replaced),
        adjust_ttl: flag("adjust_ttl", default.adjust_ttl),
        max_idle_renewals: number(fields, "max_idle_renewals", IDLE)
            .and_then(|number| u16::try_from(number).ok())
            .unwrap_or(default.max_idle_renewals),
        verify_interval: interval(fields, "verify_interval"),
        deny_paths,
        max_entries: number(fields, "max_entries", ENTRIES).map_or(default.max_entries, wide),
        max_bytes: number(fields, "max_bytes", BYTES).map_or(default.max_bytes, wide),
        renewals_per_second: number(fields, "renewals_per_second", RENEWALS)
            .map_or(default.renewals_per_second, narrow),
        refresh_ahead: flag("refresh_ahead", default.refresh_ahead),
    }
}

fn number(fields: &Fields<'_>, key: &'static str, range: RangeInclusive<i64>) -> Option<i64> {
    let given = fields.integer(key)?;
    if range.contains(&given) {
        return Some(given);
    }
    let message = format!("{key} must be from {} to {}, not {given}", range.start(), range.end());
    fields.refuse_beside(fields.span_of(key), message);
    None
}

/// 0 turns it off.
fn interval(fields: &Fields<'_>, key: &'static str) -> Option<Duration> {
    let given = fields.duration(key)?.positive()?;
    if INTERVALS.contains(&given) {
        return Some(given);
    }
    fields.refuse_beside(fields.span_of(key), format!("{key} must be 0 (off), or from 10s to 24h"));
    None
}
