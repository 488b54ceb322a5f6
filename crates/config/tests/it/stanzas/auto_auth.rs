//! `auto_auth`: methods, and what is kept of tokens.

use std::time::Duration;

use config::{AppRole, Cert, CredentialFile, Identity, MethodKind, Removal, SendAs, TokenFile};

use super::file;
use crate::{AUTH, agent};

#[test]
fn approle_with_every_key() {
    let auto_auth = agent()
        .fine(
            r#"
auto_auth {
  enable_reauth_on_new_credentials = true
  method "AppRole" {
    mount_path = "auth/apps/"
    namespace = "/team/"
    min_backoff = "2s"
    max_backoff = 60
    exit_on_err = "true"
    config = {
      role_id_file_path = "/role"
      secret_id_file_path = "/secret"
      remove_secret_id_file_after_reading = "false"
      secret_id_response_wrapping_path = "auth/approle/role/app/secret-id"
    }
  }
  sink "file" {
    config = { path = "/sink" mode = 0600 uid = 1000 gid = -1 }
  }
  sink {
    type = "file"
    config { path = "/other" mode = "0644" owner = "app" group = "7" }
  }
}
"#,
        )
        .settings
        .auto_auths
        .remove(0);
    assert!(auto_auth.reauth_on_new_credentials);
    let method = auto_auth.method;
    assert_eq!(method.mount.as_str(), "auth/apps");
    assert_eq!(method.namespace.unwrap().as_str(), "team/");
    assert_eq!((method.min_backoff, method.max_backoff), (Duration::from_secs(2), Duration::from_secs(60)));
    assert!(method.exit_on_err);
    assert_eq!(
        method.kind,
        MethodKind::AppRole(AppRole {
            role_id_file: "/role".into(),
            secret_id_file: Some("/secret".into()),
            remove_secret_id_file: false,
            wrapping_path: Some("auth/approle/role/app/secret-id".into()),
        })
    );
    let sinks: Vec<_> = auto_auth.sinks.iter().map(file).collect();
    let [first, second] = sinks.as_slice() else { panic!("{sinks:?}") };
    assert_eq!((first.mode, &first.owner, &first.group), (0o600, &Some(Identity::Id(1000)), &None));
    assert_eq!(
        (second.mode, &second.owner, &second.group),
        (0o644, &Some(Identity::Name("app".into())), &Some(Identity::Id(7)))
    );
}

