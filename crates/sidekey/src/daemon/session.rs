//! A login for a piece of work of the command line: looking at secrets before anything is started.

use std::pin::pin;
use std::sync::Arc;

use auto_auth::LoggedIn;
use config::{Environment, MethodKind, Settings};
use tokio::time::timeout;
use vault::api::Caller;
use vault::{Client, RetryPolicy, Subsystem, Token, Upstream};

use super::build::{caller, client_settings};
use super::once::{OnceError, PATIENCE, end, log_in};
use super::signals::Signals;

/// The server, and a token to ask it with.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) upstream: Arc<dyn Upstream>,
    pub(crate) caller: Caller,
    pub(crate) token: Arc<Token>,
}

/// A session that is to be closed, or that a daemon goes on with.
pub(crate) struct OpenSession {
    session: Session,
    /// Unless a token was given.
    pub(super) login: Option<LoggedIn>,
    /// The token is ours alone.
    is_own: bool,
    /// With those that have come meanwhile.
    pub(super) signals: Signals,
}

impl OpenSession {
    /// With `token`, or else with a login of the first `auto_auth`. A server that fails is asked again a few times
    /// only: somebody waits.
    ///
    /// # Errors
    /// [`OnceError`]; no token of ours lives then.
    pub(crate) async fn open(
        settings: &Settings,
        environment: &Environment,
        token: Option<Token>,
    ) -> Result<Self, OnceError> {
        let mut signals = Signals::listen().map_err(OnceError::Signals)?;
        let client = Client::new(&client_settings(settings, true))?.with_retry(RetryPolicy::AtMost(2));
        let auto_auth = settings.auto_auths.first();
        let caller = |subsystem| Caller {
            namespace: auto_auth.map_or(&settings.vault.namespace, |auto_auth| &auto_auth.namespace).clone(),
            ..caller(settings, subsystem)
        };
        // A token file holds somebody else's.
        let is_own = token.is_none()
            && auto_auth.is_some_and(|one| !matches!(one.method.kind, MethodKind::TokenFile(_)));
        let (token, login) = match token {
            Some(token) => (Arc::new(token), None),
            None => {
                let auto_auth = auto_auth.ok_or(OnceError::NoLogin)?;
                let own = Arc::new(client.with_retry(RetryPolicy::Never));
                let environment = Arc::new(environment.clone());
                let mut login =
                    pin!(log_in(settings, auto_auth, own, caller(Subsystem::AutoAuth), environment));
                let login = tokio::select! {
                    login = &mut login => login?,
                    () = end(&mut signals) => {
                        // Its token exists once the server has the request, and only the answer tells which it is.
                        if is_own && let Ok(Ok(login)) = timeout(PATIENCE, login).await {
                            let _ = caller(Subsystem::AutoAuth).revoke_self(&client, login.token()).await;
                        }
                        return Err(OnceError::Interrupted);
                    }
                };
                (Arc::clone(login.token()), Some(login))
            }
        };
        let session = Session { upstream: Arc::new(client), caller: caller(Subsystem::Templating), token };
        Ok(Self { session, login, is_own, signals })
    }

    /// Does `work`.
    ///
    /// # Errors
    /// Somebody did not want to wait for it.
    pub(crate) async fn work<T>(&mut self, work: impl AsyncFnOnce(Session) -> T) -> Result<T, OnceError> {
        tokio::select! {
            biased;
            () = end(&mut self.signals) => Err(OnceError::Interrupted),
            done = work(self.session.clone()) => Ok(done),
        }
    }

    /// The session for whoever may have to revoke its token behind the daemon's end, if that is ours.
    pub(crate) fn own(&self) -> Option<Session> {
        self.is_own.then(|| self.session.clone())
    }

    /// Revokes the token if it is ours; gives why it lives on.
    pub(crate) async fn close(mut self) -> Option<String> {
        if !self.is_own {
            return None;
        }
        let Session { upstream, caller, token } = &self.session;
        tokio::select! {
            revoked = caller.revoke_self(&**upstream, token) => revoked.err().map(|error| error.to_string()),
            // Whoever asks twice does not want to wait for a server that does not answer.
            () = end(&mut self.signals) => Some("interrupted".to_owned()),
        }
    }
}

/// Does `work` in a session of its own. The second value is why its token lives on.
///
/// # Errors
/// [`OnceError`]; nothing was done then, or not all.
pub(crate) async fn with_session<T>(
    settings: &Settings,
    environment: &Environment,
    token: Option<Token>,
    work: impl AsyncFnOnce(Session) -> T,
) -> Result<(T, Option<String>), OnceError> {
    let mut session = OpenSession::open(settings, environment, token).await?;
    let done = session.work(work).await;
    let not_revoked = session.close().await;
    Ok((done?, not_revoked))
}
