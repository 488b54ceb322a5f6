//! `api_proxy`.

use config::UseAutoAuthToken;

use crate::{AUTH, LISTENER, agent, proxy};

#[test]
fn the_proxys_rules() {
    let text =
        format!("{AUTH}{LISTENER}api_proxy {{\n use_auto_auth_token = \"Force\"\n strict_paths = true }}\n");
    let api_proxy = agent().fine(&text).settings.api_proxy;
    assert_eq!(api_proxy.use_auto_auth_token, UseAutoAuthToken::Force);
    assert!(api_proxy.strict_paths);
    agent().refused(
        &format!("{AUTH}{LISTENER}api_proxy {{ use_auto_auth_token = \"maybe\" }}\n"),
        "error loading configuration from a.hcl: error parsing 'api_proxy':value of 'use_auto_auth_token' can \
         be either true/false/force, \"maybe\" is an invalid option",
    );
}

#[test]
fn the_configured_namespace_may_stand_before_all_others() {
    let namespace = |vault: &str, keys: &str| {
        let text = format!("{AUTH}{LISTENER}{vault}api_proxy {{ {keys} }}\n");
        let found = proxy().fine(&text).settings.api_proxy.namespace;
        found.map(|namespace| namespace.as_str().to_owned())
    };
    let vault = "vault { namespace = \"/team/a\" }\n";
    let prepend = "prepend_configured_namespace = true";
    assert_eq!(namespace(vault, prepend).as_deref(), Some("team/a/"));
    assert_eq!(namespace(vault, "prepend_configured_namespace = \"false\""), None);
    assert_eq!(namespace(vault, ""), None);
    // None is configured: requests go where they say.
    assert_eq!(namespace("", prepend), None);
    let text = format!("{AUTH}{LISTENER}{vault}api_proxy {{ {prepend} }}\n");
    let chosen =
        proxy().environment(&[("VAULT_NAMESPACE", "other")]).fine(&text).settings.api_proxy.namespace;
    assert_eq!(chosen.unwrap().as_str(), "other/");
}
