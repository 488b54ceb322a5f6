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
            "`tls_cipher_suites` names no cipher suites of TLS 1.2 that are spoken here",
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

fn tls(keys: &str) -> String {
    format!("listener \"tcp\" {{\n {keys}\n tls_cert_file = \"/c\"\n tls_key_file = \"/k\"\n}}\n")
}

#[test]
fn ciphers_and_key_exchanges_go_by_the_names_of_go() {
    for (keys, messages) in [
        (
            "tls_cipher_suites = \"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,x,y\"",
            "error parsing 'listener': listeners.0 invalid value for tls_cipher_suites: unsupported cipher \"x\"",
        ),
        (
            "tls_key_exchange_preferences = [\"P-256\"]",
            "Error starting listener: 'tls_key_exchange_preferences' value \"P-256\" not supported, please select from [CurveP256 CurveP384 CurveP521 MLKEM1024 SecP256r1MLKEM768 SecP384r1MLKEM1024 X25519 X25519MLKEM768]",
        ),
        (
            "tls_cipher_suites = \"TLS_RSA_WITH_RC4_128_SHA, TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA\"",
            "`tls_cipher_suites` names no cipher suites of TLS 1.2 that are spoken here",
        ),
        (
            "tls_key_exchange_preferences = [\"CurveP521\"]",
            "`tls_key_exchange_preferences` names no key exchanges that are spoken here",
        ),
    ] {
        let failure = agent().text(tls(keys)).unwrap_err();
        assert!(failure.to_string().contains(messages), "{keys}: {failure}");
        assert_eq!(failure.diagnostics().count(), 1, "{keys}: {failure}");
    }
    // It is no matter of TLS 1.3.
    agent().fine(&tls("tls_cipher_suites = \"TLS_AES_128_GCM_SHA256\"\n tls_min_version = \"tls13\""));
    let keys = "tls_cipher_suites = \"TLS_RSA_WITH_RC4_128_SHA,TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305, TLS_RSA_WITH_AES_128_CBC_SHA\"\n tls_key_exchange_preferences = [\"X25519MLKEM768\", \"CurveP384\"]";
    let loaded = agent().fine(&tls(keys));
    let remarks: Vec<_> = loaded.warnings.iter().map(|warning| warning.message.as_str()).collect();
    assert_eq!(
        remarks,
        ["`tls_cipher_suites`: these are not spoken: TLS_RSA_WITH_RC4_128_SHA, TLS_RSA_WITH_AES_128_CBC_SHA"]
    );
    let choice = &loaded.settings.listeners[0].tls.as_ref().unwrap().choice;
    assert_eq!(choice.suites, ["TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"]);
    assert_eq!(choice.key_exchanges, ["X25519MLKEM768", "secp384r1"]);
}

#[test]
fn keys_may_have_two_names_but_not_at_once() {
    let unix =
        |keys: &str| format!("listener \"unix\" {{\n address = \"/s\"\n tls_disable = true\n {keys}\n}}\n");
    let loaded = agent().fine(&unix("allowed_pids_exe = [\"/bin/app\"]"));
    assert!(loaded.warnings.is_empty());
    assert_eq!(loaded.settings.listeners[0].access.peers.executables, [std::path::PathBuf::from("/bin/app")]);
    let san = "tls_require_and_verify_client_cert = true\n tls_client_ca_file = \"/ca\"\n tls_allowed_client_san = [\"app\"]";
    let loaded = agent().fine(&tls(san));
    let settings = loaded.settings.listeners[0].tls.as_ref().unwrap();
    assert!(settings.allowed_client_names[0].matches("app") && settings.only_alternative_names);
    assert!(loaded.warnings.is_empty());
    let executables = unix("allowed_executables = [\"/bin/app\"]\n allowed_pids_exe = [\"/bin/app\"]");
    let names = tls(&format!("{san}\n tls_allowed_client_names = [\"app\"]"));
    for (text, message) in [
        (
            executables,
            "`allowed_pids_exe` is another name of `allowed_executables`, and both are given in listener",
        ),
        (
            names,
            "`tls_allowed_client_san` is another name of `tls_allowed_client_names`, and both are given in listener",
        ),
    ] {
        let failure = agent().text(text).unwrap_err();
        let messages: Vec<_> = failure.diagnostics().map(|d| d.message.as_str()).collect();
        assert!(messages.len() == 1 && messages[0].ends_with(message), "{messages:?}");
    }
}