#[test]
fn methods_that_lack_something() {
    for (method, line) in [
        ("method \"approle\" {}", "Error creating approle auth method: missing 'role_id_file_path' value"),
        (
            "method \"approle\" { config = { role_id_file_path = \"\" } }",
            "Error creating approle auth method: 'role_id_file_path' value is empty",
        ),
        (
            "method \"token_file\" { config = { token_file_path = 5 } }",
            "Error creating token_file auth method: could not convert 'token_file_path' config value to string",
        ),
        (
            "method \"azure\" { config = { role = \"r\" } }",
            "Error creating azure auth method: missing 'resource' value",
        ),
        (
            "method \"azure\" { config = { role = \"r\"\n resource = \"x\"\n object_id = \"a\"\n client_id = \"b\" } }",
            "Error creating azure auth method: only one of 'object_id' or 'client_id' may be provided",
        ),
        (
            "method \"azure\" { config = { role = \"r\"\n resource = \"x\"\n authenticate_from_environment = \"maybe\" } }",
            "Error creating azure auth method: could not convert 'authenticate_from_environment' config value to \
             bool: cannot parse '' as bool: strconv.ParseBool: parsing \"maybe\": invalid syntax",
        ),
        (
            "method \"gcp\" { config = { type = \"gke\"\n role = \"r\" } }",
            "Error creating gcp auth method: 'type' value is invalid",
        ),
        (
            "method \"gcp\" { config = { type = \"iam\"\n role = \"r\"\n credentials = 5 } }",
            "Error creating gcp auth method: could not convert 'credentials' value into string",
        ),
        (
            "method \"gcp\" { config = { type = \"iam\"\n role = \"r\"\n jwt_exp = 721 } }",
            "Error creating gcp auth method: 'jwt_exp' must be between 1 and 720 minutes",
        ),
        (
            "method \"oci\" { config = { type = \"apikey\" } }",
            "Error creating oci auth method: missing 'role' value",
        ),
        (
            "method \"oci\" { config = { type = \"x\"\n role = \"r\" } }",
            "Error creating oci auth method: 'type' value is invalid",
        ),
        (
            "method \"oci\" { config = { type = \"apikey\"\n role = \"r\"\n credential_poll_interval = 0 } }",
            "Error creating oci auth method: 'credential_poll_interval' must be longer than nothing",
        ),
        (
            "method \"oci\" { config = { type = \"apikey\"\n role = \"..\" } }",
            "Error creating oci auth method: 'role' value \"..\" cannot stand in a path",
        ),
        (
            "method \"gcp\" { config = { type = \"gce\"\n role = \"r\"\n service_account = \".\" } }",
            "Error creating gcp auth method: 'service_account' value \".\" cannot stand in a path",
        ),
        ("method \"nosuch\" {}", "Error creating nosuch auth method: unknown auth method \"nosuch\""),
        ("method \"kubernetes\" {}", "Error creating kubernetes auth method: missing 'role' value"),
        (
            "method \"jwt\" { config { path = \"/x\" } }",
            "Error creating jwt auth method: missing 'role' value",
        ),
        (
            "method \"jwt\" { config { role = \"r\" path = \"\" } }",
            "Error creating jwt auth method: 'path' value is empty",
        ),
        (
            "method \"jwt\" { config { path = \"/x\" role = 5 } }",
            "Error creating jwt auth method: could not convert 'role' config value to string",
        ),
        (
            "method \"jwt\" { config { path = \"/x\" role = \"r\" jwt_read_period = \"zz\" } }",
            "Error creating jwt auth method: error parsing 'jwt_read_period' value: time: invalid duration \"zz\"",
        ),
        (
            "method \"jwt\" { config { path = \"/x\" role = \"r\" remove_jwt_after_reading = \"maybe\" } }",
            "Error creating jwt auth method: error parsing 'remove_jwt_after_reading' value: cannot parse '' as \
             bool: strconv.ParseBool: parsing \"maybe\": invalid syntax",
        ),
        (
            "method \"kubernetes\" { config { role = \"r\" token_path = 5 } }",
            "Error creating kubernetes auth method: could not convert 'token_path' config value to string",
        ),
        (
            "method \"cert\" { config { name = 5 } }",
            "Error creating cert auth method: could not convert 'name' config value to string",
        ),
        (
            "method \"cert\" { config { reload = \"true\" } }",
            "Error creating cert auth method: could not convert 'reload' config value to bool",
        ),
        (
            "method \"cert\" { config { client_cert = 5 } }",
            "Error creating cert auth method: could not convert 'cert_file' config value to string",
        ),
        (
            "method \"ldap\" { config { username = \".\" password_file_path = \"/p\" } }",
            "Error creating ldap auth method: 'username' value \".\" cannot stand in a path",
        ),
        (
            "method \"ldap\" { config { username = \"u\" } }",
            "Error creating ldap auth method: missing 'password_file_path' value",
        ),
        (
            "method \"userpass\" { config { password_file_path = \"/p\" } }",
            "Error creating userpass auth method: missing 'username' value",
        ),
        (
            "method \"ldap\" { config { username = \"u\" password_file_path = \"/p\" password_read_period = 0 } }",
            "Error creating ldap auth method: error parsing 'password_read_period' value into a positive value",
        ),
        (
            "method \"radius\" { config { username = \"u\" password_file_path = \"/p\" password_env_var = \"P\" } }",
            "Error creating radius auth method: 'password_file_path' and 'password_env_var' are both given",
        ),
        (
            "method \"spiffe\" { config { path = \"/p\" role = \"r\" send_as = \"jtw\" } }",
            "Error creating spiffe auth method: unknown 'send_as' value \"jtw\"",
        ),
        (
            "method \"token_file\" {\n min_backoff = \"10m\"\n config { token_file_path = \"/t\" } }",
            "auth handler: min_backoff cannot be greater than max_backoff",
        ),
    ] {
        let text = format!("auto_auth {{\n {method}\n sink \"file\" {{ config {{ path = \"/s\" }} }}\n}}\n");
        assert_eq!(agent().lines(&text), [line], "{text}");
    }
}

