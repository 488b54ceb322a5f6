//! `token_file`: a token somebody else put into a file. "Login" is looking it up.

use vault::{BoxFuture, Token};

use super::credential::Credential;
use super::{Attempt, LoginError, Method, Scene};
use crate::watch::Watch;

/// What it read so far, and where from.
pub(super) struct TokenFile(Credential);

impl TokenFile {
    pub(super) fn new(keys: &config::TokenFile) -> Self {
        Self(Credential::new("token", keys.path.clone()))
    }

    fn token(&mut self) -> Result<Attempt, LoginError> {
        let content = self.0.fetch()?.clone();
        let token = Token::new(content).map_err(|reason| self.0.unusable(reason))?;
        Ok(Attempt::Lookup(token))
    }
}

impl Method for TokenFile {
    fn prepare<'a>(&'a mut self, _: &'a Scene<'a>) -> BoxFuture<'a, Result<Attempt, LoginError>> {
        Box::pin(std::future::ready(self.token()))
    }
    fn watch(&self) -> Option<Watch> {
        Some(Watch { every: config::DEFAULT_READ_PERIOD, files: vec![self.0.path().to_owned()] })
    }

    fn has_new_credentials<'a>(&'a mut self, _: &'a Scene<'a>) -> BoxFuture<'a, bool> {
        Box::pin(std::future::ready(self.0.has_changed()))
    }
}
