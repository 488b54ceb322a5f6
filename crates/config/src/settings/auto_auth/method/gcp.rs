//! `method "gcp"`.

use std::time::Duration;

use hcl1::Kind;
use vault::SecretString;

use super::keys::{piece, required, string};
use crate::decode::Fields;

/// How long a JWT of type `iam` is good for when nobody says; upstream's.
pub const DEFAULT_JWT_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// The longest that Google signs, in minutes: twelve hours.
const MAX_JWT_MINUTES: i64 = 12 * 60;

/// What upstream calls a machine's own service account.
const DEFAULT_ACCOUNT: &str = "default";

/// A Google service account.
#[derive(Clone, Debug, PartialEq)]
pub struct Gcp {
    /// How the account is proven.
    pub kind: GcpKind,
    /// The role at the server.
    pub role: String,
    /// The account's e-mail address; `None` for the machine's own (`gce`), or that of the credentials (`iam`).
    pub service_account: Option<String>,
    /// The metadata server instead of Google's name for it: `host`, `host:port` or a URL.
    pub metadata_endpoint: Option<String>,
}

/// How a Google service account is proven.
#[derive(Clone, Debug, PartialEq)]
pub enum GcpKind {
    /// The metadata server gives an identity token.
    Gce,
    /// A JWT that Google signs for the account.
    Iam(GcpIam),
}

/// Keys of type `iam`.
#[derive(Clone, Debug, PartialEq)]
pub struct GcpIam {
    /// Credentials in JSON, which come before all other places.
    pub credentials: Option<SecretString>,
    /// How long the JWT is good for.
    pub jwt_lifetime: Duration,
    /// Sign with the key of the credentials instead of asking Google to.
    pub sign_locally: bool,
    /// URL of the IAM credentials service, for private endpoints.
    pub iam_endpoint: Option<String>,
}

pub(super) fn read(config: &Fields<'_>) -> Option<Gcp> {
    let kind = required(config, "type");
    let role = required(config, "role");
    let known = match kind.as_deref() {
        Some(known @ ("gce" | "iam")) => Some(known),
        Some(_) => {
            let hint = "the types are \"gce\" and \"iam\"";
            config.refuse_with(config.span_of("type"), "'type' value is invalid", hint);
            None
        }
        None => None,
    };
    let credentials = text(config, "credentials").filter(|json| !json.is_empty());
    let service_account = piece(config, "service_account", text(config, "service_account"));
    // Upstream reads it and makes no use of it.
    text(config, "project");
    let jwt_lifetime = read_lifetime(config);
    let sign_locally = config.lax_bool("sign_locally").unwrap_or(false);
    let iam_endpoint = config.filled("iam_endpoint");
    let kind = match known? {
        "gce" => GcpKind::Gce,
        _ => GcpKind::Iam(GcpIam {
            credentials: credentials.map(SecretString::from),
            jwt_lifetime,
            sign_locally,
            iam_endpoint,
        }),
    };
    Some(Gcp {
        kind,
        role: role?,
        service_account: service_account.filter(|name| !name.is_empty() && name != DEFAULT_ACCOUNT),
        metadata_endpoint: config.filled("metadata_endpoint"),
    })
}

/// Minutes; 0 is the default, as upstream has it.
fn read_lifetime(config: &Fields<'_>) -> Duration {
    const KEY: &str = "jwt_exp";
    let minutes = config.with_prefix(format!("{}error parsing 'jwt_raw' into integer: ", config.prefix()));
    config.ignore(&[KEY]);
    match minutes.integer(KEY) {
        None | Some(0) => DEFAULT_JWT_LIFETIME,
        Some(wanted @ 1..=MAX_JWT_MINUTES) => Duration::from_secs(wanted.unsigned_abs() * 60),
        Some(_) => {
            let message = format!("'{KEY}' must be between 1 and {MAX_JWT_MINUTES} minutes");
            config.refuse(config.span_of(KEY), message);
            DEFAULT_JWT_LIFETIME
        }
    }
}

/// Text that must be a string, in this method's own words.
fn text(config: &Fields<'_>, key: &'static str) -> Option<String> {
    match config.value(key).map(|value| &value.kind) {
        None | Some(Kind::String(_)) => string(config, key),
        Some(_) => {
            config.refuse(config.span_of(key), format!("could not convert '{key}' value into string"));
            None
        }
    }
}
