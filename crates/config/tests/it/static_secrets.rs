//! `static_secrets` of `cache`.

use std::time::Duration;

use config::{KvVersion, Revalidate, StaticSecrets};

use crate::{AUTH, LISTENER, agent, proxy};

fn with(keys: &str) -> String {
    format!("{AUTH}{LISTENER}cache {{ static_secrets {{\n{keys}\n}} }}\n")
}

#[track_caller]
fn read(keys: &str) -> StaticSecrets {
    agent().fine(&with(keys)).settings.cache.unwrap().static_secrets.unwrap()
}

#[test]
fn every_key_and_its_default() {
    let least = read("paths = [\"secret/data/*\"]");
    let seconds = Duration::from_secs;
    let default = StaticSecrets {
        paths: vec!["secret/data/*".to_owned()],
        ttl: seconds(30),
        stale_if_error: Duration::ZERO,
        negative_ttl: Duration::ZERO,
        revalidate: Revalidate::None,
        capability_ttl: seconds(30),
        capability_stale_if_error: Duration::ZERO,
        max_entries: 10_000,
        max_bytes: 64 << 20,
        max_entry_bytes: 1 << 20,
        kv_version: KvVersion::Auto,
        events: false,
        optimistic: true,
        persist: false,
        plain_listeners: false,
        vaults: false,
    };
    assert_eq!(least, default);
    let all = read(
        "paths = [\"+/secret/data/a\", \"kv/*\"]\n ttl = \"5m\"\n stale_if_error = 600\n negative_ttl = \"5s\"\n revalidate = \"metadata\"\n capability_ttl = \"1m\"\n capability_stale_if_error = \"2m\"\n max_entries = 5\n max_bytes = 5000\n max_entry_bytes = 1000\n kv_version = 2\n events = true\n plain_listeners = true",
    );
    let wanted = StaticSecrets {
        paths: vec!["+/secret/data/a".to_owned(), "kv/*".to_owned()],
        ttl: seconds(300),
        stale_if_error: seconds(600),
        negative_ttl: seconds(5),
        revalidate: Revalidate::Metadata,
        capability_ttl: seconds(60),
        capability_stale_if_error: seconds(120),
        max_entries: 5,
        max_bytes: 5000,
        max_entry_bytes: 1000,
        kv_version: KvVersion::Two,
        events: true,
        optimistic: true,
        persist: false,
        plain_listeners: true,
        vaults: false,
    };
    assert_eq!(all, wanted);
    let file =
        "stale_if_error = \"1h\"\n persist = true\n}\npersist \"file\" { path = \"/p\" key_file = \"/k\"";
    assert!(read(&format!("paths = [\"a\"]\n {file}")).persist);
    // A permission is not taken for granted longer than the secret is fresh.
    assert_eq!(read("paths = [\"a\"]\n ttl = \"10s\"").capability_ttl, seconds(10));
    assert_eq!(proxy().fine(&format!("{LISTENER}cache {{}}")).settings.cache.unwrap().static_secrets, None);
}

#[test]
fn what_makes_no_sense_is_refused_with_one_error_each() {
    for (keys, words) in [
        ("", "static_secrets needs `paths`"),
        ("paths = []", "`paths` is empty"),
        ("paths = [\"\"]", "the path \"\" is empty"),
        ("paths = [\"*/a\"]", "has a `*` that is not at its end"),
        ("paths = [\"v1/secret/*\"]", "begins with v1/"),
        ("paths = [\"a?version=1\"]", "has a query"),
        ("paths = [\"a\"]\n ttl = \"0s\"", "`ttl` must be between 1s and 24h"),
        ("paths = [\"a\"]\n ttl = -5", "`ttl` must be between 1s and 24h"),
        ("paths = [\"a\"]\n capability_ttl = \"1m\"", "`capability_ttl` must be between 1s and 30s"),
        (
            "paths = [\"a\"]\n capability_stale_if_error = \"1m\"",
            "`capability_stale_if_error` must be between 0s and 0s",
        ),
        ("paths = [\"a\"]\n negative_ttl = \"6s\"", "`negative_ttl` must be between 0s and 5s"),
        ("paths = [\"a\"]\n revalidate = \"yes\"", "\"yes\" is no value of `revalidate`"),
        ("paths = [\"a\"]\n kv_version = 3", "\"3\" is no value of `kv_version`"),
        ("paths = [\"a\"]\n persist = true", "`persist` of static_secrets needs a `persist` block"),
        (
            "paths = [\"a\"]\n persist = true }\n persist \"file\" { path = \"/p\" key_file = \"/k\"",
            "`persist` needs `stale_if_error`",
        ),
        ("paths = [\"a\"]\n max_entries = 0", "`max_entries` must be between 1 and 1000000"),
        (
            "paths = [\"a\"]\n max_bytes = 10\n max_entry_bytes = 11",
            "`max_entry_bytes` must be between 1 and 10",
        ),
        (
            "paths = [\"a\"]\n} static_secrets { paths = [\"b\"]",
            "only one \"static_secrets\" block is allowed",
        ),
    ] {
        let lines = agent().lines(&with(keys));
        assert!(lines.len() == 1 && lines[0].contains(words), "{keys}: {lines:?}");
    }
}

