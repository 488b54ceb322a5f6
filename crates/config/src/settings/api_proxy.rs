//! `api_proxy { … }`: which token a client's request travels with.

use hcl1::Kind;
use vault::{Namespace, WhenInconsistent};

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
    /// Stands before the namespace of each request (`prepend_configured_namespace`).
    pub namespace: Option<Namespace>,
    /// Clients read what they have written (`enforce_consistency = "always"`); what happens where that cannot be.
    pub consistency: Option<WhenInconsistent>,
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
    /// The configured namespace stands before that of each request.
    pub(crate) prepends: bool,
    /// The `auto_auth` of listeners that name none.
    pub(crate) auto_auth: Option<Placed<String>>,
    pub(crate) consistency: RawConsistency,
}

/// Vault's keys about clusters with replicas, in either of their places.
#[derive(Debug, Default)]
pub(crate) struct RawConsistency {
    pub(crate) always: Option<Placed<bool>>,
    pub(crate) action: Option<Placed<WhenInconsistent>>,
}

pub(crate) const PREFIX: &str = "error parsing 'api_proxy':";

pub(crate) fn read<'a>(file: &Fields<'a>, block: &Block<'a>) -> RawApiProxy {
    let fields = file.inside("api_proxy", block, PREFIX);
    let use_token = read_use_token(&fields);
    let consistency = read_consistency(&fields, "api_proxy");
    let prepends = fields.lax_bool("prepend_configured_namespace").unwrap_or(false);
    let strict_paths = fields.lax_bool("strict_paths").unwrap_or(false);
    let auto_auth = read_choice(&fields);
    let place = fields.report.place(fields.span);
    fields.finish();
    RawApiProxy {
        place,
        use_token,
        implied: UseAutoAuthToken::No,
        strict_paths,
        prepends,
        auto_auth,
        consistency,
    }
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

/// `enforce_consistency` and `when_inconsistent`.
pub(crate) fn read_consistency(fields: &Fields<'_>, stanza: &str) -> RawConsistency {
    RawConsistency {
        always: word(fields, stanza, "enforce_consistency", &[("never", false), ("always", true)]),
        action: word(
            fields,
            stanza,
            "when_inconsistent",
            &[
                ("fail", WhenInconsistent::Fail),
                ("retry", WhenInconsistent::Retry),
                ("forward", WhenInconsistent::Forward),
            ],
        ),
    }
}

fn word<T: Copy>(
    fields: &Fields<'_>,
    stanza: &str,
    key: &'static str,
    words: &[(&str, T)],
) -> Option<Placed<T>> {
    let said = fields.filled(key)?;
    let span = fields.span_of(key);
    match words.iter().find(|(word, _)| *word == said) {
        Some((_, value)) => Some(Placed { value: *value, place: fields.report.place(span) }),
        None => {
            let message = format!("Unknown {stanza} setting for {key}: {said:?}");
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            fields.refuse_with(span, message, format!("the values are {}", known.join(", ")));
            None
        }
    }
}
