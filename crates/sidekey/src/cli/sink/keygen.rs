//! `sidekey sink keygen`: a pair of keys, one file each.

use std::path::PathBuf;

use auto_auth::sink::envelope::KeyPair;
use clap::Args;

/// Flags of `sink keygen`.
#[derive(Args, Debug)]
#[command(after_help = "Neither file may exist: a key that is in use is never overwritten.")]
pub(super) struct KeygenArgs {
    /// The new file with the private key, for its owner alone (mode 0600)
    #[arg(long, value_name = "FILE", required = true)]
    key: PathBuf,
    /// The new file with the public key, for everybody (mode 0644); the sink's dh_path
    #[arg(long, value_name = "FILE", required = true)]
    public: PathBuf,
}

pub(super) fn keygen(arguments: &KeygenArgs) -> Result<(), String> {
    let pair = KeyPair::generate().map_err(|error| error.to_string())?;
    let private = pair.to_json().map_err(|error| error.to_string())?;
    atomic_file::create(&arguments.key, private.expose().as_bytes(), 0o600)
        .map_err(|error| error.to_string())?;
    let public = pair.public().to_json();
    atomic_file::create(&arguments.public, public.as_bytes(), 0o644).map_err(|error| {
        // Half a pair is of no use, and would be in the way of the next try.
        let _ = atomic_file::remove(&arguments.key);
        error.to_string()
    })
}
