//! Passwords, keys, certificates, ciphers, chance.
//!
//! Chance comes from aws-lc's generator alone. Private keys are in values that templates print, in no message.

pub(super) mod certificates;
pub(super) mod ciphers;
mod der;
mod issue;
mod key;
pub(super) mod passwords;

use gotemplate::FuncError;

/// Bytes that nobody can foresee.
fn random<const N: usize>() -> Result<[u8; N], FuncError> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

/// The same for as many bytes as are asked for.
pub(super) fn fill(bytes: &mut [u8]) -> Result<(), FuncError> {
    aws_lc_rs::rand::fill(bytes).map_err(|_| FuncError::new("no randomness to be had"))
}
