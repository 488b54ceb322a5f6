//! `method "kerberos"`.

use config::{Kerberos, MethodKind};

use crate::agent;

const REQUIRED: &str = "username = \"app\"\n service = \"HTTP/v.example.com:8200\"\n realm = \"EXAMPLE.COM\"\n keytab_path = \"/k\"\n krb5conf_path = \"/c\"\n";

fn stanza(keys: &str) -> String {
    format!(
        "auto_auth {{\n method \"kerberos\" {{ config = {{\n{keys}}} }}\n sink \"file\" {{ config {{ path = \"/s\" }} }}\n}}\n"
    )
}

#[test]
fn every_key() {
    let expected = Kerberos {
        username: "app".into(),
        service: "HTTP/v.example.com:8200".into(),
        realm: "EXAMPLE.COM".into(),
        keytab: "/k".into(),
        krb5conf: "/c".into(),
        disable_fast_negotiation: false,
        remove_instance_name: false,
    };
    let read = |keys: &str| agent().fine(&stanza(keys)).settings.auto_auths.remove(0).method.kind;
    assert_eq!(read(REQUIRED), MethodKind::Kerberos(expected.clone()));
    let more = format!("{REQUIRED} disable_fast_negotiation = \"true\"\n remove_instance_name = 1\n");
    let more_expected = Kerberos { disable_fast_negotiation: true, remove_instance_name: true, ..expected };
    assert_eq!(read(&more), MethodKind::Kerberos(more_expected));
}

#[test]
fn what_is_missing_or_no_name() {
    for key in ["username", "service", "realm", "keytab_path", "krb5conf_path"] {
        let without: String = REQUIRED
            .lines()
            .filter(|line| !line.trim_start().starts_with(key))
            .map(|line| format!("{line}\n"))
            .collect();
        let line = format!("Error creating kerberos auth method: \"{key}\" is required");
        assert_eq!(agent().lines(&stanza(&without)).join("\n"), line, "{without}");
        assert_eq!(
            agent().lines(&stanza(&format!("{without}{key} = \"\"\n"))),
            [format!("{line}, and is empty")]
        );
    }
    for (key, name) in
        [("username", "app@EXAMPLE.COM"), ("service", "HTTP@v.example.com"), ("service", "HTTP/")]
    {
        let without: String = REQUIRED
            .lines()
            .filter(|line| !line.trim_start().starts_with(key))
            .map(|line| format!("{line}\n"))
            .collect();
        let line = format!(
            "Error creating kerberos auth method: '{key}' is no principal without its realm: {name:?}"
        );
        assert_eq!(agent().lines(&stanza(&format!("{without}{key} = {name:?}\n"))), [line]);
    }
}
