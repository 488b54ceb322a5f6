//! The token between two runs, sealed: a restart need not spend a secret id that can be used once.
//!
//! The file is a line that names the format, a nonce, and the token under AES-256-GCM-SIV. The key is derived from a
//! file or a systemd credential; the login it belongs to is part of the seal, so that a file of another server,
//! namespace, mount or method does not open. Nothing here ends the program: without a usable store there is a login.

use std::path::PathBuf;

use atomic_file::{Attributes, KeyError};
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use config::{Environment, KeySource};
use thiserror::Error;
use tracing::{info, warn};
use vault::{Accessor, SecretString, Token};

/// First line of the file.
const FORMAT: &[u8] = b"sidekey-token-store-1\n";

/// The key is for this alone, whatever else its source is used for.
const PURPOSE: &[u8] = b"sidekey token_store";

/// Why the store is of no use now.
#[derive(Debug, Error)]
enum StoreError {
    #[error(transparent)]
    File(#[from] atomic_file::FileError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("the key cannot be derived")]
    Derive,
}

/// Where the token is kept.
#[derive(Clone, Debug)]
pub(super) struct Store {
    path: PathBuf,
    key: KeySource,
    /// systemd's folder of credentials.
    credentials: Option<PathBuf>,
    /// Which login it belongs to.
    login: String,
}

impl Store {
    /// `login` names what a token of this store is good for.
    pub(super) fn new(
        settings: &config::TokenStore,
        environment: &Environment,
        login: String,
    ) -> Option<Self> {
        let credentials = environment.exact("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        if let (KeySource::Credential(_), None) = (&settings.key, &credentials) {
            warn!(target: "auth.handler", error = %KeyError::NoCredentials, "the token is not kept between two runs");
            return None;
        }
        Some(Self { path: settings.path.clone(), key: settings.key.clone(), credentials, login })
    }

    /// The token of the last run and its accessor, if it can be opened. What cannot is told and moved aside.
    pub(super) fn load(&self) -> Option<(Token, Option<Accessor>)> {
        let bytes = match atomic_file::read_small(&self.path) {
            Ok(bytes) => bytes,
            Err(error) => {
                if !error.is_missing() {
                    warn!(target: "auth.handler", error = %error, "the stored token cannot be read, logging in");
                }
                return None;
            }
        };
        let key = match self.sealing_key() {
            Ok(key) => key,
            Err(error) => {
                warn!(target: "auth.handler", error = %error, "the stored token cannot be opened, logging in");
                return None;
            }
        };
        let token = self.open(&key, bytes);
        if token.is_none() {
            let path = self.path.display();
            match atomic_file::move_aside(&self.path) {
                Ok(aside) => {
                    warn!(target: "auth.handler", %path, moved_to = %aside.display(), "the stored token is damaged, or sealed with another key or for another login; logging in");
                }
                Err(error) => {
                    warn!(target: "auth.handler", %path, error = %error, "the stored token is damaged, or sealed with another key or for another login; logging in");
                }
            }
        }
        token
    }

    /// Keeps `token` for the next run. A failure is told.
    pub(super) fn save(&self, token: &Token, accessor: Option<&Accessor>) {
        let sealed = self.sealing_key().and_then(|key| self.seal(&key, token, accessor));
        let written =
            sealed.and_then(|sealed| Ok(atomic_file::write(&self.path, &sealed, &Attributes::new(0o600))?));
        match written {
            Ok(()) => {
                info!(target: "auth.handler", path = %self.path.display(), "token stored for the next run")
            }
            Err(error) => {
                warn!(target: "auth.handler", error = %error, "the token is not kept for the next run");
            }
        }
    }

    fn sealing_key(&self) -> Result<RandomizedNonceKey, StoreError> {
        let source = zeroize::Zeroizing::new(self.key.read(self.credentials.as_deref())?);
        let mut key = zeroize::Zeroizing::new([0; 32]);
        let derived = Salt::new(HKDF_SHA256, FORMAT).extract(&source);
        derived
            .expand(&[PURPOSE], Length(key.len()))
            .and_then(|material| material.fill(key.as_mut()))
            .and_then(|()| RandomizedNonceKey::new(&AES_256_GCM_SIV, key.as_ref()))
            .map_err(|_| StoreError::Derive)
    }

