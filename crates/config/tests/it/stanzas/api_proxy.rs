//! `api_proxy`.

use config::UseAutoAuthToken;

use crate::{AUTH, LISTENER, agent};

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
