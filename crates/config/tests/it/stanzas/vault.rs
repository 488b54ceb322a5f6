//! `vault`.

use vault::{HostPattern, RedirectHosts};

use crate::{AUTH, agent};

#[test]
fn redirects_lead_to_any_host_or_to_those_that_are_named() {
    let hosts = |keys: &str| {
        agent()
            .fine(&format!("vault {{ address = \"https://a:8200\"\n{keys} }}\n{AUTH}"))
            .settings
            .vault
            .redirect_hosts
    };
    let known = |texts: &[&str]| {
        RedirectHosts::Known(texts.iter().map(|text| HostPattern::parse(text).unwrap()).collect())
    };
    for (keys, wanted) in [
        ("", RedirectHosts::Any),
        ("follow_redirects_any_host = true", RedirectHosts::Any),
        ("follow_redirects_any_host = false", known(&[])),
        ("redirect_hosts = [\"b\", \"*.c:8200\"]", known(&["b", "*.c:8200"])),
        ("redirect_hosts = []", known(&[])),
        ("redirect_hosts = [\"b\"]\nfollow_redirects_any_host = true", RedirectHosts::Any),
    ] {
        assert_eq!(hosts(keys), wanted, "{keys}");
    }
    for (keys, line) in [
        (
            "redirect_hosts = [\"https://b\"]",
            "error loading configuration from a.hcl: error parsing 'vault':invalid host \"https://b\" in `redirect_hosts`: a host is wanted, without scheme and path",
        ),
        (
            "redirect_hosts = [\"\"]",
            "error loading configuration from a.hcl: error parsing 'vault':invalid host \"\" in `redirect_hosts`: the address has no host",
        ),
    ] {
        agent().refused(&format!("vault {{ {keys} }}\n{AUTH}"), line);
    }
}
