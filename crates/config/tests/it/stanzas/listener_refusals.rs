//! `listener`: what is refused, or warned of, because it would not be what it reads like.

use crate::agent;

#[test]
fn rules_that_would_say_less_than_they_seem_to_are_refused() {
    let unix = "address = \"/s\"\n tls_disable = true\n ";
    let tls = "tls_cert_file = \"/c\"\n tls_key_file = \"/k\"\n tls_client_ca_file = \"/ca\"\n ";
    for (kind, first, keys, message) in [
        ("tcp", "tls_disable = true\n ", "allowed_uids = [1]", "`allowed_uids` needs a unix listener"),
        (
            "tcp",
            "tls_disable = true\n ",
            "allowed_executables = [\"/a\"]",
            "`allowed_executables` needs a unix listener",
        ),
        ("unix", unix, "allowed_uids = []", "'allowed_uids' names nobody"),
        ("unix", unix, "allowed_gids = [\"\"]", "'allowed_gids' names nobody"),
        ("unix", unix, "allowed_executables = []", "'allowed_executables' names none"),
        (
            "unix",
            unix,
            "allowed_executables = [\"app\"]",
            "\"app\" in `allowed_executables` is no absolute path",
        ),
        ("unix", unix, "allow { }", "`allow` names nothing"),
        ("unix", unix, "allow {\n methods = []\n paths = [\"a\"]\n }", "`allow` names nothing"),
        ("unix", unix, "allow {\n methods = [\"GET\"]\n paths = []\n }", "`allow` names nothing"),
        ("unix", unix, "allow {\n methods = [\"GET\"]\n namespaces = []\n }", "`allow` names nothing"),
        (
            "unix",
            unix,
            "allow {\n methods = [\"GET\"]\n namespaces = [\"team/*\"]\n }",
            "\"team/*\" in `allow` names no namespace",
        ),
        // It would allow every method.
        (
            "unix",
            unix,
            "allow {\n method = [\"GET\"]\n paths = [\"a\"]\n }",
            "'allow' has invalid keys: method",
        ),
        ("unix", unix, "allow { methods = [\"FETCH\"] }", "unknown method \"FETCH\" in `allow`"),
        (
            "unix",
            unix,
            "allow { paths = [\"/v1/secret\"] }",
            "no request can have the path \"/v1/secret\" of `allow`: paths are written without /v1/, as in policies",
        ),
        (
            "unix",
            unix,
            "allow { paths = [\"secret/data/my%20app\"] }",
            "no request can have the path \"secret/data/my%20app\" of `allow`: escapes are resolved before rules are looked at; write the character itself",
        ),
        (
            "unix",
            unix,
            "allow { paths = [\"secret/metadata/app?list=true\"] }",
            "no request can have the path \"secret/metadata/app?list=true\" of `allow`: a rule looks at the path, not at the query behind it",
        ),
        (
            "unix",
            unix,
            "allow { paths = [\"secret/../sys\"] }",
            "no request can have the path \"secret/../sys\" of `allow`: there is a dot segment in it",
        ),
        (
            "unix",
            unix,
            "allow { paths = [\"secret/+*\"] }",
            "no request can have the path \"secret/+*\" of `allow`: `+` stands for one whole segment, so write `+/*` for what is below it, or `*`",
        ),
        ("unix", unix, "rate_limit = 0", "rate_limit must be from 1 to 1000000, not 0"),
        ("unix", unix, "rate_burst = 5", "`rate_burst` needs `rate_limit`"),
        (
            "unix",
            "tls_disable = true\n ",
            "address = \"systemd:\"",
            "\"systemd:\" names no socket of systemd",
        ),
        (
            "tcp",
            "tls_disable = true\n ",
            "address = \"systemd:a b\"",
            "\"systemd:a b\" names no socket of systemd",
        ),
        (
            "unix",
            "tls_disable = true\n ",
            "address = \"systemd:a\"\n socket_mode = \"0600\"",
            "`socket_mode` cannot go with a socket of systemd",
        ),
        (
            "tcp",
            tls,
            "tls_allowed_client_names = [\"a\"]",
            "`tls_allowed_client_names` needs `tls_require_and_verify_client_cert = true`",
        ),
        (
            "tcp",
            tls,
            "tls_require_and_verify_client_cert = true\n tls_allowed_client_names = []",
            "`tls_allowed_client_names` names nobody",
        ),
        (
            "tcp",
            "tls_disable = true\n ",
            "tls_allowed_client_names = [\"a\"]",
            "`tls_allowed_client_names` has no effect with `tls_disable = true`",
        ),
    ] {
        let failure = agent().text(format!("listener \"{kind}\" {{\n {first}{keys}\n}}\n")).unwrap_err();
        let messages: Vec<_> = failure.diagnostics().map(|d| d.message.as_str()).collect();
        assert!(messages.len() == 1 && messages[0].ends_with(message), "{keys}: {messages:?}");
    }
}

