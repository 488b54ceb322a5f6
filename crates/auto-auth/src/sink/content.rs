//! What a sink holds for a token: the token itself, or wrapped by the server, and either perhaps encrypted.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use thiserror::Error;
use vault::api::{ApiError, Caller};
use vault::{TokenState, Upstream};
use zeroize::Zeroizing;

use super::envelope::{self, Binding, EnvelopeError, PublicKey};
use crate::Reauth;

/// The server, for sinks that have it wrap the token.
#[derive(Clone)]
pub struct Wrapper {
    /// The way to it; it should not repeat requests by itself.
    pub upstream: Arc<dyn Upstream>,
    /// Whom we speak as.
    pub caller: Caller,
    /// Told when the server refuses the token.
    pub reauth: Reauth,
}

/// Makes a sink's content.
pub(super) struct Content {
    wrap_ttl: Option<Duration>,
    wrapper: Wrapper,
    reader: Option<Reader>,
}

/// For whom it is encrypted.
struct Reader {
    settings: config::Encryption,
    /// The key that was read; the first one counts until the end, unless the configuration says otherwise.
    pinned: Mutex<Option<PublicKey>>,
}

/// Why there is nothing to put into a sink. No text holds a token.
#[derive(Debug, Error)]
pub(super) enum ContentError {
    /// The server did not wrap the token.
    #[error("cannot wrap the token: {0}")]
    Wrap(#[source] ApiError),
    /// The reader's public key cannot be had.
    #[error("the reader's public key {path} (dh_path): {reason}")]
    PublicKey { path: String, reason: String },
    /// It cannot be encrypted.
    #[error("cannot encrypt the token: {0}")]
    Encrypt(#[source] EnvelopeError),
}

impl Content {
    pub(super) fn new(settings: &config::Sink, wrapper: Wrapper) -> Self {
        let reader = settings.encryption.clone();
        let reader = reader.map(|settings| Reader { settings, pinned: Mutex::new(None) });
        Self { wrap_ttl: settings.wrap_ttl, wrapper, reader }
    }

    /// `None` before the first login.
    pub(super) async fn make(&self, state: &TokenState) -> Result<Option<Zeroizing<Vec<u8>>>, ContentError> {
        let plain = match (&state.token, state.wrapped()) {
            (Some(token), _) => match self.wrap_ttl {
                None => Zeroizing::new(token.expose().as_bytes().to_vec()),
                Some(ttl) => {
                    // Read before the server is asked: a wrapping that nobody can be given is a waste.
                    self.reader.as_ref().map(Reader::key).transpose()?;
                    let wrapped = self.wrapper.caller.wrap(self.wrapper.upstream.as_ref(), token, ttl).await;
                    let wrapped = wrapped.inspect_err(|error| {
                        if error.status() == Some(StatusCode::FORBIDDEN) {
                            self.wrapper.reauth.ask(state.generation);
                        }
                    });
                    let line = wrapped.map_err(ContentError::Wrap)?.to_line();
                    Zeroizing::new(line.expose().as_bytes().to_vec())
                }
            },
            (None, Some(wrapped)) => Zeroizing::new(wrapped.expose().as_bytes().to_vec()),
            (None, None) => return Ok(None),
        };
        let Some(reader) = &self.reader else { return Ok(Some(plain)) };
        let binding = Binding { derive_key: reader.settings.derive_key, aad: reader.settings.aad.as_bytes() };
        let sealed = envelope::seal(&plain, reader.key()?, binding).map_err(ContentError::Encrypt)?;
        Ok(Some(Zeroizing::new(sealed)))
    }

    /// The file with the reader's key, where a change of it counts.
    pub(super) fn watched_key(&self) -> Option<&Path> {
        let reader = self.reader.as_ref()?;
        let counts = reader.settings.repin || reader.pinned().is_none();
        counts.then_some(reader.settings.public_key_file.as_path())
    }

    /// Whether the reader's key can be read now, and is another than the one in use.
    pub(super) fn has_new_key(&self) -> bool {
        let Some(reader) = self.reader.as_ref().filter(|_| self.watched_key().is_some()) else {
            return false;
        };
        reader.read().is_ok_and(|key| *reader.pinned() != Some(key))
    }
}

impl Reader {
    fn key(&self) -> Result<PublicKey, ContentError> {
        let pinned = *self.pinned();
        match pinned {
            Some(key) if !self.settings.repin => Ok(key),
            // While the file is being replaced, the key before it still serves.
            pinned => {
                let key = self.read().or_else(|error| pinned.ok_or(error))?;
                *self.pinned() = Some(key);
                Ok(key)
            }
        }
    }

    fn read(&self) -> Result<PublicKey, ContentError> {
        let bytes = atomic_file::read_small(&self.settings.public_key_file);
        let bytes = bytes.map_err(|error| self.refused(error.reason()))?;
        PublicKey::parse(&bytes).map_err(|error| self.refused(error.to_string()))
    }

    fn refused(&self, reason: String) -> ContentError {
        ContentError::PublicKey { path: self.settings.public_key_file.display().to_string(), reason }
    }

    /// Never held across a wait; what is in it is whole at any time.
    fn pinned(&self) -> std::sync::MutexGuard<'_, Option<PublicKey>> {
        self.pinned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use vault::{Instead, SecretString};

    use super::super::tests::{no_server, plain, state};
    use super::*;
    use envelope::KeyPair;

    fn encrypted(key: &Path, wrap_ttl: Option<Duration>) -> config::Sink {
        let encryption = config::Encryption {
            public_key_file: key.to_owned(),
            derive_key: true,
            aad: "bound".into(),
            repin: false,
        };
        let kind = config::SinkKind::File(config::FileSink::default());
        config::Sink { wrap_ttl, encryption: Some(encryption), ..plain(kind) }
    }

    #[tokio::test]
    async fn a_wrapped_login_is_encrypted_as_the_token_is() {
        let folder = tempfile::tempdir().unwrap();
        let (path, reader) = (folder.path().join("key"), KeyPair::generate().unwrap());
        let public = reader.public().to_json();
        atomic_file::write(&path, public.as_bytes(), &atomic_file::Attributes::new(0o644)).unwrap();
        let content = Content::new(&encrypted(&path, None), no_server());
        let line = "{\"token\":\"s.wrapping\"}\n";
        let instead = Some(Arc::new(Instead::Wrapped(SecretString::from(line))));
        for (state, want) in
            [(TokenState { instead, ..TokenState::default() }, line), (state("s.plain", 1), "s.plain")]
        {
            let sealed = content.make(&state).await.unwrap().unwrap();
            assert!(!sealed.windows(4).any(|part| part == b"wrap" || part == b"plai"));
            let binding = Binding { derive_key: true, aad: b"bound" };
            assert_eq!(*envelope::open(&sealed, &reader, binding).unwrap(), want.as_bytes());
            assert!(envelope::open(&sealed, &reader, Binding { derive_key: true, aad: b"" }).is_err());
            assert!(envelope::open(&sealed, &reader, Binding { derive_key: false, aad: b"bound" }).is_err());
        }
        assert!(content.make(&TokenState::default()).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn nothing_is_wrapped_for_a_reader_without_a_key() {
        let folder = tempfile::tempdir().unwrap();
        let settings = encrypted(&folder.path().join("key"), Some(Duration::from_secs(60)));
        let error = Content::new(&settings, no_server()).make(&state("s.1", 1)).await.unwrap_err();
        // Not that the server, which there is none of here, did not answer.
        assert!(matches!(error, ContentError::PublicKey { .. }), "{error}");
    }
}
