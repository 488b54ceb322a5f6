//! Rendering once for the command line: log in, render, give the login's token back.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use auto_auth::{AutoAuth, AutoAuthError, Reauth};
use config::{AutoAuth as AutoAuthSettings, Environment, Method, MethodKind, Settings, Template};
use template::{OnceSettings, Rendered};
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::timeout;
use vault::api::Caller;
use vault::{Client, RetryPolicy, Subsystem, TlsError, Token, TokenState, Upstream, user_agent};

use super::build::{client_settings, for_commands};
use super::signals::{Asked, Signals};

/// Why nothing was rendered.
#[derive(Debug, Error)]
pub(crate) enum OnceError {
    /// TLS towards the server.
    #[error("Error fetching client: {0}")]
    Tls(#[from] TlsError),
    /// Nobody says how to log in.
    #[error("there is no auto_auth in the configuration; name a file with a token by -token-file")]
    NoLogin,
    /// The login can be had once only, and is the agent's.
    #[error(
        "a login of this method can be made once only (a wrapped secret id, or an instance whose nonce is not kept); name a file with a token by -token-file instead"
    )]
    OneUse,
    /// Nobody can tell us to stop.
    #[error("cannot listen for signals: {0}")]
    Signals(std::io::Error),
    /// Somebody pressed Ctrl-C, or ended us.
    #[error("interrupted; nothing was rendered")]
    Interrupted,
    /// The login failed.
    #[error("cannot log in: {0}")]
    Login(#[from] AutoAuthError),
}

/// What came of it.
pub(crate) struct Once {
    /// The templates, or that somebody did not want to wait for them.
    pub(crate) rendered: Result<Vec<Rendered>, OnceError>,
    /// Why the token of our login lives on.
    pub(crate) not_revoked: Option<String>,
}

/// How long a login that was begun is waited for when nobody wants it any more: without its answer, its token could
/// not be revoked.
const PATIENCE: Duration = Duration::from_secs(5);

/// Renders `templates` with what the server has. With `token` there is no login; else the configuration's login
/// is used and its token revoked at the end, with every lease that the templates made; so it is when a signal ends it
/// before, and then programs under way are killed. No file is touched: a
/// secret id that an agent would remove stays.
///
/// # Errors
/// [`OnceError`]; each template's own is in its [`Rendered`].
pub(crate) async fn render_once(
    settings: &Settings,
    environment: &Environment,
    templates: &[Template],
    token: Option<Token>,
) -> Result<Once, OnceError> {
    let client = Client::new(&client_settings(settings, true))?;
    let upstream: Arc<dyn Upstream> = Arc::new(client.clone());
    let caller = |subsystem| Caller {
        user_agent: user_agent(settings.product, subsystem),
        namespace: settings.vault.namespace.clone(),
        address: settings.vault.address.to_string(),
        timeout: settings.vault.timeout,
    };
    let mut signals = Signals::listen().map_err(OnceError::Signals)?;
    let mut interrupted = false;
    let (token, is_ours) = match token {
        Some(token) => (Arc::new(token), false),
        None => {
            let own = Arc::new(client.with_retry(RetryPolicy::Never));
            let mut login =
                pin!(log_in(settings, own, caller(Subsystem::AutoAuth), Arc::new(environment.clone())));
            let token = tokio::select! {
                token = &mut login => token?,
                () = end(&mut signals) => {
                    interrupted = true;
                    // Its token exists once the server has the request, and only the answer tells which it is.
                    let late = timeout(PATIENCE, login).await;
                    late.map_err(|_| OnceError::Interrupted)?.map_err(|_| OnceError::Interrupted)?
                }
            };
            (token, true)
        }
    };
    let once = OnceSettings {
        shared: settings.template_config.clone(),
        environment: environment.pairs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        for_commands: for_commands(settings),
    };
    let templating = caller(Subsystem::Templating);
    // An impatient user must not leave a token and its leases behind.
    let rendered = tokio::select! {
        biased;
        () = end(&mut signals), if !interrupted => None,
        () = std::future::ready(()), if interrupted => None,
        rendered = template::render_once(templates, &once, Arc::clone(&upstream), templating.clone(), &token) => Some(rendered),
    };
    // A token file of the configuration holds somebody else's token.
    let is_login =
        settings.auto_auth.as_ref().is_some_and(|auto| !matches!(auto.method.kind, MethodKind::TokenFile(_)));
    let mut not_revoked = None;
    if is_ours && is_login {
        not_revoked = tokio::select! {
            revoked = templating.revoke_self(&*upstream, &token) => revoked.err().map(|error| error.to_string()),
            // Whoever asks twice does not want to wait for a server that does not answer.
            () = end(&mut signals) => Some("interrupted".to_owned()),
        };
    }
    Ok(Once { rendered: rendered.ok_or(OnceError::Interrupted), not_revoked })
}

/// A signal that ends the program. SIGHUP does, too: the terminal is gone.
async fn end(signals: &mut Signals) {
    while signals.next().await == Asked::Nothing {}
}

async fn log_in(
    settings: &Settings,
    upstream: Arc<dyn Upstream>,
    caller: Caller,
    environment: Arc<Environment>,
) -> Result<Arc<Token>, OnceError> {
    let auto_auth = settings.auto_auth.as_ref().ok_or(OnceError::NoLogin)?;
    let kind = auto_auth.method.kind.sparing().ok_or(OnceError::OneUse)?;
    let method = Method { kind, exit_on_err: true, wrap_ttl: None, ..auto_auth.method.clone() };
    // The stored token is the agent's, and would be revoked at the end.
    let auto_auth = AutoAuthSettings { method, token_store: None, ..auto_auth.clone() };
    let (sender, mut tokens) = watch::channel(TokenState::default());
    let (_reauth, requests) = Reauth::new();
    let driver = AutoAuth::new(&auto_auth, upstream, caller, environment, sender, requests)
        .with_client(&client_settings(settings, true))
        .run();
    tokio::pin!(driver);
    loop {
        tokio::select! {
            ended = &mut driver => ended?,
            _ = tokens.changed() => {}
        }
        if let Some(token) = tokens.borrow_and_update().token.clone() {
            return Ok(token);
        }
    }
}
