//! `auto_auth { method … sink … }`: how to log in and where to put the token.

use std::path::PathBuf;
use std::time::Duration;

use hcl1::{Kind, Span};
use vault::{Mount, Namespace};

use crate::decode::{Block, Fields, Labels};
use crate::environment::Environment;
use crate::go_duration::GoDuration;
use crate::go_scalar::parse_octal;
use crate::nearest::nearest;
use crate::problem::Place;

/// First wait after a failed login; upstream's.
pub const DEFAULT_MIN_BACKOFF: Duration = Duration::from_secs(1);

/// Longest wait between logins; upstream's.
pub const DEFAULT_MAX_BACKOFF: Duration = Duration::from_secs(300);

/// Mode of a sink's file when none is given; upstream's.
pub const DEFAULT_SINK_MODE: u32 = 0o640;

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

/// An auth method with what all methods share.
#[derive(Clone, Debug, PartialEq)]
pub struct Method {
    /// Which one, with its own keys.
    pub kind: MethodKind,
    /// Where it is mounted, default `auth/<type>`.
    pub mount: Mount,
    /// Namespace of login and renewals, and of everything that uses the token, unless the environment, a flag
    /// or the `vault` stanza names one.
    pub namespace: Option<Namespace>,
    /// First wait after a failed login.
    pub min_backoff: Duration,
    /// Longest wait between logins.
    pub max_backoff: Duration,
    /// End the program on the first failed login instead of waiting.
    pub exit_on_err: bool,
}

/// The methods that are built.
#[derive(Clone, Debug, PartialEq)]
pub enum MethodKind {
    /// A role id and mostly a secret id, from files.
    AppRole(AppRole),
    /// A token somebody else put into a file.
    TokenFile(TokenFile),
}

impl MethodKind {
    /// The `type` of the stanza.
    pub fn name(&self) -> &'static str {
        match self {
            Self::AppRole(_) => "approle",
            Self::TokenFile(_) => "token_file",
        }
    }
}

/// `method "approle"`.
#[derive(Clone, Debug, PartialEq)]
pub struct AppRole {
    /// File with the role id.
    pub role_id_file: PathBuf,
    /// File with the secret id; none for roles that need no secret.
    pub secret_id_file: Option<PathBuf>,
    /// Remove the secret id's file once it was read; default true.
    pub remove_secret_id_file: bool,
    /// The secret id's file holds a wrapping token, and its content must have been made at this path.
    pub wrapping_path: Option<String>,
}

/// `method "token_file"`.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenFile {
    /// The file.
    pub path: PathBuf,
}

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

/// A user or a group.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Identity {
    /// By number.
    Id(u32),
    /// By name, looked up when it is used.
    Name(String),
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
const METHOD_PREFIX: &str = "error parsing 'auto_auth': error parsing 'method': ";
const SINK_PREFIX: &str = "error parsing 'auto_auth': error parsing 'sink' stanzas: ";

/// Method types somebody has: HashiCorp's and OpenBao's, the latter in older versions, and ours to come.
const METHOD_TYPES: &[&str] = &[
    "alicloud",
    "approle",
    "aws",
    "azure",
    "cert",
    "cf",
    "gcp",
    "jwt",
    "kerberos",
    "kubernetes",
    "ldap",
    "oci",
    "pcf",
    "radius",
    "token_file",
    "userpass",
];

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
    for sink in sink_blocks(&fields) {
        let (sink, wraps) = read_sink(&fields, &sink, environment);
        raw.sinks.push(sink);
        sinks_wrap |= wraps;
    }
    read_method(&fields, &mut raw);
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

// === The method ===

fn read_method(auto_auth: &Fields<'_>, raw: &mut RawAutoAuth) {
    let only_one = "one and only one \"method\" block is required";
    let Some(block) = auto_auth.single("method", Labels::Wanted(&["config"]), METHOD_PREFIX, only_one) else {
        return auto_auth.with_prefix(METHOD_PREFIX).refuse_with(
            auto_auth.span,
            only_one,
            "add a block: method \"approle\" { … }",
        );
    };
    let fields = auto_auth.inside("method", &block, METHOD_PREFIX);
    if block.object.is_none() {
        return;
    }
    let kind = fields.kind(&block).filter(|kind| !kind.is_empty()).map(|kind| kind.to_lowercase());
    let mount = fields.filled("mount_path");
    let namespace = fields.filled("namespace").and_then(|text| Namespace::new(&text));
    let wrap_ttl = fields.duration("wrap_ttl").and_then(GoDuration::positive);
    // Upstream reads these two a level up, and its message says so.
    let outer = fields.with_prefix(PREFIX);
    let min_backoff = outer.duration("min_backoff").and_then(GoDuration::positive);
    let max_backoff = outer.duration("max_backoff").and_then(GoDuration::positive);
    let exit_on_err = fields.strict_bool("exit_on_err").unwrap_or(false);
    fields.ignore(&["min_backoff", "max_backoff"]);

    let (min_backoff, max_backoff) =
        (min_backoff.unwrap_or(DEFAULT_MIN_BACKOFF), max_backoff.unwrap_or(DEFAULT_MAX_BACKOFF));
    if min_backoff > max_backoff {
        let start = fields.with_prefix("").at_start("");
        start.refuse_with(
            start.span_of("min_backoff"),
            "auth handler: min_backoff cannot be greater than max_backoff",
            format!("max_backoff is {} seconds", max_backoff.as_secs_f64()),
        );
    }
    if wrap_ttl.is_some() {
        raw.method_wraps = true;
        fields.refuse_not_built(fields.span_of("wrap_ttl"), "\"wrap_ttl\" of an auth method");
    }
    let config = fields.blocks("config", Labels::Ignored);
    match kind {
        None => fields.refuse(block.span, "method type must be specified"),
        Some(kind) => {
            let mount = mount.unwrap_or_else(|| format!("auth/{kind}"));
            let config = fields
                .inside_all("config", &config, "")
                .at_start(format!("Error creating {kind} auth method: "));
            raw.method = read_kind(&kind, config, block.span).map(|kind| Method {
                kind,
                mount: Mount::new(&mount),
                namespace,
                min_backoff,
                max_backoff,
                exit_on_err,
            });
        }
    }
    fields.finish();
}