#[test]
fn methods_with_files() {
    let method = |method: &str| {
        let text = format!("auto_auth {{\n {method}\n sink \"file\" {{ config {{ path = \"/s\" }} }}\n}}\n");
        agent().fine(&text).settings.auto_auths.remove(0).method
    };
    let file = |path: &str, removal, period: u64| CredentialFile {
        path: path.into(),
        removal,
        read_period: Duration::from_millis(period),
    };
    let jwt = |keys: &str| match method(&format!(
        "method \"jwt\" {{ config {{ path = \"/j\" role = \"r\" {keys} }} }}"
    ))
    .kind
    {
        MethodKind::Jwt(jwt) => jwt.file,
        other => panic!("{other:?}"),
    };
    assert_eq!(jwt(""), file("/j", Removal::Link, 500));
    assert_eq!(jwt("remove_jwt_after_reading = \"false\""), file("/j", Removal::Never, 60_000));
    assert_eq!(jwt("remove_jwt_follows_symlinks = 1 jwt_read_period = 7"), file("/j", Removal::Target, 7000));
    let defaults = method("method \"kubernetes\" { config { role = \"r\" } }");
    assert_eq!(defaults.mount.as_str(), "auth/kubernetes");
    let MethodKind::Kubernetes(kubernetes) = defaults.kind else { panic!("{defaults:?}") };
    assert_eq!(kubernetes.token_path.to_str(), Some("/var/run/secrets/kubernetes.io/serviceaccount/token"));
    for name in ["ldap", "okta", "radius", "userpass"] {
        let found = method(&format!(
            "method {name:?} {{ config {{ username = \"u\" password_file_path = \"/p\" }} }}"
        ));
        assert_eq!((found.kind.name(), found.mount.as_str()), (name, format!("auth/{name}").as_str()));
        let by_name =
            method(&format!("method {name:?} {{ config {{ username = \"u\" password_env_var = \"P\" }} }}"));
        assert!(format!("{:?}", by_name.kind).contains("Variable(\"P\")"), "{by_name:?}");
        // A login beside the program's own takes nothing away.
        assert!(format!("{:?}", found.kind.sparing()).contains("Never"), "{name}");
    }
    assert_eq!(
        method("method \"cert\" {}").kind,
        MethodKind::Cert(Cert { name: None, ca_cert: None, identity: None, reload: None })
    );
    let MethodKind::Spiffe(spiffe) =
        method("method \"spiffe\" { config { path = \"/s\" role = \"r\" send_as = \"bearer\" } }").kind
    else {
        panic!()
    };
    assert_eq!(spiffe.send_as, SendAs::Bearer);
}

#[test]
fn json_without_lists_and_with_labels() {
    let auto_auth = agent()
        .fine(
            r#"{"auto_auth": {
                "method": [{"token_file": {"config": {"token_file_path": "/t"}}}],
                "sinks": [{"sink": {"type": "file", "config": {"path": "/a", "mode": 384}}}],
                "sink": {"file": {"config": {"path": "/b"}}}
            }}"#,
        )
        .settings
        .auto_auths
        .remove(0);
    assert_eq!(auto_auth.method.kind, MethodKind::TokenFile(TokenFile { path: "/t".into() }));
    let sinks: Vec<_> =
        auto_auth.sinks.iter().map(file).map(|s| (s.path.to_str().unwrap(), s.mode)).collect();
    assert_eq!(sinks, [("/b", 0o640), ("/a", 0o600)]);
}

#[test]
fn the_token_between_two_runs() {
    let with = |keys: &str| format!("auto_auth {{\n {LOGIN}\n revoke_previous_token = true\n {keys}\n}}\n");
    let read = |keys: &str| agent().fine(&with(keys)).settings.auto_auths.remove(0);
    let auto_auth = read("token_store { path = \"/t\" key_file = \"/k\" }");
    assert!(auto_auth.revoke_previous_token);
    let key = config::KeySource::File("/k".into());
    assert_eq!(auto_auth.token_store, Some(config::TokenStore { path: "/t".into(), key }));
    let key = read("token_store { path = \"/t\" credential = \"store\" }").token_store.unwrap().key;
    assert_eq!(key, config::KeySource::Credential("store".into()));
    assert_eq!(read("").token_store, None);
}

#[test]
fn what_cannot_be_a_token_store() {
    for (keys, problem) in [
        ("token_store { key_file = \"/k\" }", "'path' is missing"),
        ("token_store { path = \"/t\" }", "a 'key_file' or a 'credential' is needed"),
        ("token_store { path = \"/t\" key_file = \"/k\" credential = \"c\" }", "exclude each other"),
        ("token_store { path = \"/t\" credential = \"/c\" }", "not a path"),
    ] {
        let lines = agent().lines(&format!("auto_auth {{\n {LOGIN}\n {keys}\n}}\n"));
        assert!(lines.len() == 1 && lines[0].contains(problem), "{lines:?}");
    }
    let borrowed = "method \"token_file\" { config = { token_file_path = \"/t\" } }\n sink \"file\" { config = { path = \"/s\" } }";
    for keys in ["revoke_previous_token = true", "token_store { path = \"/t\" key_file = \"/k\" }"] {
        let lines = agent().lines(&format!("auto_auth {{\n {borrowed}\n {keys}\n}}\n"));
        assert!(lines.len() == 1 && lines[0].contains("does not go with the method"), "{lines:?}");
    }
}

#[test]
fn a_decimal_mode_is_remarked_upon() {
    let text = format!("{AUTH}template {{\n contents = \"a\"\n destination = \"/d\"\n perms = 640 }}\n");
    let loaded = agent().fine(&text);
    assert_eq!(loaded.settings.templates[0].perms, Some(0o1200));
    assert_eq!(loaded.warnings[0].hint.as_deref(), Some("octal numbers start with a zero: 0640"));
}

const LOGIN: &str = "method \"approle\" { config = { role_id_file_path = \"/role\" } }\n sink \"file\" { config = { path = \"/s\" } }";
