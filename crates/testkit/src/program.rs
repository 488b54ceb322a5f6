//! The real program, built up word by word: `Program::agent(binary, folder).approle(…).sink("token")…`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::{Api, KitError, Process};

/// A configuration in the making, for our program or for the one it stands in for.
pub struct Program {
    binary: PathBuf,
    folder: PathBuf,
    mode: &'static str,
    config: String,
    flags: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Program {
    /// `BINARY agent`, with its files in `folder`.
    pub fn agent(binary: &Path, folder: &Path) -> Self {
        Self::new(binary, folder, "agent")
    }

    /// `BINARY proxy`, with its files in `folder`.
    pub fn proxy(binary: &Path, folder: &Path) -> Self {
        Self::new(binary, folder, "proxy")
    }

    fn new(binary: &Path, folder: &Path, mode: &'static str) -> Self {
        Self {
            binary: binary.to_owned(),
            folder: folder.to_owned(),
            mode,
            config: String::new(),
            flags: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// The server to speak to.
    #[must_use]
    pub fn server(self, address: &str) -> Self {
        self.config(&format!("vault {{ address = \"{address}\" }}\n"))
    }

    /// Any piece of configuration.
    #[must_use]
    pub fn config(mut self, text: &str) -> Self {
        self.config.push_str(text);
        self.config.push('\n');
        self
    }

    /// `auto_auth` with method `approle`, its files kept, and file sinks by name.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn approle(self, (role_id, secret_id): &(String, String), sinks: &[&str]) -> Result<Self, KitError> {
        let (role, secret) = (self.folder.join("role-id"), self.folder.join("secret-id"));
        write_file(&role, role_id)?;
        write_file(&secret, secret_id)?;
        let mut stanza = format!(
            "auto_auth {{\n  method \"approle\" {{ config = {{\n    role_id_file_path = {role:?}\n    \
             secret_id_file_path = {secret:?}\n    remove_secret_id_file_after_reading = false\n  }} }}\n"
        );
        for sink in sinks {
            let _ =
                writeln!(stanza, "  sink \"file\" {{ config = {{ path = {:?} }} }}", self.folder.join(sink));
        }
        stanza.push_str("}\n");
        Ok(self.config(&stanza))
    }

    /// A plain tcp listener on a free port, and extra keys for it.
    #[must_use]
    pub fn listener(self, keys: &str) -> Self {
        self.config(&format!(
            "listener \"tcp\" {{\n  address = \"127.0.0.1:0\"\n  tls_disable = true\n{keys}\n}}\n"
        ))
    }

    /// A flag.
    #[must_use]
    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// An environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes the configuration and starts it.
    ///
    /// # Errors
    /// [`KitError`].
    pub fn start(&self) -> Result<Process, KitError> {
        let path = self.folder.join("config.hcl");
        write_file(&path, &self.config)?;
        let mut command = Command::new(&self.binary);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("VAULT_") || name.starts_with("BAO_") {
                command.env_remove(name.as_ref());
            }
        }
        command
            .arg(self.mode)
            .arg(format!("-config={}", path.display()))
            .args(&self.flags)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.folder);
        Process::start(self.mode, command)
    }

    /// Starts it and waits for its first listener; gives somebody who asks there, without a token.
    ///
    /// # Errors
    /// [`KitError`].
    pub async fn start_listening(&self) -> Result<(Process, Api), KitError> {
        let mut process = self.start()?;
        let line = process.says("Api Address 1: ").await?;
        let address = line.split("Api Address 1: ").nth(1).unwrap_or_default().trim().to_owned();
        let api = Api::new(&address, None)?;
        Ok((process, api))
    }
}

#[expect(clippy::disallowed_methods, reason = "files of a test's own folder")]
fn write_file(path: &Path, text: &str) -> std::io::Result<()> {
    std::fs::write(path, text)
}
