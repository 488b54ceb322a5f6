//! Flags that say where the server is.

use clap::Args;
use config::Flags;

use super::argv::go_bool;

/// As upstream has them; the environment says the same with `VAULT_ADDR` and so on.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct ServerArgs {
    /// Address of the server; else `BAO_ADDR` or `VAULT_ADDR`
    #[arg(long, value_name = "URL", allow_hyphen_values = true)]
    pub(super) address: Option<String>,
    /// CA certificate to verify the server with
    #[arg(long, value_name = "PATH", allow_hyphen_values = true)]
    pub(super) ca_cert: Option<String>,
    /// Folder of CA certificates to verify the server with
    #[arg(long, value_name = "PATH", allow_hyphen_values = true)]
    pub(super) ca_path: Option<String>,
    /// Certificate to show to the server
    #[arg(long, value_name = "PATH", allow_hyphen_values = true)]
    pub(super) client_cert: Option<String>,
    /// Key of that certificate
    #[arg(long, value_name = "PATH", allow_hyphen_values = true)]
    pub(super) client_key: Option<String>,
    /// Name to verify the server's certificate against
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub(super) tls_server_name: Option<String>,
    /// Do not verify the server's certificate (not for production)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = go_bool)]
    pub(super) tls_skip_verify: Option<bool>,
    /// Namespace of our own requests
    #[arg(long, value_name = "NAMESPACE", allow_hyphen_values = true)]
    namespace: Option<String>,
    #[arg(long, hide = true, allow_hyphen_values = true)]
    ns: Option<String>,
}

/// Flags of all commands of upstream that mean nothing here, or only sometimes.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct UnusedArgs {
    #[arg(long, hide = true, allow_hyphen_values = true)]
    pub(super) agent_address: Option<String>,
    #[arg(long, hide = true, allow_hyphen_values = true)]
    wrap_ttl: Option<String>,
    #[arg(long, hide = true, allow_hyphen_values = true)]
    mfa: Vec<String>,
    #[arg(long, hide = true, allow_hyphen_values = true)]
    unlock_key: Option<String>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = go_bool)]
    disable_redirects: Option<bool>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = go_bool)]
    policy_override: Option<bool>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = go_bool)]
    output_curl_string: Option<bool>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = go_bool)]
    output_policy: Option<bool>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = go_bool)]
    non_interactive: Option<bool>,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = go_bool)]
    disable_gated_logs: Option<bool>,
}

impl ServerArgs {
    /// As flags of a configuration; all others are not given.
    pub(super) fn flags(&self) -> Flags {
        let this = self.clone();
        Flags {
            namespace: self.namespace().map(str::to_owned),
            address: this.address,
            ca_cert: this.ca_cert,
            ca_path: this.ca_path,
            client_cert: this.client_cert,
            client_key: this.client_key,
            tls_server_name: this.tls_server_name,
            tls_skip_verify: this.tls_skip_verify,
            ..Flags::default()
        }
    }

    /// `-ns` beats `-namespace`.
    pub(super) fn namespace(&self) -> Option<&str> {
        self.ns.as_deref().or(self.namespace.as_deref())
    }
}
