//! `method "kerberos"`.

use std::path::PathBuf;

use super::keys::string;
use crate::decode::Fields;

/// A Kerberos principal with its keys in a keytab.
#[derive(Clone, Debug, PartialEq)]
pub struct Kerberos {
    /// The principal without its realm, as the keytab has it: `app`, `HTTP/web.example.com`.
    pub username: String,
    /// The server's principal without its realm: `HTTP/vault.example.com:8200`.
    pub service: String,
    /// The principal's realm; case counts.
    pub realm: String,
    /// File with the principal's keys.
    pub keytab: PathBuf,
    /// File that says where the realm's KDCs are.
    pub krb5conf: PathBuf,
    /// Do not ask the KDC to confirm the request it saw; default false.
    pub disable_fast_negotiation: bool,
    /// Take `username` for the first part of the keytab's principal: `app` finds `app/host`; default false.
    pub remove_instance_name: bool,
}

pub(super) fn read(config: &Fields<'_>) -> Option<Kerberos> {
    let username = principal(config, "username");
    let service = principal(config, "service");
    let realm = required(config, "realm");
    let keytab = required(config, "keytab_path");
    let krb5conf = required(config, "krb5conf_path");
    let disable_fast_negotiation = config.lax_bool("disable_fast_negotiation").unwrap_or(false);
    let remove_instance_name = config.lax_bool("remove_instance_name").unwrap_or(false);
    Some(Kerberos {
        username: username?,
        service: service?,
        realm: realm?,
        keytab: keytab?.into(),
        krb5conf: krb5conf?.into(),
        disable_fast_negotiation,
        remove_instance_name,
    })
}

/// A name whose realm is a key of its own: with an `@` in it no KDC would know it.
fn principal(config: &Fields<'_>, key: &'static str) -> Option<String> {
    let name = required(config, key)?;
    if name.contains('@') || name.split('/').any(str::is_empty) {
        config.refuse_with(
            config.span_of(key),
            format!("'{key}' is no principal without its realm: {name:?}"),
            "write it as in the keytab, without @REALM: app, HTTP/vault.example.com; the realm is in 'realm'",
        );
        return None;
    }
    Some(name)
}

/// Text that must be given, in upstream's words for this method.
fn required(config: &Fields<'_>, key: &'static str) -> Option<String> {
    if !config.has(key) {
        config.refuse(config.span, format!("{key:?} is required"));
        return None;
    }
    let text = string(config, key)?;
    if text.is_empty() {
        config.refuse(config.span_of(key), format!("{key:?} is required, and is empty"));
        return None;
    }
    Some(text)
}
