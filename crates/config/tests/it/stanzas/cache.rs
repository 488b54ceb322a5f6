//! `cache`: its own keys.

use std::time::Duration;

use config::CacheBounds;

use crate::{AUTH, LISTENER, agent, proxy};

#[test]
fn the_caches_own_keys() {
    let with = |keys: &str| format!("{AUTH}{LISTENER}cache {{\n {keys}\n }}\n");
    let bounds = |keys: &str| agent().fine(&with(keys)).settings.cache.unwrap().bounds;
    assert_eq!(bounds(""), CacheBounds::default());
    let chosen = bounds(
        "key_mode = \"strict\"\n key_extra_headers = [\"X-Forwarded-For\"]\n client_control = false\n \
         revoke_replaced = true\n adjust_ttl = \"false\"\n max_idle_renewals = 3\n verify_interval = \"5m\"\n \
         deny_paths = [\"auth/token/create*\"]\n max_entries = 10\n max_bytes = 1000000\n \
         renewals_per_second = 5\n refresh_ahead = true",
    );
    let want = CacheBounds {
        strict_keys: true,
        key_extra_headers: vec!["x-forwarded-for".into()],
        client_control: false,
        revoke_replaced: true,
        adjust_ttl: false,
        max_idle_renewals: 3,
        verify_interval: Some(Duration::from_secs(300)),
        deny_paths: vec!["auth/token/create*".into()],
        max_entries: 10,
        max_bytes: 1_000_000,
        renewals_per_second: 5,
        refresh_ahead: true,
    };
    assert_eq!(chosen, want);
    assert_eq!(bounds("verify_interval = 0").verify_interval, None);
    for (keys, problem) in [
        ("key_mode = \"loose\"", "unknown key_mode \"loose\""),
        ("key_extra_headers = [\"a b\"]", "key_extra_headers: \"a b\" is no name of a header"),
        ("max_entries = 0", "max_entries must be from 1 to 10000000, not 0"),
        ("max_bytes = 1", "max_bytes must be from 65536 to 1099511627776, not 1"),
        ("renewals_per_second = 0", "renewals_per_second must be from 1 to 10000, not 0"),
        ("max_idle_renewals = -1", "max_idle_renewals must be from 0 to 65535, not -1"),
        ("verify_interval = \"1s\"", "verify_interval must be 0 (off), or from 10s to 24h"),
        (
            "deny_paths = [\"/v1/a\"]",
            "deny_paths: \"v1/a\" must be a path without /v1/, such as \"database/creds/*\"",
        ),
    ] {
        let lines = agent().lines(&with(keys));
        assert!(lines.len() == 1 && lines[0].contains(problem), "{problem}: {lines:?}");
    }
}

#[test]
fn leases_and_tokens_may_be_left_out() {
    let with = |keys: &str| format!("{AUTH}{LISTENER}cache {{\n {keys}\n }}\n");
    let only_static = |keys: &str| agent().fine(&with(keys)).settings.cache.unwrap().only_static;
    assert!(!only_static(""));
    assert!(!only_static("disable_caching_dynamic_secrets = false"));
    // The agents upstream pass over the key: it may stand alone.
    assert!(only_static("disable_caching_dynamic_secrets = true"));
    assert!(only_static("disable_caching_dynamic_secrets = \"true\"\n cache_static_secrets = true"));
    for both in ["cache_static_secrets = true", "static_secrets { paths = [\"secret/data/*\"] }"] {
        let text = with(&format!("disable_caching_dynamic_secrets = true\n {both}"));
        assert!(proxy().fine(&text).settings.cache.unwrap().only_static);
    }
    let lines = proxy().lines(&with("disable_caching_dynamic_secrets = true"));
    let refusal =
        "to enable the cache, the cache must be configured to either cache static secrets or dynamic secrets";
    assert!(lines.len() == 1 && lines[0].contains(refusal), "{lines:?}");
}

#[test]
fn where_the_cache_is_kept() {
    use config::{KeySource, Persist, PersistKey};
    let listener = "listener \"tcp\" { tls_disable = true }\n";
    let read = |persist: &str| {
        let text = format!("{listener}cache {{\n {persist}\n}}\n");
        agent().fine(&text).settings.cache.unwrap().persist.unwrap()
    };
    let plain = |key| Persist { path: "/c".into(), key, keep_after_import: true, exit_on_err: false };
    let file = |path: &str| KeySource::File(path.into());
    assert_eq!(
        read("persist \"file\" { path = \"/c\" key_file = \"/k\" }"),
        plain(PersistKey::Key(file("/k")))
    );
    let credential = PersistKey::Key(KeySource::Credential("k".into()));
    assert_eq!(read("persist \"systemd\" { path = \"/c\" credential = \"k\" }"), plain(credential));
    let keyring = PersistKey::Key(KeySource::Keyring("k".into()));
    assert_eq!(read("persist \"keyring\" { path = \"/c\" key_name = \"k\" }"), plain(keyring));
    let passphrase = PersistKey::Passphrase("/p".into());
    assert_eq!(read("persist \"passphrase\" { path = \"/c\" passphrase_file = \"/p\" }"), plain(passphrase));
    // As upstream: a file is taken in once.
    let token_file = "/var/run/secrets/kubernetes.io/serviceaccount/token";
    let kubernetes =
        |token_file: &str, secret| PersistKey::Kubernetes { token_file: token_file.into(), secret };
    let once = Persist { keep_after_import: false, ..plain(kubernetes(token_file, None)) };
    for persist in [
        "persist \"Kubernetes\" { path = \"/c\" }",
        "persist = { type = \"kubernetes\" path = \"/c\" }",
        "persist { type = \"kubernetes\" path = \"/c\" }",
    ] {
        assert_eq!(read(persist), once);
    }
    assert_eq!(
        read(
            "persist \"kubernetes\" { path = \"/c\" service_account_token_file = \"/t\" key_file = \"/k\" keep_after_import = true exit_on_err = true }"
        ),
        Persist { exit_on_err: true, ..plain(kubernetes("/t", Some(file("/k")))) }
    );
}

#[test]
fn where_the_cache_cannot_be_kept() {
    for (persist, problem) in [
        ("persist { path = \"/c\" }", "error parsing persist: persist type must be specified"),
        (
            "persist \"nosuch\" { path = \"/c\" }",
            "Error creating persistent cache: persistent key protection type \"nosuch\" not supported",
        ),
        ("persist \"kubernetes\" {}", "Error creating persistent cache: must specify persistent cache path"),
        ("persist \"file\" { path = \"/c\" }", "Error creating persistent cache: 'key_file' is missing"),
        ("persist \"keyring\" { path = \"/c\" }", "'key_name' is missing"),
        ("persist \"passphrase\" { path = \"/c\" }", "'passphrase_file' is missing"),
        ("persist \"systemd\" { path = \"/c\" }", "'credential' is missing"),
        ("persist \"systemd\" { path = \"/c\" credential = \"/k\" }", "not a path"),
    ] {
        let lines =
            agent().lines(&format!("listener \"tcp\" {{ tls_disable = true }}\ncache {{\n {persist}\n}}\n"));
        assert!(lines.len() == 1 && lines[0].contains(problem), "{persist}: {lines:?}");
    }
}
