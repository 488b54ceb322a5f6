//! `persist "file" { … }` of `cache`: what is remembered outlives a restart. Upstream has only `kubernetes`.

use std::path::PathBuf;

use atomic_file::KeySource;
use hcl1::Span;

use crate::decode::{Fields, Labels};

/// Where the cache is kept between two runs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Persist {
    /// The folder of the file.
    pub path: PathBuf,
    /// What seals it.
    pub key: PersistKey,
    /// Whether a file that was taken in stays in use. Without it the file is removed and nothing more is written.
    pub keep_after_import: bool,
    /// Whether a file that cannot be taken in ends the program.
    pub exit_on_err: bool,
}

/// What seals the file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PersistKey {
    /// A random key.
    Key(KeySource),
    /// What a person made up, in a file.
    Passphrase(PathBuf),
    /// A Kubernetes service account, and a random key beside it if there is one.
    Kubernetes {
        /// The account's token; only who it names counts.
        token_file: PathBuf,
        /// The random key.
        secret: Option<KeySource>,
    },
}

const PREFIX: &str = "error parsing 'cache':error parsing persist: ";

/// The prefix of what upstream says at start.
const AT_START: &str = "Error creating persistent cache: ";

/// Where Kubernetes puts the token.
const TOKEN_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

const TYPES: &str = "one of \"file\", \"keyring\", \"kubernetes\", \"passphrase\" and \"systemd\"";

/// Keys of one type each; they mean nothing to the others.
const OF_TYPES: &[(&str, &[&str])] = &[
    ("credential", &["systemd"]),
    ("key_file", &["file", "kubernetes"]),
    ("key_name", &["keyring"]),
    ("passphrase_file", &["passphrase"]),
    ("service_account_token_file", &["kubernetes"]),
];

/// Checked as upstream does, so that the first complaint is the one the user can do something about.
pub(super) fn read(cache: &Fields<'_>) -> Option<Persist> {
    let only_one = "only one \"persist\" block is required";
    let block = cache.single("persist", Labels::Wanted(&[]), PREFIX, only_one)?;
    let fields = cache.inside("persist", &block, PREFIX);
    block.object?;
    let kind = fields.kind(&block).unwrap_or_default().to_lowercase();
    if kind.is_empty() {
        fields.refuse(block.span, "persist type must be specified");
    }
    let path = fields.file("path");
    let token_file = fields.file("service_account_token_file");
    let (key_file, passphrase) = (fields.file("key_file"), fields.file("passphrase_file"));
    let (credential, key_name) = (fields.filled("credential"), fields.filled("key_name"));
    let keep_after_import = fields.strict_bool("keep_after_import");
    let exit_on_err = fields.strict_bool("exit_on_err");
    fields.ignore(&["type"]);
    let start = fields.with_prefix("").at_start(AT_START);
    let needs = |what: &str, hint: &str| {
        start.refuse_with(block.span, format!("'{what}' is missing"), hint.to_owned());
    };
    for (key, types) in OF_TYPES {
        if !kind.is_empty() && fields.has(key) && !types.contains(&kind.as_str()) {
            let message = format!("'{key}' means nothing to the type {kind:?}");
            fields.warn(fields.key_span(key), message, format!("it is for {}", types.join(" and ")));
        }
    }
    if path.is_none() && !kind.is_empty() {
        start.refuse_with(
            block.span,
            "must specify persistent cache path",
            "name a folder that only this user may write to: path = \"…\"",
        );
    }
    let key = match kind.as_str() {
        "" => None,
        "file" => {
            if key_file.is_none() {
                needs("key_file", "name a file of random bytes that only this user may read");
            }
            key_file.map(|file| PersistKey::Key(KeySource::File(file)))
        }
        "keyring" => {
            if key_name.is_none() {
                needs("key_name", "the description of a key of type \"user\" in the kernel's keyring");
            }
            key_name.map(|name| PersistKey::Key(KeySource::Keyring(name)))
        }
        "kubernetes" => Some(PersistKey::Kubernetes {
            token_file: token_file.unwrap_or_else(|| TOKEN_FILE.into()),
            secret: key_file.map(KeySource::File),
        }),
        "passphrase" => {
            if passphrase.is_none() {
                needs(
                    "passphrase_file",
                    "name a file that holds the passphrase and that only this user may read",
                );
            }
            passphrase.map(PersistKey::Passphrase)
        }
        "systemd" => {
            let hint = "as in LoadCredential=NAME:PATH of the service";
            match credential {
                None => needs("credential", hint),
                Some(ref name) => check_credential(&start, fields.span_of("credential"), name, hint),
            }
            credential.map(|name| PersistKey::Key(KeySource::Credential(name)))
        }
        other => {
            let message = format!("persistent key protection type {other:?} not supported");
            start.refuse_with(block.span, message, format!("use {TYPES}"));
            None
        }
    };
    fields.finish();
    Some(Persist {
        path: path?,
        keep_after_import: keep_after_import.unwrap_or(kind != "kubernetes"),
        exit_on_err: exit_on_err.unwrap_or(false),
        key: key?,
    })
}

fn check_credential(fields: &Fields<'_>, span: Span, name: &str, hint: &str) {
    if name.contains('/') || name == "." || name == ".." {
        fields.refuse_with(span, "'credential' is the name of a systemd credential, not a path", hint);
    }
}