fn read_kind(kind: &str, config: Fields<'_>, span: Span) -> Option<MethodKind> {
    match kind {
        "approle" => {
            let method = read_approle(&config).map(MethodKind::AppRole);
            config.finish();
            method
        }
        "token_file" => {
            let path = required_path(&config, "token_file_path");
            config.finish();
            path.map(|path| MethodKind::TokenFile(TokenFile { path }))
        }
        known if METHOD_TYPES.contains(&known) => {
            config.refuse_not_built(span, &format!("auth method {known:?}"));
            None
        }
        unknown => {
            let hint = match nearest(unknown, METHOD_TYPES) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("the auth methods are {}", METHOD_TYPES.join(", ")),
            };
            config.refuse_with(span, format!("unknown auth method {unknown:?}"), hint);
            None
        }
    }
}

fn read_approle(config: &Fields<'_>) -> Option<AppRole> {
    let role_id_file = required_path(config, "role_id_file_path");
    let secret_id_file = config_text(config, "secret_id_file_path").filter(|path| !path.is_empty());
    let remove = config.lax_bool("remove_secret_id_file_after_reading");
    let wrapping_path = config_text(config, "secret_id_response_wrapping_path");
    if wrapping_path.as_deref() == Some("") {
        const KEY: &str = "secret_id_response_wrapping_path";
        config.refuse(config.span_of(KEY), format!("'{KEY}' value is empty"));
    }
    Some(AppRole {
        role_id_file: role_id_file?,
        secret_id_file: secret_id_file.map(PathBuf::from),
        remove_secret_id_file: remove.unwrap_or(true),
        wrapping_path,
    })
}

fn required_path(config: &Fields<'_>, key: &'static str) -> Option<PathBuf> {
    if !config.has(key) {
        config.refuse(config.span, format!("missing '{key}' value"));
        return None;
    }
    match config_text(config, key) {
        Some(path) if path.is_empty() => {
            config.refuse(config.span_of(key), format!("'{key}' value is empty"));
            None
        }
        path => path.map(PathBuf::from),
    }
}

/// Text that must be a string: here alone upstream takes no number for it.
fn config_text(config: &Fields<'_>, key: &'static str) -> Option<String> {
    if let Some(Kind::String(_)) = config.value(key).map(|value| &value.kind) {
        return config.text(key);
    }
    if config.has(key) {
        config.refuse(config.span_of(key), format!("could not convert '{key}' config value to string"));
    }
    None
}

// === Sinks ===

/// `sink` blocks, those inside `sinks { … }`, and JSON's `"sinks": [{…}]` that names no `sink`.
fn sink_blocks<'a>(auto_auth: &Fields<'a>) -> Vec<Block<'a>> {
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
fn read_sink<'a>(auto_auth: &Fields<'a>, block: &Block<'a>, environment: &Environment) -> (FileSink, bool) {
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

/// The permission bits of a file, with those for setuid, setgid and sticky.
const ALL_BITS: i64 = 0o7777;

/// A file's mode: a number as it stands (0640 is octal in HCL, JSON writes 416), or octal digits in a string.
pub(crate) fn read_mode(fields: &Fields<'_>, key: &'static str) -> Option<u32> {
    let value = fields.value(key)?;
    let mode = match &value.kind {
        Kind::Number(text) => {
            let mode = fields.integer(key)?;
            if !text.starts_with('0') && fields.is_hcl() && mode > 7 {
                fields.warn(
                    value.span,
                    format!("`{key}` is the decimal number {text}, which is the mode 0{mode:o}"),
                    format!("octal numbers start with a zero: 0{text}"),
                );
            }
            mode
        }
        Kind::Null => return None,
        _ => {
            let text = fields.text(key)?;
            match parse_octal(&text) {
                Ok(mode) => i64::from(mode),
                Err(why) => {
                    fields.refuse_with(
                        value.span,
                        format!("'{key}' {why}"),
                        "write the mode in octal digits: \"0640\"",
                    );
                    return None;
                }
            }
        }
    };
    match u32::try_from(mode) {
        Ok(bits) if mode <= ALL_BITS => Some(bits),
        _ => {
            fields.refuse_with(
                value.span,
                format!("'{key}' {mode} is no mode of a file"),
                "modes go from 0 to 07777",
            );
            None
        }
    }
}

/// A user or a group, by name or by number.
pub(crate) fn read_identity(fields: &Fields<'_>, key: &'static str) -> Option<Identity> {
    if let Some(Kind::Number(_)) = fields.value(key).map(|value| &value.kind) {
        return read_id(fields, key);
    }
    let text = fields.filled(key)?;
    Some(match text.parse() {
        Ok(id) => Identity::Id(id),
        Err(_) => Identity::Name(text),
    })
}

/// A user or a group by number; -1 leaves it alone.
pub(crate) fn read_id(fields: &Fields<'_>, key: &'static str) -> Option<Identity> {
    let id = fields.integer(key)?;
    if id == -1 {
        return None;
    }
    match u32::try_from(id) {
        // The last number is the kernel's own "leave it alone".
        Ok(id) if id != u32::MAX => Some(Identity::Id(id)),
        _ => {
            fields
                .refuse(fields.span_of(key), format!("`{key}` must be -1 or the number of a user or group"));
            None
        }
    }
}
