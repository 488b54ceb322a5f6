//! `static_secrets { … }` of `cache`: secrets of KV mounts kept in memory.

use std::time::Duration;

use crate::decode::{Block, Fields};

/// What becomes of a secret whose time is over, when it is asked for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Revalidate {
    /// It is read anew.
    #[default]
    None,
    /// Its metadata are read.
    Metadata,
    /// It is read anew, and said to be the same when it is.
    Full,
}

/// Which KV the mounts are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum KvVersion {
    /// The server is asked.
    #[default]
    Auto,
    /// All are version 1.
    One,
    /// All are version 2.
    Two,
}

/// How secrets are kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StaticSecrets {
    /// Paths as policies name them, with the namespace in front.
    pub paths: Vec<String>,
    /// How long a secret is fresh.
    pub ttl: Duration,
    /// How much longer it is served while the server fails.
    pub stale_if_error: Duration,
    /// How long "nothing there" is kept.
    pub negative_ttl: Duration,
    /// What becomes of a secret whose time is over.
    pub revalidate: Revalidate,
    /// How long a permission is taken for granted.
    pub capability_ttl: Duration,
    /// How much longer than `ttl` and that, while the server fails.
    pub capability_stale_if_error: Duration,
    /// Secrets kept at most.
    pub max_entries: usize,
    /// Their bytes at most.
    pub max_bytes: usize,
    /// Longer ones are not kept.
    pub max_entry_bytes: usize,
    /// Which KV the mounts are.
    pub kv_version: KvVersion,
    /// The server is asked to tell of changes.
    pub events: bool,
    /// A permission that could not be looked at again is kept until its time is over; else it goes.
    pub optimistic: bool,
    /// They are on disk as well, for a restart while the server is away.
    pub persist: bool,
    /// Listeners without TLS that others than this machine reach are served from memory as well.
    pub plain_listeners: bool,
    /// It was asked for with Vault's own key, `cache_static_secrets`.
    pub vaults: bool,
}

const TTL: Duration = Duration::from_secs(30);
/// A secret that is read every so often for less than this is not worth keeping, and a longer one is no cache.
const TTLS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(24 * 3600));
const LONGEST_NEGATIVE: Duration = Duration::from_secs(5);
const MAX_ENTRIES: i64 = 10_000;
const MAX_BYTES: i64 = 64 * 1024 * 1024;
/// The servers' own limit for one secret.
const MAX_ENTRY_BYTES: i64 = 1024 * 1024;

/// Reads the block; what is refused is told to the report.
pub(super) fn read<'a>(cache: &Fields<'a>, block: &Block<'a>) -> Option<StaticSecrets> {
    const PREFIX: &str = "error parsing 'cache':error parsing static_secrets: ";
    block.object?;
    let fields = cache.inside("static_secrets", block, PREFIX);
    let reader = Reader { fields: &fields };
    let ttl = reader.duration("ttl", TTL, TTLS.0, TTLS.1);
    let max_bytes = reader.number("max_bytes", MAX_BYTES, 64 * 1024 * 1024 * 1024);
    let stale_if_error = reader.duration("stale_if_error", Duration::ZERO, Duration::ZERO, TTLS.1);
    let secrets = StaticSecrets {
        paths: reader.paths(block),
        ttl,
        stale_if_error,
        negative_ttl: reader.duration("negative_ttl", Duration::ZERO, Duration::ZERO, LONGEST_NEGATIVE),
        revalidate: reader.choice(
            "revalidate",
            &[("none", Revalidate::None), ("metadata", Revalidate::Metadata), ("full", Revalidate::Full)],
        ),
        capability_ttl: reader.duration("capability_ttl", TTL.min(ttl), TTLS.0, ttl),
        capability_stale_if_error: reader.duration(
            "capability_stale_if_error",
            Duration::ZERO,
            Duration::ZERO,
            stale_if_error,
        ),
        max_entries: reader.number("max_entries", MAX_ENTRIES, 1_000_000),
        max_bytes,
        max_entry_bytes: reader.number(
            "max_entry_bytes",
            MAX_ENTRY_BYTES.min(i64::try_from(max_bytes).unwrap_or(MAX_ENTRY_BYTES)),
            i64::try_from(max_bytes).unwrap_or(i64::MAX).min(32 * 1024 * 1024),
        ),
        kv_version: reader
            .choice("kv_version", &[("auto", KvVersion::Auto), ("1", KvVersion::One), ("2", KvVersion::Two)]),
        events: fields.lax_bool("events").unwrap_or(false),
        optimistic: true,
        persist: reader.persist(cache, stale_if_error),
        plain_listeners: fields.lax_bool("plain_listeners").unwrap_or(false),
        vaults: false,
    };
    fields.finish();
    Some(secrets)
}

