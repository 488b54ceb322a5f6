//! `auto_auth { method … sink … }`: how to log in and where to put the token. There may be several, each with a
//! name: `auto_auth "billing" { … }`.

mod choice;
mod method;
mod sink;
mod token_store;

use std::path::{Path, PathBuf};

use ::vault::Namespace;

use crate::decode::{Block, Fields, Labels};
use crate::environment::Environment;
use crate::problem::Place;

pub(crate) use choice::{Choosing, choose, read_choice};
pub use method::*;
pub use sink::*;
pub use token_store::TokenStore;

/// How to log in and where to put the token.
#[derive(Clone, Debug, PartialEq)]
pub struct AutoAuth {
    /// Its name; `None` for the classic single stanza.
    pub name: Option<String>,
    /// Where it logs in and what its token asks for, in the end.
    pub namespace: Option<Namespace>,
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
    pub(crate) name: Option<String>,
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

impl RawAutoAuth {
    /// The files and sockets that are its own.
    pub(crate) fn files(&self) -> Vec<&Path> {
        own_files(&self.sinks, self.token_store.as_ref())
    }
}

impl AutoAuth {
    /// The files and sockets that are its own.
    pub(crate) fn files(&self) -> Vec<&Path> {
        own_files(&self.sinks, self.token_store.as_ref())
    }
}

fn own_files<'a>(sinks: &'a [Sink], store: Option<&'a TokenStore>) -> Vec<&'a Path> {
    let sinks = sinks.iter().map(|sink| match &sink.kind {
        SinkKind::File(file) => &file.path,
        SinkKind::Socket(socket) => &socket.path,
        SinkKind::SystemdCredential(systemd) => &systemd.path,
    });
    let stores = store.iter().map(|store| &store.path);
    sinks.chain(stores).map(PathBuf::as_path).filter(|path| !path.as_os_str().is_empty()).collect()
}

pub(crate) const PREFIX: &str = "error parsing 'auto_auth': ";

fn read<'a>(file: &Fields<'a>, block: &Block<'a>, environment: &Environment) -> RawAutoAuth {
    let fields = file.inside("auto_auth", block, PREFIX);
    let mut raw = RawAutoAuth {
        name: read_name(&fields, block),
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

/// The label, which upstream passes over.
fn read_name(fields: &Fields<'_>, block: &Block<'_>) -> Option<String> {
    let [label] = block.labels.as_slice() else {
        if block.labels.len() > 1 {
            fields.refuse_with(block.span, "an auto_auth has one name", "auto_auth \"name\" { … }");
        }
        return None;
    };
    if label.text.chars().any(char::is_control) || label.text.len() > LONGEST_NAME {
        let hint = format!("at most {LONGEST_NAME} bytes, no control characters");
        fields.refuse_with(label.span, "this cannot be the name of an auto_auth", hint);
        return None;
    }
    Some(label.text.clone()).filter(|name| !name.is_empty())
}

/// Names stand in every log line of theirs.
const LONGEST_NAME: usize = 64;

/// Blocks inside `auto_auth`, which in JSON are not its label.
const BLOCKS: &[&str] = &["method", "sink", "sinks", "token_store"];

/// Every `auto_auth` of a file: one without a name, and any number with one.
pub(crate) fn read_all(file: &Fields<'_>, environment: &Environment) -> Vec<RawAutoAuth> {
    let mut all: Vec<RawAutoAuth> = Vec::new();
    for block in file.blocks("auto_auth", Labels::Wanted(BLOCKS)) {
        let raw = read(file, &block, environment);
        match all.iter().find(|known| known.name == raw.name) {
            None => all.push(raw),
            Some(first) => {
                let message = match &raw.name {
                    None => "at most one \"auto_auth\" block is allowed".to_owned(),
                    Some(name) => format!("two \"auto_auth\" blocks have the name {name:?}"),
                };
                let line = file.report.source.position(first.place.span.start).line;
                let hint = format!("the first one is in line {line}; give each a name of its own");
                file.with_prefix(PREFIX).refuse_with(block.span, message, hint);
            }
        }
    }
    all
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
