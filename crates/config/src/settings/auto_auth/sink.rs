//! `sink { … }`: where a token is put.

use std::path::PathBuf;

use crate::decode::{Block, Fields, Labels};
use crate::environment::Environment;
use crate::go_duration::GoDuration;
use crate::settings::file_access::{Identity, read_id, read_identity, read_mode};

/// Mode of a sink's file when none is given; upstream's.
pub const DEFAULT_SINK_MODE: u32 = 0o640;

/// `sink "file"`.
#[derive(Clone, Debug, PartialEq)]
pub struct FileSink {
    /// The file.
    pub path: PathBuf,
    /// Its mode, whatever the umask says.
    pub mode: u32,
    /// Its owner, if it is to be changed.
    pub owner: Option<Identity>,
    /// Its group, if it is to be changed.
    pub group: Option<Identity>,
}

// === Reading ===

const SINK_PREFIX: &str = "error parsing 'auto_auth': error parsing 'sink' stanzas: ";

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

/// The sink, and whether it wraps.
pub(super) fn read<'a>(
    auto_auth: &Fields<'a>,
    block: &Block<'a>,
    environment: &Environment,
) -> (FileSink, bool) {
    let mut sink = FileSink { path: PathBuf::new(), mode: DEFAULT_SINK_MODE, owner: None, group: None };
    let fields = auto_auth.inside("sink", block, SINK_PREFIX);
    if block.object.is_none() {
        return (sink, false);
    }
    let kind = fields.kind(block).filter(|kind| !kind.is_empty()).map(|kind| kind.to_lowercase());
    let named = fields.with_prefix(format!("{SINK_PREFIX}sink.file "));
    let wraps = named.duration("wrap_ttl").and_then(GoDuration::positive).is_some();
    let encrypts = read_encryption(&fields, &named, environment);
    if wraps {
        fields.refuse_not_built(fields.span_of("wrap_ttl"), "\"wrap_ttl\" of a sink");
    }
    if encrypts {
        fields.refuse_not_built(fields.span_of("dh_type"), "\"dh_type\"");
    }
    fields.ignore(&["wrap_ttl"]);
    let config = fields.blocks("config", Labels::Ignored);
    let config = fields.inside_all("config", &config, "").at_start("error creating file sink: ");
    match kind.as_deref() {
        None => fields.refuse(block.span, "sink type must be specified"),
        Some("file") => {
            read_file_sink(&config, &mut sink);
            config.finish();
        }
        Some(other) => {
            fields.with_prefix("").at_start("").refuse_with(
                block.span,
                format!("Unknown sink type {other:?}"),
                "the only type of sink is \"file\"",
            );
        }
    }
    fields.finish();
    (sink, wraps)
}

/// Whether the token is to be encrypted, with upstream's checks.
fn read_encryption(fields: &Fields<'_>, named: &Fields<'_>, environment: &Environment) -> bool {
    let dh_type = fields.filled("dh_type");
    let dh_path = fields.filled("dh_path");
    let derive_key = fields.strict_bool("derive_key").unwrap_or(false);
    let mut aad = fields.text("aad").unwrap_or_default();
    if let Some(value) = fields.filled("aad_env_var").and_then(|name| environment.exact(&name)) {
        aad = value.to_owned();
    }
    match dh_type.as_deref() {
        None | Some("curve25519") => {}
        Some(_) => {
            named.refuse_with(
                fields.span_of("dh_type"),
                "invalid value for 'dh_type'",
                "the only type is \"curve25519\"",
            );
            return false;
        }
    }
    if dh_type.is_some() != dh_path.is_some() {
        let given = if dh_type.is_some() { "dh_type" } else { "dh_path" };
        named.refuse(fields.span_of(given), "'dh_type' and 'dh_path' must be specified together");
        return false;
    }
    if dh_type.is_none() && !aad.is_empty() {
        let given = if fields.has("aad_env_var") { "aad_env_var" } else { "aad" };
        named.refuse(fields.span_of(given), "specifying AAD data without 'dh_type' does not make sense");
    }
    if dh_type.is_none() && derive_key {
        named.refuse(
            fields.span_of("derive_key"),
            "specifying 'derive_key' data without 'dh_type' does not make sense",
        );
    }
    dh_type.is_some()
}

fn read_file_sink(config: &Fields<'_>, sink: &mut FileSink) {
    match config.text("path") {
        Some(path) if !path.is_empty() => sink.path = PathBuf::from(path),
        _ => config.refuse(config.span, "'path' not specified for file sink"),
    }
    if let Some(mode) = read_mode(config, "mode") {
        sink.mode = mode;
    }
    sink.owner = read_identity(config, "owner").or_else(|| read_id(config, "uid"));
    sink.group = read_identity(config, "group").or_else(|| read_id(config, "gid"));
    config.ignore(&["uid", "gid"]);
}
