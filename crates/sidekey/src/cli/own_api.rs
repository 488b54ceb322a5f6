//! Asking a running agent or proxy: its own endpoints, and tables of what they tell.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use config::Environment;
use http::{Method, StatusCode};
use serde_json::Value;
use vault::{
    Address, Client, ClientSettings, Pem, Request, RetryPolicy, Roots, TlsSettings, Upstream as _, Verify,
};

use super::argv::go_bool;
use crate::daemon;

/// A local program answers at once or has a problem.
const PATIENCE: Duration = Duration::from_secs(5);

/// No answer of it is as long.
const LONGEST: usize = 4 * 1024 * 1024;

/// Where it listens, and whom to trust there.
#[derive(Args, Debug)]
pub(super) struct OwnApi {
    /// Where it listens: http://, https:// or unix:///path; $BAO_AGENT_ADDR and $VAULT_AGENT_ADDR say it too
    #[arg(long, value_name = "URL")]
    address: Option<String>,
    /// CA certificate to verify the listener with
    #[arg(long, value_name = "PATH")]
    ca_cert: Option<std::path::PathBuf>,
    /// Do not verify the listener's certificate
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = go_bool)]
    tls_skip_verify: Option<bool>,
    /// Certificate to show to the listener
    #[arg(long, value_name = "PATH", requires = "client_key")]
    client_cert: Option<std::path::PathBuf>,
    /// Key of that certificate
    #[arg(long, value_name = "PATH", requires = "client_cert")]
    client_key: Option<std::path::PathBuf>,
}

/// Where upstream's agent listens when nobody says.
const USUAL: &str = "http://127.0.0.1:8200";

impl OwnApi {
    /// What to say when there was no answer.
    pub(super) const HINT: &str = "hint: -address names a listener of `sidekey agent` or `sidekey proxy`";

    /// What was said, or else where upstream's agent listens.
    pub(super) fn address(&self) -> String {
        let environment = Environment::capture();
        let variable =
            |name: &str| environment.pairs().find(|(known, _)| *known == name).map(|(_, value)| value);
        let said = variable("BAO_AGENT_ADDR").or_else(|| variable("VAULT_AGENT_ADDR")).map(str::to_owned);
        let said = self.address.clone().or(said);
        said.filter(|address| !address.is_empty()).unwrap_or_else(|| USUAL.to_owned())
    }

    /// Somebody to ask; nothing is sent yet.
    ///
    /// # Errors
    /// The address is none, or a certificate cannot be read.
    pub(super) fn open(&self) -> Result<OwnClient, String> {
        let address: Address = self.address().parse().map_err(|error| format!("{error}"))?;
        let tls = TlsSettings {
            roots: self.ca_cert.clone().map_or(Roots::System, Roots::File),
            verify: if self.tls_skip_verify == Some(true) { Verify::Skip } else { Verify::default() },
            identity: match (&self.client_cert, &self.client_key) {
                (Some(certificate), Some(key)) => {
                    Some((Pem::File(certificate.clone()), Pem::File(key.clone())))
                }
                _ => None,
            },
            ..TlsSettings::default()
        };
        let settings = ClientSettings {
            tls,
            timeout: PATIENCE,
            retry: RetryPolicy::Never,
            redirects: false,
            ..ClientSettings::new(address)
        };
        let client = Client::new(&settings).map_err(|error| error.to_string())?;
        let runtime = daemon::runtime().map_err(|error| error.to_string())?;
        Ok(OwnClient { client, runtime })
    }
}

/// Somebody who asks a running agent or proxy.
pub(super) struct OwnClient {
    client: Client,
    runtime: tokio::runtime::Runtime,
}

/// The agent's endpoints, and the proxy's.
pub(super) const PREFIXES: [&str; 2] = ["/agent/v1/", "/proxy/v1/"];

impl OwnClient {
    /// Reads one of its endpoints; gives what it tells, and below which path it has its endpoints.
    ///
    /// # Errors
    /// No answer, or one that is not ours, in words.
    pub(super) fn get(&self, endpoint: &str) -> Result<(Value, &'static str), String> {
        let mut last = String::new();
        for prefix in PREFIXES {
            let (status, told) = self.send(request(Method::GET, prefix, endpoint))?;
            match told {
                Some(told) if status == StatusCode::OK && told["program"] == "sidekey" => {
                    return Ok((told, prefix));
                }
                told => last = refusal(status, told.as_ref()),
            }
        }
        Err(last)
    }

    /// Posts JSON to an endpoint; gives the status, and the JSON if it is some. `prefix` is what [`OwnClient::get`]
    /// said: an agent hands the proxy's endpoints on to its server, and what is posted may be a secret.
    ///
    /// # Errors
    /// No answer, in words.
    pub(super) fn post(
        &self,
        prefix: &str,
        endpoint: &str,
        body: &Value,
    ) -> Result<(StatusCode, Option<Value>), String> {
        self.send(request(Method::POST, prefix, endpoint).json(body))
    }

    /// Posts nothing to an endpoint; gives the status, and the JSON if it is some.
    ///
    /// # Errors
    /// No answer, in words.
    pub(super) fn ask(&self, prefix: &str, endpoint: &str) -> Result<(StatusCode, Option<Value>), String> {
        self.send(request(Method::POST, prefix, endpoint))
    }

    fn send(&self, request: Request) -> Result<(StatusCode, Option<Value>), String> {
        self.runtime.block_on(async {
            let response = self.client.send(request).await.map_err(|error| error.to_string())?;
            let status = response.status;
            let body = response.body.collect(LONGEST, PATIENCE).await.map_err(|error| error.to_string())?;
            Ok((status, serde_json::from_slice(&body).ok()))
        })
    }
}

fn request(method: Method, prefix: &str, endpoint: &str) -> Request {
    Request { target: format!("{prefix}{endpoint}"), ..Request::new(method, "") }
}

/// What an answer says that is not what was asked for.
pub(super) fn refusal(status: StatusCode, told: Option<&Value>) -> String {
    match told {
        Some(told) => format!("{status} {}", shown(&told["errors"][0])),
        None => format!("{status}, and no JSON"),
    }
}

/// For people: what is missing is a dash, and nothing moves the cursor.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.chars().map(|c| if c.is_control() { '?' } else { c }).collect(),
        other => other.to_string(),
    }
}

/// Rows below a title, in columns as wide as they need to be.
pub(super) fn table_of(title: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut all = vec![title.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()];
    all.extend(rows);
    let width = |nth: usize| all.iter().filter_map(|row| row.get(nth)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..title.len()).map(|nth| width(nth).unwrap_or(0)).collect();
    let mut out = String::new();
    for row in &all {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let _ = writeln!(out, "{}", cells.join("  ").trim_end());
    }
    out
}
