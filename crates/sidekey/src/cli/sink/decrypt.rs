//! `sidekey sink decrypt`: what is in the file of an encrypted sink.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use auto_auth::sink::envelope::{Binding, KeyPair, open};
use clap::Args;
use config::Environment;

use crate::print;

/// Flags of `sink decrypt`.
#[derive(Args, Debug)]
#[command(after_help = "Printed is what was encrypted, byte for byte: a token has no newline behind it.")]
pub(super) struct DecryptArgs {
    /// The private key, as `sidekey sink keygen` made it
    #[arg(long, value_name = "FILE", required = true)]
    key: PathBuf,
    /// The sink's `aad`
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, conflicts_with = "aad_env")]
    aad: Option<String>,
    /// The environment variable with the sink's `aad`, which others could see in a flag
    #[arg(long, value_name = "NAME")]
    aad_env: Option<String>,
    /// The sink has `derive_key = true`
    #[arg(long)]
    derive_key: bool,
    /// The sink's file; standard input without it, or for `-`
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(super) fn decrypt(arguments: &DecryptArgs) -> Result<(), String> {
    let key = read(&arguments.key)?;
    warn_if_readable(&arguments.key);
    let key = KeyPair::parse(&key).map_err(|error| format!("{}: {error}", arguments.key.display()))?;
    let (envelope, name) = match arguments.file.as_deref().filter(|path| *path != Path::new("-")) {
        Some(path) => (read(path)?, path.display().to_string()),
        None => (read_input()?, "standard input".to_owned()),
    };
    let aad = match &arguments.aad_env {
        None => arguments.aad.clone().unwrap_or_default(),
        Some(variable) => {
            let environment = Environment::capture();
            let value = environment.exact(variable).map(str::to_owned);
            value.ok_or_else(|| format!("-aad-env: the variable {variable:?} is not set"))?
        }
    };
    let binding = Binding { derive_key: arguments.derive_key, aad: aad.as_bytes() };
    let plain = open(&envelope, &key, binding).map_err(|error| format!("{name}: {error}"))?;
    print::bytes(&plain);
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    atomic_file::read_small(path).map_err(|error| error.to_string())
}

fn read_input() -> Result<Vec<u8>, String> {
    const MOST: usize = atomic_file::MAX_SMALL_FILE;
    let mut bytes = Vec::new();
    let input = std::io::stdin().lock().take(MOST as u64 + 1).read_to_end(&mut bytes);
    input.map_err(|error| format!("standard input: {error}"))?;
    if bytes.len() > MOST {
        return Err(format!("standard input is larger than {MOST} bytes"));
    }
    Ok(bytes)
}

fn warn_if_readable(key: &Path) {
    if std::fs::metadata(key).is_ok_and(|found| found.mode() & 0o077 != 0) {
        errln!("warning: others can read the private key {}; give it the mode 0600", key.display());
    }
}