#[test]
fn tls_that_would_be_weaker_than_it_reads_is_refused() {
    for (keys, message) in [
        ("", "TLS needs `tls_cert_file` and `tls_key_file`"),
        (
            "tls_require_and_verify_client_cert = true\n tls_cert_file = \"/c\"\n tls_key_file = \"/k\"",
            "`tls_require_and_verify_client_cert` needs `tls_client_ca_file`",
        ),
        (
            "tls_cipher_suites = \"TLS_AES_128_GCM_SHA256\"\n tls_cert_file = \"/c\"\n tls_key_file = \"/k\"",
            "\"tls_cipher_suites\" is not built yet in this version of Sidekey",
        ),
        (
            "tls_max_version = \"tls11\"\n tls_min_version = \"tls10\"\n tls_cert_file = \"/c\"\n tls_key_file = \"/k\"",
            "TLS before 1.2 is not spoken",
        ),
    ] {
        let failure = agent().text(format!("listener \"tcp\" {{\n {keys}\n}}\n")).unwrap_err();
        let messages: Vec<_> = failure.diagnostics().map(|d| d.message.as_str()).collect();
        assert_eq!(messages, [message], "{keys}");
    }
    let files = "tls_cert_file = \"/c\"\n tls_key_file = \"/k\"";
    for (version, remark) in [
        (
            "tls10",
            Some(
                "TLS 1.0 and 1.1 are not spoken: clients that know nothing newer than that fail in the handshake",
            ),
        ),
        (
            "tls11",
            Some("TLS 1.1 is not spoken: clients that know nothing newer than that fail in the handshake"),
        ),
        ("tls12", None),
    ] {
        let old = format!("listener \"tcp\" {{\n tls_min_version = \"{version}\"\n {files} }}\n");
        let loaded = agent().fine(&old);
        let remarks: Vec<_> = loaded.warnings.iter().map(|warning| warning.message.as_str()).collect();
        assert_eq!(remarks, Vec::from_iter(remark), "{version}");
        // Both that are left are spoken.
        let tls = loaded.settings.listeners[0].tls.as_ref().unwrap();
        assert!(!tls.only_tls12 && !tls.only_tls13);
    }
}

/// Upstream starts with them, and files that it takes start here.
#[test]
fn what_has_no_effect_on_a_tcp_listener_is_remarked_upon() {
    let keys = "socket_mode = \"0600\"\n socket_user = \"app\"\n socket_group = \"app\"";
    let loaded = agent().fine(&format!("listener \"tcp\" {{\n tls_disable = true\n {keys} }}\n"));
    let remarks: Vec<_> = loaded.warnings.iter().map(|warning| warning.message.as_str()).collect();
    let wanted = ["socket_mode", "socket_user", "socket_group"].map(|key| {
        format!("`{key}` has no effect on a tcp listener: whoever reaches the address may connect")
    });
    assert_eq!(remarks, wanted);
    let unix = format!("listener \"unix\" {{\n address = \"/s\"\n tls_disable = true\n {keys} }}\n");
    assert!(agent().fine(&unix).warnings.is_empty());
}
