//! `auto_auth { method … sink … }`: how to log in and where to put the token.

mod method;
mod sink;
mod token_store;

use crate::decode::{Block, Fields};
use crate::environment::Environment;
use crate::problem::Place;

pub use method::*;
pub use sink::*;
pub use token_store::{StoreKey, TokenStore};

/// How to log in and where to put the token.
#[derive(Clone, Debug, PartialEq)]
pub struct AutoAuth {
    /// How.
    pub method: Method,
    /// Where to, in the file's order.
    pub sinks: Vec<Sink>,
    /// Log in again at once when the method sees new credentials.
    pub reauth_on_new_credentials: bool,
    /// Revoke the token that a login replaced, once everybody has had time to take the new one.
    pub revoke_previous_token: bool,
    /// Keep the token between two runs.
    pub token_store: Option<TokenStore>,
}

// === Reading ===

/// The stanza as it was read.
#[derive(Debug)]
pub(crate) struct RawAutoAuth {
    pub(crate) place: Place,
    /// `None` when it was refused.
    pub(crate) method: Option<Method>,
    /// `method.wrap_ttl` is given.
    pub(crate) method_wraps: bool,
    pub(crate) sinks: Vec<Sink>,
    pub(crate) reauth_on_new_credentials: bool,
    pub(crate) revoke_previous_token: bool,
    pub(crate) token_store: Option<TokenStore>,
}

pub(crate) const PREFIX: &str = "error parsing 'auto_auth': ";
pub(crate) fn read<'a>(file: &Fields<'a>, block: &Block<'a>, environment: &Environment) -> RawAutoAuth {
    let fields = file.inside("auto_auth", block, PREFIX);
    let mut raw = RawAutoAuth {
        place: fields.report.place(fields.span),
        method: None,
        method_wraps: false,
        sinks: Vec::new(),
        reauth_on_new_credentials: fields.strict_bool("enable_reauth_on_new_credentials").unwrap_or(false),
        revoke_previous_token: fields.strict_bool("revoke_previous_token").unwrap_or(false),
        token_store: None,
    };
    if block.object.is_none() {
        return raw;
    }
    for sink in sink::blocks(&fields) {
        raw.sinks.push(sink::read(&fields, &sink, environment));
    }
    method::read(&fields, &mut raw);
    raw.token_store = token_store::read(&fields);
    refuse_for_borrowed_tokens(&fields, &raw);
    if raw.method_wraps {
        let span = fields.span;
        if raw.sinks.len() != 1 {
            fields.refuse(
                span,
                "error parsing auto_auth: wrapping enabled on auth method and 0 or many sinks defined",
            );
        } else if raw.sinks.iter().any(|sink| sink.wrap_ttl.is_some()) {
            fields.refuse(span, "error parsing auto_auth: wrapping enabled both on auth method and sink");
        }
    }
    fields.finish();
    raw
}

/// A token of somebody else's is not ours to revoke, and its file keeps it between two runs already.
fn refuse_for_borrowed_tokens(fields: &Fields<'_>, raw: &RawAutoAuth) {
    let borrowed = raw.method.as_ref().is_some_and(|method| matches!(method.kind, MethodKind::TokenFile(_)));
    let why = if borrowed {
        "the method \"token_file\", whose token is somebody else's"
    } else if raw.method_wraps {
        "\"wrap_ttl\" of the method, which hands the token out unseen"
    } else {
        return;
    };
    for (key, given) in
        [("revoke_previous_token", raw.revoke_previous_token), ("token_store", raw.token_store.is_some())]
    {
        if given {
            fields.refuse(
                fields.key_span(key),
                format!("error parsing auto_auth: {key:?} does not go with {why}"),
            );
        }
    }
}
