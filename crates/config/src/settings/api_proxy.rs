//! `api_proxy { … }`: which token a client's request travels with.

use hcl1::Kind;

use super::auto_auth::read_choice;
use crate::decode::{Block, Fields, lax_bool};
use crate::problem::{Place, Placed};

/// The proxy's rules.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ApiProxy {
    /// When our own token is used.
    pub use_auto_auth_token: UseAutoAuthToken,
    /// Refuse paths outside `/v1/` instead of forwarding them without our token.
    pub strict_paths: bool,
}

/// `use_auto_auth_token`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum UseAutoAuthToken {
    /// Never: clients bring their own.
    #[default]
    No,
    /// For requests without a token.
    WhenMissing,
    /// For every request, whatever the client sent.
    Force,
}

/// The stanza as it was read, or as the legacy key of `cache` implies it.
#[derive(Debug)]
pub(crate) struct RawApiProxy {
    pub(crate) place: Place,
    /// As the stanza itself says.
    pub(crate) use_token: Option<Placed<UseAutoAuthToken>>,
    /// As the legacy key of the same file's `cache` says, for a stanza that is not there.
    pub(crate) implied: UseAutoAuthToken,
    pub(crate) strict_paths: bool,
    /// The `auto_auth` of listeners that name none.
    pub(crate) auto_auth: Option<Placed<String>>,
}

pub(crate) const PREFIX: &str = "error parsing 'api_proxy':";

pub(crate) fn read<'a>(file: &Fields<'a>, block: &Block<'a>) -> RawApiProxy {
    let fields = file.inside("api_proxy", block, PREFIX);
    let use_token = read_use_token(&fields);
    read_consistency(&fields, "api_proxy");
    if fields.lax_bool("prepend_configured_namespace") == Some(true) {
        fields.not_built("prepend_configured_namespace");
    }
    let strict_paths = fields.lax_bool("strict_paths").unwrap_or(false);
    let auto_auth = read_choice(&fields);
    let place = fields.report.place(fields.span);
    fields.finish();
    RawApiProxy { place, use_token, implied: UseAutoAuthToken::No, strict_paths, auto_auth }
}

/// `use_auto_auth_token`: a boolean, or `force`.
pub(crate) fn read_use_token(fields: &Fields<'_>) -> Option<Placed<UseAutoAuthToken>> {
    const KEY: &str = "use_auto_auth_token";
    let value = fields.value(KEY)?;
    let force = match &value.kind {
        Kind::String(text) => text.0.eq_ignore_ascii_case(b"force"),
        _ => false,
    };
    let use_token = match lax_bool(value) {
        _ if force => UseAutoAuthToken::Force,
        Ok(Some(true)) => UseAutoAuthToken::WhenMissing,
        Ok(Some(false)) => UseAutoAuthToken::No,
        Ok(None) => return None,
        Err(Some(_)) => {
            let said = fields.text(KEY).unwrap_or_default();
            let message = format!(
                "value of 'use_auto_auth_token' can be either true/false/force, {said:?} is an invalid option"
            );
            fields.refuse(value.span, message);
            return None;
        }
        Err(None) => {
            fields.lax_bool(KEY);
            return None;
        }
    };
    Some(Placed { value: use_token, place: fields.report.place(value.span) })
}

/// Vault's keys about replicated clusters. Only the defaults are honoured.
pub(crate) fn read_consistency(fields: &Fields<'_>, stanza: &str) {
    for (key, default, others) in [
        ("enforce_consistency", "never", &["always"][..]),
        ("when_inconsistent", "fail", &["retry", "forward"][..]),
    ] {
        let Some(said) = fields.filled(key) else { continue };
        if others.contains(&said.as_str()) {
            fields.not_built(key);
        } else if said != default {
            let message = format!("Unknown {stanza} setting for {key}: {said:?}");
            fields.refuse_with(fields.span_of(key), message, format!("only {default:?} is built yet"));
        }
    }
}
