//! One login by itself, for whoever has work to do before auto-auth runs; auto-auth can go on with its token.

use std::sync::Arc;

use tokio::time::Instant;
use vault::{Accessor, Token, Ttl};

use super::AutoAuth;
use crate::lifecycle::Grant;
use crate::method::{Given, Login, LoginError};

/// A token and what the server said of it.
#[derive(Clone, Debug)]
pub struct LoggedIn {
    token: Arc<Token>,
    accessor: Option<Arc<Accessor>>,
    grant: Grant,
    /// When it was asked for.
    at: Instant,
}

impl LoggedIn {
    /// The token.
    pub fn token(&self) -> &Arc<Token> {
        &self.token
    }

    /// As it is now; `None` once it has ended.
    pub(super) fn now(self) -> Option<(Arc<Token>, Option<Arc<Accessor>>, Grant)> {
        let Self { token, accessor, mut grant, at } = self;
        if let Some(ttl) = grant.ttl.duration() {
            let left = ttl.saturating_sub(at.elapsed()).as_secs();
            // Zero seconds would be taken for no end.
            grant.ttl = (left > 0).then(|| Ttl::from_seconds(left))?;
        }
        Some((token, accessor, grant))
    }
}

impl AutoAuth {
    /// Logs in once; nothing is kept, published or repeated, and the answer is never wrapped.
    ///
    /// # Errors
    /// Why it failed.
    pub async fn log_in(mut self) -> Result<LoggedIn, LoginError> {
        let at = Instant::now();
        self.door.wrap_ttl = None;
        let Login { given, grant } = self.door.ask(self.method.as_mut()).await?;
        match given {
            Given::Token(token, accessor) => {
                Ok(LoggedIn { token: Arc::new(token), accessor: accessor.map(Arc::new), grant, at })
            }
            // Not without `wrap_ttl`.
            Given::Wrapped(_) => Err(LoginError::NoCredentials("the token came wrapped".to_owned())),
        }
    }

    /// Goes on with a login of the same method, instead of logging in first.
    #[must_use]
    pub fn going_on_with(mut self, login: Option<LoggedIn>) -> Self {
        self.door.handed_on = login;
        self
    }
}
