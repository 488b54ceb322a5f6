//! `method { … }`: how to log in.

use std::path::PathBuf;
use std::time::Duration;

use hcl1::{Kind, Span};
use vault::{Mount, Namespace};

use super::{PREFIX, RawAutoAuth};
use crate::decode::{Fields, Labels};
use crate::go_duration::GoDuration;
use crate::nearest::nearest;

/// First wait after a failed login; upstream's.
pub const DEFAULT_MIN_BACKOFF: Duration = Duration::from_secs(1);

/// Longest wait between logins; upstream's.
pub const DEFAULT_MAX_BACKOFF: Duration = Duration::from_secs(300);

/// An auth method with what all methods share.
#[derive(Clone, Debug, PartialEq)]
pub struct Method {
    /// Which one, with its own keys.
    pub kind: MethodKind,
    /// Where it is mounted, default `auth/<type>`.
    pub mount: Mount,
    /// As the stanza has it; [`super::Vault::namespace`] is what counts in the end.
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

// === Reading ===

const METHOD_PREFIX: &str = "error parsing 'auto_auth': error parsing 'method': ";

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

pub(super) fn read(auto_auth: &Fields<'_>, raw: &mut RawAutoAuth) {
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
