//! `auto_auth { method … sink … }`: how to log in and where to put the token.

mod method;
mod sink;

use crate::decode::{Block, Fields};
use crate::environment::Environment;
use crate::problem::Place;

pub use method::{
    AppRole, Cert, CredentialFile, DEFAULT_MAX_BACKOFF, DEFAULT_MIN_BACKOFF, DEFAULT_READ_PERIOD,
    DEFAULT_READ_PERIOD_WHEN_REMOVED, Jwt, Kubernetes, Method, MethodKind, Password, PasswordSource, Removal,
    SendAs, Spiffe, TokenFile,
};
pub use sink::{DEFAULT_SINK_MODE, FileSink};

/// How to log in and where to put the token.
#[derive(Clone, Debug, PartialEq)]
pub struct AutoAuth {
    /// How.
    pub method: Method,
    /// Where to, in the file's order.
    pub sinks: Vec<FileSink>,
    /// Log in again at once when the method sees new credentials.
    pub reauth_on_new_credentials: bool,
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
    pub(crate) sinks: Vec<FileSink>,
    pub(crate) reauth_on_new_credentials: bool,
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
    };
    if block.object.is_none() {
        return raw;
    }
    let mut sinks_wrap = false;
    for sink in sink::blocks(&fields) {
        let (sink, wraps) = sink::read(&fields, &sink, environment);
        raw.sinks.push(sink);
        sinks_wrap |= wraps;
    }
    method::read(&fields, &mut raw);
    if raw.method_wraps {
        let span = fields.span;
        if raw.sinks.len() != 1 {
            fields.refuse(
                span,
                "error parsing auto_auth: wrapping enabled on auth method and 0 or many sinks defined",
            );
        } else if sinks_wrap {
            fields.refuse(span, "error parsing auto_auth: wrapping enabled both on auth method and sink");
        }
    }
    fields.finish();
    raw
}
