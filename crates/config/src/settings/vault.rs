//! `vault { … }`: the server.

use std::time::Duration;

use vault::{Address, HostPattern, Namespace, Proxies, RateLimit, RedirectHosts, RetryPolicy, TlsSettings};

use crate::decode::{Block, Fields, Labels};
use crate::problem::Placed;

/// The address when neither file, flag nor environment names one; upstream's.
pub const DEFAULT_ADDRESS: &str = "https://127.0.0.1:8200";

/// How long one request may take, all retries together, when `VAULT_CLIENT_TIMEOUT` is not set; upstream's.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// The server and how to speak to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Vault {
    /// Its address.
    pub address: Address,
    /// Other addresses of the same cluster (`addresses`), asked while the first cannot be.
    pub others: Vec<Address>,
    /// Certificates.
    pub tls: TlsSettings,
    /// Namespace of our own requests (login, renewals, templates); clients of the proxy name their own. The
    /// flag's, else the environment's, else the auth method's, else the stanza's.
    pub namespace: Option<Namespace>,
    /// `retry.num_retries`, or `VAULT_MAX_RETRIES`.
    pub retry: RetryPolicy,
    /// `VAULT_CLIENT_TIMEOUT`.
    pub timeout: Duration,
    /// Where redirects may lead (`redirect_hosts`, `follow_redirects_any_host`).
    pub redirect_hosts: RedirectHosts,
    /// HTTP proxies, from the environment.
    pub proxies: Proxies,
    /// `VAULT_RATE_LIMIT`.
    pub rate_limit: Option<RateLimit>,
}

/// The stanza as it was read, before flags and environment.
#[derive(Debug, Default)]
pub(crate) struct RawVault {
    pub(crate) address: Option<Placed<String>>,
    pub(crate) addresses: Option<Placed<Vec<String>>>,
    pub(crate) ca_cert: Option<Placed<String>>,
    pub(crate) ca_path: Option<Placed<String>>,
    pub(crate) client_cert: Option<Placed<String>>,
    pub(crate) client_key: Option<Placed<String>>,
    pub(crate) tls_server_name: Option<Placed<String>>,
    pub(crate) tls_skip_verify: Option<bool>,
    pub(crate) namespace: Option<Placed<String>>,
    pub(crate) num_retries: Option<i64>,
    pub(crate) redirect_hosts: RedirectHosts,
}

pub(crate) const PREFIX: &str = "error parsing 'vault':";

pub(crate) fn read<'a>(file: &Fields<'a>, block: &Block<'a>) -> RawVault {
    let fields = file.inside("vault", block, PREFIX);
    let raw = RawVault {
        address: fields.placed("address"),
        addresses: fields
            .strings("addresses")
            .map(|value| Placed { value, place: fields.report.place(fields.span_of("addresses")) }),
        ca_cert: fields.placed("ca_cert"),
        ca_path: fields.placed("ca_path"),
        client_cert: fields.placed("client_cert"),
        client_key: fields.placed("client_key"),
        tls_server_name: fields.placed("tls_server_name"),
        tls_skip_verify: fields.lax_bool("tls_skip_verify"),
        namespace: fields.placed("namespace"),
        num_retries: read_retry(&fields),
        redirect_hosts: read_redirects(&fields),
    };
    fields.finish();
    raw
}

/// A list of hosts means these and no others, unless somebody says otherwise.
fn read_redirects(vault: &Fields<'_>) -> RedirectHosts {
    let listed = vault.strings("redirect_hosts");
    let any = vault.strict_bool("follow_redirects_any_host");
    let span = vault.span_of("redirect_hosts");
    let mut patterns = Vec::new();
    for text in listed.iter().flatten() {
        match HostPattern::parse(text) {
            Ok(pattern) => patterns.push(pattern),
            Err(why) => vault.refuse_with(
                span,
                format!("invalid host {text:?} in `redirect_hosts`: {why}"),
                "name hosts as \"vault-1.example.com\", \"vault-1.example.com:8200\" or \"*.vault.internal\"",
            ),
        }
    }
    if any == Some(true) && !patterns.is_empty() {
        let hint = "leave out `follow_redirects_any_host` to allow these hosts alone";
        vault.warn(span, "`redirect_hosts` has no effect while any host is allowed", hint);
    }
    if any.unwrap_or(listed.is_none()) { RedirectHosts::Any } else { RedirectHosts::Known(patterns) }
}

fn read_retry(vault: &Fields<'_>) -> Option<i64> {
    const PREFIX: &str = "error parsing 'vault':error parsing 'retry': ";
    let only_one = "one and only one \"retry\" block is required";
    let block = vault.single("retry", Labels::Ignored, PREFIX, only_one)?;
    let fields = vault.inside("retry", &block, PREFIX);
    // Upstream finds a bad number before it knows the stanza.
    let num_retries = fields.with_prefix("").integer("num_retries");
    fields.ignore(&["num_retries"]);
    fields.finish();
    num_retries
}
