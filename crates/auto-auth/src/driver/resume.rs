//! Taking up the token of the last run.

use std::sync::Arc;

use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::info;
use vault::api::ApiError;
use vault::{Accessor, Instead, LastToken, SendError};

use super::{CALL_TIMEOUT, Door, granted, is_gone};
use crate::method::{Attempt, Given, Login, LoginError};

impl Door {
    /// Of the last run, before anything is asked. Everybody may know it meanwhile, as what it is.
    pub(super) async fn load(&mut self) {
        let Some(store) = self.store.clone() else { return };
        let Some((token, accessor)) = spawn_blocking(move || store.load()).await.unwrap_or_default() else {
            return;
        };
        self.stored = Some(token.clone());
        let (token, accessor) = (Arc::new(token), accessor.map(Arc::new));
        self.expect(Some(LastToken { token, accessor, server_is_away: false }));
    }

    fn expect(&self, last: Option<LastToken>) {
        self.tokens.send_modify(|state| state.instead = last.map(Instead::Last).map(Arc::new));
    }

    /// Nobody shall wait for what the server does not say.
    fn server_is_away(&self) {
        let last = self.tokens.borrow().last().filter(|last| !last.server_is_away).cloned();
        if let Some(last) = last {
            self.expect(Some(LastToken { server_is_away: true, ..last }));
        }
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
                self.server_is_away();
                return Err(error.into());
            }
            Ok(Err(error)) => error,
            Err(_) => {
                self.server_is_away();
                return Err(ApiError::Send(SendError::TimedOut(CALL_TIMEOUT)).into());
            }
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
        self.expect(None);
        Ok(None)
    }
}