/// The third security condition: nobody is answered from memory over a line that others can read.
#[test]
fn plain_listeners_that_others_reach_are_refused() {
    let with = |listener: &str, more: &str| {
        format!("{AUTH}listener {listener}\ncache {{ static_secrets {{ paths = [\"a\"]\n{more} }} }}\n")
    };
    let public = "\"tcp\" { address = \"0.0.0.0:8100\" tls_disable = true }";
    let lines = agent().lines(&with(public, ""));
    assert!(lines[0].contains("a listener without TLS can be reached from other machines"), "{lines:?}");
    agent().fine(&with(public, "plain_listeners = true"));
    for fine in [
        "\"tcp\" { address = \"127.0.0.1:8100\" tls_disable = true }",
        "\"tcp\" { address = \"[::1]:8100\" tls_disable = true }",
        "\"unix\" { address = \"/run/x.sock\" tls_disable = true }",
        "\"tcp\" { address = \"0.0.0.0:8100\" tls_cert_file = \"/c\" tls_key_file = \"/k\" }",
        "\"tcp\" { address = \"0.0.0.0:8100\" tls_disable = true role = \"metrics_only\" }",
    ] {
        agent().fine(&with(fine, ""));
    }
}

#[test]
fn vaults_own_key_warns_of_plain_listeners_that_others_reach() {
    let warned = |address: &str, more: &str| {
        let listener = format!("listener \"tcp\" {{ address = \"{address}\" {more} }}\n");
        let text = format!("{AUTH}{listener}cache {{ cache_static_secrets = true }}\n");
        let warnings = agent().fine(&text).warnings;
        warnings.iter().any(|warning| warning.message.contains("a listener without TLS can be reached"))
    };
    assert!(warned("0.0.0.0:8100", "tls_disable = true"));
    assert!(!warned("127.0.0.1:8100", "tls_disable = true"));
    assert!(!warned("0.0.0.0:8100", "tls_cert_file = \"/c\" tls_key_file = \"/k\""));
}

#[test]
fn vaults_own_keys_do_the_same() {
    let with = |keys: &str| format!("{AUTH}{LISTENER}cache {{\n cache_static_secrets = true\n{keys}\n}}\n");
    let kept = |keys: &str| agent().fine(&with(keys)).settings.cache.unwrap().static_secrets.unwrap();
    let plain = kept("");
    assert!(plain.events && plain.optimistic && plain.paths == ["*"]);
    assert_eq!((plain.ttl, plain.capability_ttl), (Duration::from_secs(300), Duration::from_secs(300)));
    let tuned = kept(
        "static_secret_token_capability_refresh_interval = \"1m\"\n static_secret_token_capability_refresh_behavior = \"pessimistic\"",
    );
    assert!(!tuned.optimistic && tuned.ttl == Duration::from_secs(60));
    for (keys, words) in [
        (
            "static_secret_token_capability_refresh_behavior = \"x\"",
            "cache.static_secret_token_capability_refresh_behavior must be either \"optimistic\" or \"pessimistic\"",
        ),
        ("static_secret_token_capability_refresh_interval = 0", "must be between 1s and 24h"),
        ("static_secrets { paths = [\"a\"] }", "cache_static_secrets and static_secrets are both given"),
    ] {
        let lines = agent().lines(&with(keys));
        assert!(lines.len() == 1 && lines[0].contains(words), "{keys}: {lines:?}");
    }
    // What tunes it means nothing while it is off.
    agent().fine(&format!(
        "{AUTH}{LISTENER}cache {{ static_secret_token_capability_refresh_behavior = \"x\" }}"
    ));
}
