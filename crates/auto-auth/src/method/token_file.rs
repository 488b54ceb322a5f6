//! `token_file`: a token somebody else put into a file. "Login" is looking it up.

use vault::{BoxFuture, Token};

use super::credential::Credential;
use super::{Attempt, LoginError, Method, Scene};

/// What it read so far, and where from.
pub(super) struct TokenFile(Credential);

impl TokenFile {
    pub(super) fn new(keys: &config::TokenFile) -> Self {
        Self(Credential::new("token", keys.path.clone()))
    }

    fn token(&mut self) -> Result<Attempt, LoginError> {
        let token = Token::new(self.0.fetch()?.clone()).map_err(LoginError::NoToken)?;
        Ok(Attempt::Lookup(token))
    }
}

impl Method for TokenFile {
    fn prepare<'a>(&'a mut self, _: &'a Scene<'a>) -> BoxFuture<'a, Result<Attempt, LoginError>> {
        Box::pin(std::future::ready(self.token()))
    }
}
