//! `auto_auth { method … sink … }`: how to log in and where to put the token.

mod method;
mod sink;

use crate::decode::{Block, Fields};
use crate::environment::Environment;
use crate::problem::Place;

pub use method::{AppRole, DEFAULT_MAX_BACKOFF, DEFAULT_MIN_BACKOFF, Method, MethodKind, TokenFile};
pub use sink::{
    CredentialPattern, DEFAULT_CREDENTIAL_MODE, DEFAULT_SINK_MODE, DEFAULT_SOCKET_MODE, Encryption, FileSink,
    Pattern, Sink, SinkKind, SocketSink, SystemdSink,
};

/// How to log in and where to put the token.
#[derive(Clone, Debug, PartialEq)]
pub struct AutoAuth {
    /// How.
    pub method: Method,
    /// Where to, in the file's order.
    pub sinks: Vec<Sink>,
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
    pub(crate) sinks: Vec<Sink>,
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
    for sink in sink::blocks(&fields) {
        raw.sinks.push(sink::read(&fields, &sink, environment));
    }
    method::read(&fields, &mut raw);
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