    /// A line each: no token has a line's end in it.
    fn seal(
        &self,
        key: &RandomizedNonceKey,
        token: &Token,
        accessor: Option<&Accessor>,
    ) -> Result<Vec<u8>, StoreError> {
        let mut sealed = token.expose().as_bytes().to_vec();
        if let Some(accessor) = accessor {
            sealed.push(b'\n');
            sealed.extend_from_slice(accessor.expose().as_bytes());
        }
        let nonce = key
            .seal_in_place_append_tag(Aad::from(self.login.as_bytes()), &mut sealed)
            .map_err(|_| StoreError::Derive)?;
        Ok([FORMAT, nonce.as_ref(), &sealed].concat())
    }

    fn open(&self, key: &RandomizedNonceKey, bytes: Vec<u8>) -> Option<(Token, Option<Accessor>)> {
        let (nonce, sealed) = bytes.strip_prefix(FORMAT)?.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = zeroize::Zeroizing::new(sealed.to_vec());
        let opened = key.open_in_place(nonce, Aad::from(self.login.as_bytes()), &mut sealed).ok()?;
        let text = std::str::from_utf8(opened).ok()?;
        let (token, accessor) = text.split_once('\n').unwrap_or((text, ""));
        Some((Token::new(SecretString::new(token)).ok()?, Accessor::new(SecretString::new(accessor))))
    }
}

/// Bytes to derive.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;

    fn store(folder: &Path, login: &str) -> Store {
        let settings =
            config::TokenStore { path: folder.join("store"), key: KeySource::File(folder.join("key")) };
        Store::new(&settings, &Environment::default(), login.to_owned()).unwrap()
    }

    fn put(path: PathBuf, bytes: &[u8]) {
        atomic_file::write(&path, bytes, &Attributes::new(0o600)).unwrap();
    }

    #[test]
    fn a_token_is_opened_by_the_same_key_for_the_same_login_alone() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path().join("key"), &[7; 32]);
        let token = Token::new("s.canary").unwrap();
        let ours = store(folder.path(), "approle at a");
        ours.save(&token, None);
        let sealed = std::fs::read(&ours.path).unwrap();
        assert!(!sealed.windows(6).any(|part| part == b"canary"));
        assert_eq!(std::fs::metadata(&ours.path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(ours.load().map(|(token, _)| token), Some(token.clone()));
        ours.save(&token, Accessor::new(SecretString::from("acc")).as_ref());
        let (again, accessor) = ours.load().unwrap();
        assert_eq!((again, accessor.unwrap().expose()), (token.clone(), "acc"));
        ours.save(&token, None);
        assert_ne!(std::fs::read(&ours.path).unwrap(), sealed, "the same nonce twice");
        // Another login, another key.
        assert_eq!(store(folder.path(), "approle at b").load().map(|(token, _)| token), None);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "moved aside");
        ours.save(&token, None);
        put(folder.path().join("key"), &[8; 32]);
        assert_eq!(ours.load().map(|(token, _)| token), None);
    }

    #[test]
    fn what_is_damaged_is_moved_aside_and_nothing_fails() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path().join("key"), &[7; 32]);
        let ours = store(folder.path(), "x");
        let token = Token::new("s.one").unwrap();
        ours.save(&token, None);
        let good = std::fs::read(&ours.path).unwrap();
        let flipped: Vec<u8> =
            good.iter().enumerate().map(|(nth, byte)| byte ^ u8::from(nth == 40)).collect();
        for bad in [&b""[..], b"x", FORMAT, &good[..good.len() - 1], &flipped, &[0; 60_000]] {
            put(ours.path.clone(), bad);
            assert_eq!(ours.load().map(|(token, _)| token), None);
            assert!(!ours.path.exists());
            assert_eq!(std::fs::read(folder.path().join("store.damaged")).unwrap(), bad);
        }
        // Nothing there is nothing to tell, and without a key the file stays for when there is one.
        assert_eq!(ours.load().map(|(token, _)| token), None);
        put(ours.path.clone(), &good);
        put(folder.path().join("key"), b"short");
        assert_eq!(ours.load().map(|(token, _)| token), None);
        ours.save(&token, None);
        assert_eq!(std::fs::read(&ours.path).unwrap(), good);
    }
}
