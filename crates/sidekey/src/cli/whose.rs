//! Which running program a command speaks to, and how: flags of `status` and `reload`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use config::Environment;
use vault::{Address, Client, ClientSettings, Pem, RetryPolicy, Roots, TlsSettings, Verify};

use super::argv::go_bool;

/// A local program answers at once or has a problem.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Where upstream's agent listens when nobody says.
const USUAL: &str = "http://127.0.0.1:8200";

#[derive(Args, Debug)]
pub(super) struct Whose {
    /// Where it listens: http://, https:// or unix:///path; $BAO_AGENT_ADDR and $VAULT_AGENT_ADDR say it too
    #[arg(long, value_name = "URL")]
    address: Option<String>,
    /// CA certificate to verify the listener with
    #[arg(long, value_name = "PATH")]
    ca_cert: Option<PathBuf>,
    /// Do not verify the listener's certificate
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = go_bool)]
    tls_skip_verify: Option<bool>,
    /// Certificate to show to the listener
    #[arg(long, value_name = "PATH", requires = "client_key")]
    client_cert: Option<PathBuf>,
    /// Key of that certificate
    #[arg(long, value_name = "PATH", requires = "client_cert")]
    client_key: Option<PathBuf>,
}

impl Whose {
    /// As somebody said it.
    pub(super) fn address(&self) -> String {
        let environment = Environment::capture();
        let variable =
            |name: &str| environment.pairs().find(|(known, _)| *known == name).map(|(_, value)| value);
        let said = variable("BAO_AGENT_ADDR").or_else(|| variable("VAULT_AGENT_ADDR")).map(str::to_owned);
        let said = self.address.clone().or(said);
        said.filter(|address| !address.is_empty()).unwrap_or_else(|| USUAL.to_owned())
    }

    /// Who asks it.
    ///
    /// # Errors
    /// A bad address or TLS file.
    pub(super) fn client(&self) -> Result<Client, String> {
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
        Client::new(&settings).map_err(|error| error.to_string())
    }
}
