//! `method { … }`: how to log in. What all methods share is here, the keys of each in its own file.
//!
//! To add one: a file with its keys and `read`, a variant of [`MethodKind`], a line in `KINDS`.

mod alicloud;
mod approle;
mod aws;
mod azure;
mod cert;
mod cf;
mod gcp;
mod jwt;
mod kerberos;
mod keys;
mod kubernetes;
mod oci;
mod password;
mod spiffe;
mod token_file;

use std::time::Duration;

use hcl1::Span;
use vault::{Mount, Namespace};

use super::{PREFIX, RawAutoAuth};
use crate::decode::{Fields, Labels};
use crate::go_duration::GoDuration;
use crate::nearest::nearest;

pub use alicloud::{AliCloud, AliCloudSource};
pub use approle::AppRole;
pub use aws::{Aws, AwsEc2, AwsIam, AwsKeys, AwsLogin, AwsNonce, DEFAULT_AWS_REGION};
pub use azure::{Azure, AzureIdentity};
pub use cert::Cert;
pub use cf::Cf;
pub use gcp::{DEFAULT_JWT_LIFETIME, Gcp, GcpIam, GcpKind};
pub use jwt::Jwt;
pub use kerberos::Kerberos;
pub use keys::{CredentialFile, DEFAULT_READ_PERIOD, DEFAULT_READ_PERIOD_WHEN_REMOVED, Removal};
pub use kubernetes::Kubernetes;
pub use oci::{DEFAULT_OCI_POLL_INTERVAL, DEFAULT_OCI_PROFILE, Oci, OciKind};
pub use password::{Password, PasswordSource};
pub use spiffe::{SendAs, Spiffe};
pub use token_file::TokenFile;

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
    /// The login's token is wrapped by the server; the one sink gets the wrapping, which lives so long.
    pub wrap_ttl: Option<Duration>,
}

/// A method's own keys.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each is the method of its name")]
pub enum MethodKind {
    AliCloud(AliCloud),
    AppRole(AppRole),
    Aws(Aws),
    Azure(Azure),
    Cert(Cert),
    Cf(Cf),
    Gcp(Gcp),
    Jwt(Jwt),
    Kerberos(Kerberos),
    Kubernetes(Kubernetes),
    Ldap(Password),
    Oci(Oci),
    Okta(Password),
    Radius(Password),
    Spiffe(Spiffe),
    TokenFile(TokenFile),
    Userpass(Password),
}

impl MethodKind {
    /// The `type` of the stanza.
    pub fn name(&self) -> &'static str {
        match self {
            Self::AliCloud(_) => "alicloud",
            Self::AppRole(_) => "approle",
            Self::Aws(_) => "aws",
            Self::Azure(_) => "azure",
            Self::Cert(_) => "cert",
            Self::Cf(_) => "cf",
            Self::Gcp(_) => "gcp",
            Self::Jwt(_) => "jwt",
            Self::Kerberos(_) => "kerberos",
            Self::Kubernetes(_) => "kubernetes",
            Self::Ldap(_) => "ldap",
            Self::Oci(_) => "oci",
            Self::Okta(_) => "okta",
            Self::Radius(_) => "radius",
            Self::Spiffe(_) => "spiffe",
            Self::TokenFile(_) => "token_file",
            Self::Userpass(_) => "userpass",
        }
    }

    /// The same for a login beside the program's own: it takes no credential away. None where a login uses one up.
    pub fn sparing(&self) -> Option<Self> {
        match self {
            Self::AppRole(approle) if approle.wrapping_path.is_some() => None,
            Self::AppRole(approle) => {
                Some(Self::AppRole(AppRole { remove_secret_id_file: false, ..approle.clone() }))
            }
            // The server binds the instance to the first nonce it sees: another one would lock the program out.
            Self::Aws(Aws { login: AwsLogin::Ec2(AwsEc2 { nonce: AwsNonce::Fresh, .. }), .. }) => None,
            Self::Jwt(jwt) => Some(Self::Jwt(jwt.sparing())),
            Self::Ldap(password) => Some(Self::Ldap(password.sparing())),
            Self::Okta(password) => Some(Self::Okta(password.sparing())),
            Self::Radius(password) => Some(Self::Radius(password.sparing())),
            Self::Userpass(password) => Some(Self::Userpass(password.sparing())),
            Self::AliCloud(_)
            | Self::Aws(_)
            | Self::Azure(_)
            | Self::Cert(_)
            | Self::Cf(_)
            | Self::Gcp(_)
            | Self::Kerberos(_)
            | Self::Kubernetes(_)
            | Self::Oci(_)
            | Self::Spiffe(_)
            | Self::TokenFile(_) => Some(self.clone()),
        }
    }
}

// === Reading ===

const METHOD_PREFIX: &str = "error parsing 'auto_auth': error parsing 'method': ";

type Read = fn(&Fields<'_>) -> Option<MethodKind>;

/// The methods by their types.
const KINDS: &[(&str, Read)] = &[
    ("alicloud", |config| alicloud::read(config).map(MethodKind::AliCloud)),
    ("approle", |config| approle::read(config).map(MethodKind::AppRole)),
    ("aws", |config| aws::read(config).map(MethodKind::Aws)),
    ("azure", |config| azure::read(config).map(MethodKind::Azure)),
    ("cert", |config| cert::read(config).map(MethodKind::Cert)),
    ("cf", |config| cf::read(config).map(MethodKind::Cf)),
    ("gcp", |config| gcp::read(config).map(MethodKind::Gcp)),
    ("jwt", |config| jwt::read(config).map(MethodKind::Jwt)),
    ("kerberos", |config| kerberos::read(config).map(MethodKind::Kerberos)),
    ("kubernetes", |config| kubernetes::read(config).map(MethodKind::Kubernetes)),
    ("ldap", |config| password::read(config).map(MethodKind::Ldap)),
    ("oci", |config| oci::read(config).map(MethodKind::Oci)),
    ("okta", |config| password::read(config).map(MethodKind::Okta)),
    ("pcf", |config| cf::read(config).map(MethodKind::Cf)),
    ("radius", |config| password::read(config).map(MethodKind::Radius)),
    ("spiffe", |config| spiffe::read(config).map(MethodKind::Spiffe)),
    ("token_file", |config| token_file::read(config).map(MethodKind::TokenFile)),
    ("userpass", |config| password::read(config).map(MethodKind::Userpass)),
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
    if mount.as_ref().is_some_and(|mount| mount.split('/').any(|piece| matches!(piece, "." | ".."))) {
        let message = "'mount_path' leads elsewhere by \".\" or \"..\"";
        fields.refuse_with(fields.span_of("mount_path"), message, "write the path itself, \"auth/approle\"");
    }
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
    raw.method_wraps = wrap_ttl.is_some();
    if wrap_ttl.is_some() && kind.as_deref() == Some("token_file") {
        fields.with_prefix("").at_start("Error creating token_file auth method: ").refuse_with(
            fields.span_of("wrap_ttl"),
            "'wrap_ttl' wraps what a login gives, and this method does not log in",
            "move `wrap_ttl` into the sink",
        );
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
                wrap_ttl,
            });
        }
    }
    fields.finish();
}

fn read_kind(kind: &str, config: Fields<'_>, span: Span) -> Option<MethodKind> {
    if let Some((_, read)) = KINDS.iter().find(|(name, _)| *name == kind) {
        let method = read(&config);
        config.finish();
        return method;
    }
    let names: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
    let hint = match nearest(kind, &names) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("the auth methods are {}", names.join(", ")),
    };
    config.refuse_with(span, format!("unknown auth method {kind:?}"), hint);
    None
}
