//! `vault { … }`: the server.

use std::time::Duration;

use vault::{Address, Namespace, RetryPolicy, TlsSettings};

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
    };
    fields.finish();
    raw
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
