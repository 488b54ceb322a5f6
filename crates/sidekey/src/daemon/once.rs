//! Rendering once for the command line: log in, render, give the login's token back.

use std::sync::Arc;

use auto_auth::{AutoAuth, AutoAuthError, Reauth};
use config::{AutoAuth as AutoAuthSettings, Environment, Method, MethodKind, Settings, Template};
use template::{OnceSettings, Rendered};
use thiserror::Error;
use tokio::sync::watch;
use vault::api::{ApiError, Caller};
use vault::{Client, RetryPolicy, Subsystem, TlsError, Token, TokenState, Upstream, user_agent};

use super::build::{client_settings, for_commands};

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
        "the secret id is wrapped and can be used once only; name a file with a token by -token-file instead"
    )]
    OneUse,
    /// Somebody pressed Ctrl-C.
    #[error("interrupted; nothing was rendered, and the login's token is revoked")]
    Interrupted,
    /// The login failed.
    #[error("cannot log in: {0}")]
    Login(#[from] AutoAuthError),
}

/// Renders `templates` with what the server has. With `token` there is no login; else the configuration's login
/// is used and its token revoked at the end, with every lease that the templates made. No file is touched: a
/// secret id that an agent would remove stays.
///
/// # Errors
/// [`OnceError`]; each template's own is in its [`Rendered`].
pub(crate) async fn render_once(
    settings: &Settings,
    environment: &Environment,
    templates: &[Template],
    token: Option<Token>,
) -> Result<(Vec<Rendered>, Option<ApiError>), OnceError> {
    let client = Client::new(&client_settings(settings, true))?;
    let upstream: Arc<dyn Upstream> = Arc::new(client.clone());
    let caller = |subsystem| Caller {
        user_agent: user_agent(settings.product, subsystem),
        namespace: settings.vault.namespace.clone(),
        address: settings.vault.address.to_string(),
        timeout: settings.vault.timeout,
    };
    let (token, is_ours) = match token {
        Some(token) => (Arc::new(token), false),
        None => {
            let own = Arc::new(client.with_retry(RetryPolicy::Never));
            (log_in(settings, own, caller(Subsystem::AutoAuth), Arc::new(environment.clone())).await?, true)
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
        rendered = template::render_once(templates, &once, Arc::clone(&upstream), templating.clone(), &token) => Ok(rendered),
        _ = tokio::signal::ctrl_c() => Err(OnceError::Interrupted),
    };
    // A token file of the configuration holds somebody else's token.
    let is_login =
        settings.auto_auth.as_ref().is_some_and(|auto| !matches!(auto.method.kind, MethodKind::TokenFile(_)));
    let not_revoked =
        if is_ours && is_login { templating.revoke_self(&*upstream, &token).await.err() } else { None };
    Ok((rendered?, not_revoked))
}

async fn log_in(
    settings: &Settings,
    upstream: Arc<dyn Upstream>,
    caller: Caller,
    environment: Arc<Environment>,
) -> Result<Arc<Token>, OnceError> {
    let auto_auth = settings.auto_auth.as_ref().ok_or(OnceError::NoLogin)?;
    let kind = auto_auth.method.kind.sparing().ok_or(OnceError::OneUse)?;
    let method = Method { kind, exit_on_err: true, ..auto_auth.method.clone() };
    let auto_auth = AutoAuthSettings { method, ..auto_auth.clone() };
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
