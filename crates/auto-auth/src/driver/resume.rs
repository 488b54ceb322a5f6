//! Taking up the token of the last run.

use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::info;
use vault::api::ApiError;
use vault::{Accessor, SendError, Token};

use super::{CALL_TIMEOUT, Door, granted, is_gone};
use crate::method::{Attempt, Given, Login, LoginError};

impl Door {
    /// Of the last run, before anything is asked.
    pub(super) async fn load(&self) -> Option<Token> {
        let store = self.store.clone()?;
        spawn_blocking(move || store.load()).await.unwrap_or_default()
    }

    /// The last run's token, if the server still knows it. It is kept while the server cannot be asked.
    pub(super) async fn take_up_stored(&mut self) -> Result<Option<Login>, LoginError> {
        let Some(token) = self.stored.clone() else { return Ok(None) };
        let server = self.upstream.as_ref();
        let asked = Attempt::Lookup(token.clone()).carry_out(server, &self.caller, None);
        let refused = match timeout(CALL_TIMEOUT, asked).await {
            Ok(Ok(login)) => {
                info!(target: "auth.handler", "the stored token of the last run is still good");
                self.stored = None;
                return Ok(Some(login));
            }
            Ok(Err(LoginError::Api(error))) if !error.status().is_some_and(is_gone) => {
                return Err(error.into());
            }
            Ok(Err(error)) => error,
            Err(_) => return Err(ApiError::Send(SendError::TimedOut(CALL_TIMEOUT)).into()),
        };
        // A live token without the default policy may not look itself up; a renewal tells as much.
        if self.alive(&token).await == Some(true)
            && let Ok(Ok(secret)) = timeout(CALL_TIMEOUT, self.caller.renew_self(server, &token)).await
            && let Some(auth) = secret.auth
        {
            info!(target: "auth.handler", "the stored token of the last run is still good");
            self.stored = None;
            let given = Given::Token(token, Accessor::new(auth.accessor.clone()));
            return Ok(Some(Login { given, grant: granted(&auth) }));
        }
        info!(target: "auth.handler", error = %refused, "the stored token of the last run is of no use any more");
        self.stored = None;
        Ok(None)
    }
}
