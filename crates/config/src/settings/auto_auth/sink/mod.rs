//! `sink { … }`: where a token is put, and in which form. What all sinks share is here, the keys of each in its own
//! file.

mod encryption;
mod file;
mod socket;
mod systemd;

use std::time::Duration;

use crate::decode::{Block, Fields, Labels};
use crate::environment::Environment;
use crate::go_duration::GoDuration;
use crate::nearest::nearest;

pub use encryption::Encryption;
pub use file::{DEFAULT_SINK_MODE, FileSink};
pub use socket::{DEFAULT_SOCKET_MODE, SocketSink};
pub use systemd::{CredentialPattern, DEFAULT_CREDENTIAL_MODE, Pattern, SystemdSink};

/// A place where each new token is put.
#[derive(Clone, Debug, PartialEq)]
pub struct Sink {
    /// Which one, with its own keys.
    pub kind: SinkKind,
    /// The token is wrapped by the server, and the wrapping lives so long.
    pub wrap_ttl: Option<Duration>,
    /// It is encrypted for one reader.
    pub encryption: Option<Encryption>,
}

/// A sink's own keys.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each is the sink of its name")]
pub enum SinkKind {
    File(FileSink),
    Socket(SocketSink),
    SystemdCredential(SystemdSink),
}

// === Reading ===

const SINK_PREFIX: &str = "error parsing 'auto_auth': error parsing 'sink' stanzas: ";

type Read = fn(&Fields<'_>) -> SinkKind;

/// The sinks by their types.
const KINDS: &[(&str, Read)] = &[
    ("file", |config| SinkKind::File(file::read(config))),
    ("socket", |config| SinkKind::Socket(socket::read(config))),
    ("systemd_credential", |config| SinkKind::SystemdCredential(systemd::read(config))),
];

/// `sink` blocks, those inside `sinks { … }`, and JSON's `"sinks": [{…}]` that names no `sink`.
pub(super) fn blocks<'a>(auto_auth: &Fields<'a>) -> Vec<Block<'a>> {
    const LABELS: Labels = Labels::Wanted(&["config"]);
    let outer = auto_auth.with_prefix(SINK_PREFIX);
    let mut blocks = outer.blocks("sink", LABELS);
    auto_auth.ignore(&["sink", "sinks"]);
    for wrapper in outer.blocks("sinks", Labels::Ignored) {
        let inside = auto_auth.inside("sinks", &wrapper, SINK_PREFIX);
        if inside.has("config") || inside.has("type") {
            blocks.push(wrapper);
        } else {
            blocks.extend(inside.blocks("sink", LABELS));
            inside.finish();
        }
    }
    blocks
}

/// A sink, a stand-in after an error.
pub(super) fn read<'a>(auto_auth: &Fields<'a>, block: &Block<'a>, environment: &Environment) -> Sink {
    let stand_in = SinkKind::File(FileSink::default());
    let fields = auto_auth.inside("sink", block, SINK_PREFIX);
    if block.object.is_none() {
        return Sink { kind: stand_in, wrap_ttl: None, encryption: None };
    }
    let kind = fields.kind(block).filter(|kind| !kind.is_empty()).map(|kind| kind.to_lowercase());
    let named = fields.with_prefix(format!("{SINK_PREFIX}sink.{} ", kind.as_deref().unwrap_or("file")));
    let wrap_ttl = named.duration("wrap_ttl").and_then(GoDuration::positive);
    let encryption = encryption::read(&fields, &named, environment);
    fields.ignore(&["wrap_ttl"]);
    let config = fields.blocks("config", Labels::Ignored);
    let config = fields.inside_all("config", &config, "");
    let kind = match kind.as_deref() {
        None => {
            fields.refuse(block.span, "sink type must be specified");
            stand_in
        }
        Some(kind) => match KINDS.iter().find(|(name, _)| *name == kind) {
            Some((name, read)) => {
                let config = config.at_start(format!("error creating {name} sink: "));
                let kind = read(&config);
                if let (SinkKind::File(FileSink { restore: true, .. }), Some(_)) = (&kind, wrap_ttl) {
                    config.refuse_with(
                        config.span_of("restore"),
                        "'restore' cannot go with 'wrap_ttl'",
                        "a wrapped token is good for one reader; remove `restore`",
                    );
                }
                config.finish();
                kind
            }
            None => {
                let names: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
                let hint = match nearest(kind, &names) {
                    Some(near) => format!("did you mean {near:?}?"),
                    None => format!("the types of sinks are {}", names.join(", ")),
                };
                let start = fields.with_prefix("").at_start("");
                start.refuse_with(block.span, format!("Unknown sink type {kind:?}"), hint);
                stand_in
            }
        },
    };
    fields.finish();
    Sink { kind, wrap_ttl, encryption }
}
