//! What the keys become, stanza by stanza.

mod api_proxy;
mod auto_auth;
mod cache;
mod listener;
mod listener_refusals;
mod sinks;
mod telemetry;
mod templates;
mod vault;

use config::{FileSink, Sink, SinkKind};

fn file(sink: &Sink) -> &FileSink {
    let SinkKind::File(file) = &sink.kind else { panic!("{sink:?}") };
    file
}
