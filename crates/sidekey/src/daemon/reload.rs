//! SIGHUP: what can change while we run.

use config::Settings;
use proxy::CertificateReloader;
use tracing::{error, info};
use vault::Client;

/// Reads the configuration again and applies the log level; `None`, with the problems printed, when it is bad.
pub(crate) type Reload = Box<dyn Fn() -> Option<Settings> + Send>;

/// Applies what a new configuration can change: listener certificates and TLS towards the server. Each part
/// that fails keeps what it had.
pub(super) fn apply(settings: &Settings, certificates: &[CertificateReloader], clients: &[Client]) {
    for certificate in certificates {
        match certificate.reload() {
            Ok(()) => info!(target: "", "reloaded a listener's certificate"),
            Err(error) => {
                error!(target: "", error = %error, "a listener's certificate could not be reloaded, the old one stays");
            }
        }
    }
    for client in clients {
        if let Err(error) = client.reload_tls(&settings.vault.tls) {
            error!(target: "", error = %error, "TLS towards the server could not be reloaded, the old files stay in force");
            return;
        }
    }
    info!(target: "", "configuration reloaded: what can change while we run is in force, but for the errors above");
}