/// Vault's own keys in `cache`, if they ask for it: every KV secret, and events.
pub(super) fn read_vaults(cache: &Fields<'_>) -> Option<StaticSecrets> {
    const INTERVAL: &str = "static_secret_token_capability_refresh_interval";
    const BEHAVIOR: &str = "static_secret_token_capability_refresh_behavior";
    if cache.lax_bool("cache_static_secrets") != Some(true) {
        // What only tunes it means nothing while it is off.
        cache.ignore(&[INTERVAL, BEHAVIOR]);
        return None;
    }
    let reader = Reader { fields: cache };
    let interval = reader.duration(INTERVAL, Duration::from_secs(300), TTLS.0, TTLS.1);
    let behavior = cache.text(BEHAVIOR).unwrap_or_default();
    if !matches!(behavior.as_str(), "" | "optimistic" | "pessimistic") {
        let message = format!("cache.{BEHAVIOR} must be either \"optimistic\" or \"pessimistic\"");
        cache.refuse(cache.span_of(BEHAVIOR), message);
    }
    Some(StaticSecrets {
        paths: vec!["*".to_owned()],
        ttl: interval,
        stale_if_error: Duration::ZERO,
        negative_ttl: Duration::ZERO,
        revalidate: Revalidate::None,
        capability_ttl: interval,
        capability_stale_if_error: Duration::ZERO,
        max_entries: 10_000,
        max_bytes: 64 * 1024 * 1024,
        max_entry_bytes: 1024 * 1024,
        kv_version: KvVersion::Auto,
        events: true,
        optimistic: behavior != "pessimistic",
        persist: false,
        // As with Vault, whose files say nothing about it.
        plain_listeners: true,
        vaults: true,
    })
}

struct Reader<'a, 'f> {
    fields: &'f Fields<'a>,
}

impl Reader<'_, '_> {
    fn paths(&self, block: &Block<'_>) -> Vec<String> {
        const EXAMPLE: &str = "for example paths = [\"secret/data/*\"]";
        let paths = match self.fields.strings("paths") {
            Some(paths) if !paths.is_empty() => paths,
            Some(_) => {
                self.fields.refuse_with(self.fields.span_of("paths"), "`paths` is empty", EXAMPLE);
                return Vec::new();
            }
            None => {
                if !self.fields.has("paths") {
                    let message = "static_secrets needs `paths`: which secrets may be kept";
                    self.fields.refuse_with(block.span, message, EXAMPLE);
                }
                return Vec::new();
            }
        };
        for path in &paths {
            let inner = path.strip_suffix('*').unwrap_or(path);
            let why = if path.trim_matches('/').is_empty() {
                Some("is empty")
            } else if inner.contains('*') {
                Some("has a `*` that is not at its end")
            } else if path.starts_with("v1/") || path.starts_with("/v1/") {
                Some("begins with v1/, which is no part of a path")
            } else if path.contains(['?', '#']) {
                Some("has a query, which is no part of a path")
            } else {
                None
            };
            if let Some(why) = why {
                let hint =
                    "paths are written as in policies: `+` for one segment, `*` at the end for anything";
                self.fields.refuse_with(
                    self.fields.span_of("paths"),
                    format!("the path {path:?} {why}"),
                    hint,
                );
            }
        }
        paths
    }

    /// What comes back from the disk is for outages alone.
    fn persist(&self, cache: &Fields<'_>, stale_if_error: Duration) -> bool {
        const KEY: &str = "persist";
        let wanted = self.fields.lax_bool(KEY).unwrap_or(false);
        let why = if !wanted {
            None
        } else if !cache.has("persist") {
            Some((
                "`persist` of static_secrets needs a `persist` block in `cache`",
                "it says where the file is",
            ))
        } else if stale_if_error.is_zero() {
            Some((
                "`persist` needs `stale_if_error`",
                "secrets from the disk are served while the server fails, and never otherwise",
            ))
        } else {
            None
        };
        if let Some((message, hint)) = why {
            self.fields.refuse_with(self.fields.span_of(KEY), message, hint);
        }
        wanted
    }

    fn duration(&self, key: &'static str, default: Duration, least: Duration, most: Duration) -> Duration {
        let Some(given) = self.fields.duration(key) else { return default };
        let nanoseconds = u64::try_from(given.nanoseconds()).ok();
        match nanoseconds.map(Duration::from_nanos).filter(|given| *given >= least && *given <= most) {
            Some(given) => given,
            None => {
                let message = format!("`{key}` must be between {} and {}", shown(least), shown(most));
                let hint = match key {
                    "capability_stale_if_error" => {
                        "a permission is of no use longer than the secret: `stale_if_error`"
                    }
                    "capability_ttl" => "a permission is not taken for granted longer than `ttl`",
                    _ => "a number of seconds, or text like \"90s\", \"5m\"",
                };
                self.fields.refuse_with(self.fields.span_of(key), message, hint);
                default
            }
        }
    }

    fn number(&self, key: &'static str, default: i64, most: i64) -> usize {
        let given = self.fields.integer(key).unwrap_or(default);
        if given < 1 || given > most {
            let message = format!("`{key}` must be between 1 and {most}");
            let hint =
                if key == "max_entry_bytes" { "one secret has to fit into `max_bytes`" } else { "a number" };
            self.fields.refuse_with(self.fields.span_of(key), message, hint);
        }
        usize::try_from(given.clamp(1, most.max(1))).unwrap_or(usize::MAX)
    }

    fn choice<T: Copy + Default>(&self, key: &'static str, all: &[(&str, T)]) -> T {
        let Some(given) = self.fields.text(key) else { return T::default() };
        match all.iter().find(|(word, _)| *word == given) {
            Some((_, value)) => *value,
            None => {
                let words: Vec<String> = all.iter().map(|(word, _)| format!("{word:?}")).collect();
                let message = format!("{given:?} is no value of `{key}`");
                let hint = format!("the values are {}", words.join(", "));
                self.fields.refuse_with(self.fields.span_of(key), message, hint);
                T::default()
            }
        }
    }
}

fn shown(duration: Duration) -> String {
    match duration.as_secs() {
        0 => "0s".to_owned(),
        seconds if seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        seconds => format!("{seconds}s"),
    }
}
