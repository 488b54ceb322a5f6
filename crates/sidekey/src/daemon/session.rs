//! A login for the length of one piece of work of the command line: looking at secrets before anything is started.

use std::pin::pin;
use std::sync::Arc;

use config::{Environment, MethodKind, Settings};
use tokio::time::timeout;
use vault::api::Caller;
use vault::{Client, RetryPolicy, Subsystem, Token, Upstream, user_agent};

use super::build::client_settings;
use super::once::{OnceError, PATIENCE, end, log_in};
use super::signals::Signals;

/// The server, and a token to ask it with.
pub(crate) struct Session {
    pub(crate) upstream: Arc<dyn Upstream>,
    pub(crate) caller: Caller,
    pub(crate) token: Arc<Token>,
}

/// Does `work` with `token`, or else with the login of the first `auto_auth`, whose token is revoked at the end. The
/// second value is why it lives on. A server that fails is asked again a few times only: somebody waits.
///
/// # Errors
/// [`OnceError`]; nothing was done then.
pub(crate) async fn with_session<T>(
    settings: &Settings,
    environment: &Environment,
    token: Option<Token>,
    work: impl AsyncFnOnce(Session) -> T,
) -> Result<(T, Option<String>), OnceError> {
    let mut signals = Signals::listen().map_err(OnceError::Signals)?;
    let client = Client::new(&client_settings(settings, true))?.with_retry(RetryPolicy::AtMost(2));
    let auto_auth = settings.auto_auths.first();
    let caller = |subsystem| Caller {
        user_agent: user_agent(settings.product, subsystem),
        namespace: auto_auth.map_or(&settings.vault.namespace, |auto_auth| &auto_auth.namespace).clone(),
        address: settings.vault.address.to_string(),
        timeout: settings.vault.timeout,
    };
    let is_login =
        token.is_none() && auto_auth.is_some_and(|one| !matches!(one.method.kind, MethodKind::TokenFile(_)));
    let token = match token {
        Some(token) => Arc::new(token),
        None => {
            let auto_auth = auto_auth.ok_or(OnceError::NoLogin)?;
            let own = Arc::new(client.with_retry(RetryPolicy::Never));
            let environment = Arc::new(environment.clone());
            let mut login = pin!(log_in(settings, auto_auth, own, caller(Subsystem::AutoAuth), environment));
            tokio::select! {
                token = &mut login => token?,
                () = end(&mut signals) => {
                    // Its token exists once the server has the request, and only the answer tells which it is.
                    if is_login && let Ok(Ok(token)) = timeout(PATIENCE, login).await {
                        let _ = caller(Subsystem::AutoAuth).revoke_self(&client, &token).await;
                    }
                    return Err(OnceError::Interrupted);
                }
            }
        }
    };
    let caller = caller(Subsystem::Templating);
    let session =
        Session { upstream: Arc::new(client.clone()), caller: caller.clone(), token: Arc::clone(&token) };
    let done = tokio::select! {
        biased;
        () = end(&mut signals) => None,
        done = work(session) => Some(done),
    };
    let mut not_revoked = None;
    if is_login {
        not_revoked = tokio::select! {
            revoked = caller.revoke_self(&client, &token) => revoked.err().map(|error| error.to_string()),
            // Whoever asks twice does not want to wait for a server that does not answer.
            () = end(&mut signals) => Some("interrupted".to_owned()),
        };
    }
    done.map(|done| (done, not_revoked)).ok_or(OnceError::Interrupted)
}
