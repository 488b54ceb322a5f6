//! Where a key lies that seals a file of ours: in a file, in a credential of systemd, or in the kernel's keyring.

use std::path::{Path, PathBuf};

use linux_keyutils::{KeyError as KernelError, KeyRing, KeyRingIdentifier};
use thiserror::Error;

use crate::FileError;
use crate::read::{MAX_SMALL_FILE, read_small};

/// Shorter keys are refused (16 bytes): they can be guessed.
pub const SHORTEST_KEY: usize = 16;

/// Where a key lies.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum KeySource {
    /// The content of this file.
    File(PathBuf),
    /// The content of systemd's credential of this name.
    Credential(String),
    /// The kernel's key of type `user` with this description, in the keyring of the session, the process or the user.
    Keyring(String),
}

/// Why there is no key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The file, or the credential's.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not started by systemd.
    #[error(
        "CREDENTIALS_DIRECTORY is not set: a credential works in a systemd service with LoadCredential= or LoadCredentialEncrypted="
    )]
    NoCredentials,
    /// The keyring.
    #[error("the kernel's keyring has no usable key of type \"user\" named {name:?}: {why}")]
    Keyring {
        /// The key's description.
        name: String,
        /// The kernel's reason.
        why: &'static str,
    },
    /// It could be guessed.
    #[error("the key in {0} is shorter than {SHORTEST_KEY} bytes")]
    Short(String),
}

impl KeySource {
    /// Reads the key. `credentials` is systemd's `$CREDENTIALS_DIRECTORY`. The caller wipes what it gets.
    ///
    /// # Errors
    /// There is none, it cannot be read, or it is too short.
    pub fn read(&self, credentials: Option<&Path>) -> Result<Vec<u8>, KeyError> {
        let (key, place) = match self {
            Self::File(path) => (read_small(path)?, path.display().to_string()),
            Self::Credential(name) => {
                let path = credentials.ok_or(KeyError::NoCredentials)?.join(name);
                (read_small(&path)?, path.display().to_string())
            }
            Self::Keyring(name) => (from_keyring(name)?, format!("the keyring under {name:?}")),
        };
        if key.len() < SHORTEST_KEY {
            return Err(KeyError::Short(place));
        }
        Ok(key)
    }

    /// The file whose modes say who may read the key; systemd and the kernel see to the others themselves.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Credential(_) | Self::Keyring(_) => None,
        }
    }
}

/// The keyrings of the session, the process and the user, in the order in which the kernel's own tools look.
fn from_keyring(name: &str) -> Result<Vec<u8>, KeyError> {
    const WHERE: [KeyRingIdentifier; 4] = [
        KeyRingIdentifier::Session,
        KeyRingIdentifier::Process,
        KeyRingIdentifier::User,
        KeyRingIdentifier::UserSession,
    ];
    let mut last = KernelError::KeyDoesNotExist;
    for ring in WHERE {
        let found = KeyRing::from_special_id(ring, false).and_then(|ring| ring.search(name));
        match found.and_then(|key| {
            let mut bytes = vec![0; MAX_SMALL_FILE];
            let length = key.read(&mut bytes)?;
            bytes.truncate(length);
            Ok(bytes)
        }) {
            Ok(bytes) => return Ok(bytes),
            // That there is none says less than any other reason.
            Err(KernelError::KeyDoesNotExist | KernelError::KeyringDoesNotExist) => {}
            Err(other) => last = other,
        }
    }
    Err(KeyError::Keyring { name: name.to_owned(), why: reason(&last) })
}

fn reason(error: &KernelError) -> &'static str {
    match error {
        KernelError::AccessDenied => "access denied",
        KernelError::KeyDoesNotExist => "no such key",
        KernelError::KeyExpired => "it has expired",
        KernelError::KeyRevoked => "it was revoked",
        KernelError::KeyRejected => "it was rejected",
        KernelError::OperationNotSupported => "the kernel has no keyrings",
        _ => "it cannot be read (keyrings may be forbidden here)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_not_there_or_short_is_told_without_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let said = |source: KeySource| source.read(Some(folder.path())).unwrap_err().to_string();
        assert!(said(KeySource::File(path.clone())).contains("No such file"));
        crate::write(&path, b"canary", &crate::Attributes::new(0o600)).unwrap();
        for source in [KeySource::File(path.clone()), KeySource::Credential("key".into())] {
            let said = said(source);
            assert!(said.ends_with("key is shorter than 16 bytes") && !said.contains("canary"), "{said}");
        }
        crate::write(&path, &[7; 32], &crate::Attributes::new(0o600)).unwrap();
        assert_eq!(KeySource::Credential("key".into()).read(Some(folder.path())).unwrap(), [7; 32]);
        let error = KeySource::Credential("key".into()).read(None).unwrap_err();
        assert!(error.to_string().starts_with("CREDENTIALS_DIRECTORY is not set"));
        let said = said(KeySource::Keyring("sidekey test: none".into()));
        assert!(said.contains("\"sidekey test: none\""), "{said}");
    }

    /// Where keyrings are forbidden (most containers) there is nothing to read, and that is told.
    #[test]
    fn the_keyring_is_read_where_there_is_one() {
        let name = "sidekey-test-key";
        let Ok(ring) = KeyRing::from_special_id(KeyRingIdentifier::Process, true) else { return };
        let Ok(_) = ring.add_key(name, &[9u8; 32]) else { return };
        match KeySource::Keyring(name.into()).read(None) {
            Ok(key) => assert_eq!(key, [9; 32]),
            Err(error) => assert!(error.to_string().contains(name), "{error}"),
        }
    }
}
