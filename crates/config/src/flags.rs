//! What the command line says about settings. The command line itself is the daemon's.

/// Values of flags; `None` for a flag that was not given. An empty text counts as given and, as upstream, beats
/// the environment and the files.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Flags {
    /// `-address`.
    pub address: Option<String>,
    /// `-ca-cert`.
    pub ca_cert: Option<String>,
    /// `-ca-path`.
    pub ca_path: Option<String>,
    /// `-client-cert`.
    pub client_cert: Option<String>,
    /// `-client-key`.
    pub client_key: Option<String>,
    /// `-tls-server-name`.
    pub tls_server_name: Option<String>,
    /// `-tls-skip-verify`.
    pub tls_skip_verify: Option<bool>,
    /// `-namespace`, or `-ns`, which beats it.
    pub namespace: Option<String>,
    /// `-exit-after-auth`.
    pub exit_after_auth: Option<bool>,
    /// `-log-level`.
    pub log_level: Option<String>,
    /// `-log-format`.
    pub log_format: Option<String>,
    /// `-log-file`.
    pub log_file: Option<String>,
    /// `-log-rotate-bytes`.
    pub log_rotate_bytes: Option<i64>,
    /// `-log-rotate-duration`.
    pub log_rotate_duration: Option<String>,
    /// `-log-rotate-max-files`.
    pub log_rotate_max_files: Option<i64>,
}
