//! Rendering once for the command line: log in, render, give the login's token back.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use auto_auth::{AutoAuth, LoggedIn, LoginError, Reauth};
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
    #[error("interrupted")]
    Interrupted,
    /// The login failed.
    #[error("cannot log in{who}: {why}")]
    Login {
        /// Which of several.
        who: String,
        /// Why.
        #[source]
        why: LoginError,
    },
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
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Renders `templates` with what the server has. With `token` there is no login; else the logins of their `auto_auth`s
/// are used, one after the other, and each token is revoked at its end, with every lease that the templates made; so
/// it is when a signal ends it before, and then programs under way are killed. No file is touched: a secret id that an
/// agent would remove stays.
///
/// # Errors
/// [`OnceError`]; each template's own is in its [`Rendered`].
pub(crate) async fn render_once(
    settings: &Settings,
    environment: &Environment,
    templates: &[Template],
    token: Option<Token>,
) -> Result<Once, OnceError> {
    let mut signals = Signals::listen().map_err(OnceError::Signals)?;
    let token = token.map(Arc::new);
    let mut whose: Vec<Option<usize>> = templates.iter().map(|template| template.auto_auth).collect();
    whose.sort_unstable();
    whose.dedup();
    let mut all = Vec::new();
    let mut not_revoked = None;
    for whose in whose {
        let theirs = |template: &&Template| template.auto_auth == whose;
        let own: Vec<Template> = templates.iter().filter(theirs).cloned().collect();
        let auto_auth = whose.and_then(|whose| settings.auto_auths.get(whose));
        let once = render_as(settings, auto_auth, environment, &own, token.clone(), &mut signals).await?;
        not_revoked = not_revoked.or(once.not_revoked);
        match once.rendered {
            Ok(rendered) => all.push((whose, rendered.into_iter())),
            Err(error) => return Ok(Once { rendered: Err(error), not_revoked }),
        }
    }
    // In the order they were asked for.
    let next = |template: &Template| {
        all.iter_mut()
            .find(|(whose, _)| *whose == template.auto_auth)
            .and_then(|(_, rendered)| rendered.next())
    };
    let rendered = templates.iter().filter_map(next).collect();
    Ok(Once { rendered: Ok(rendered), not_revoked })
}

/// Renders the templates of one `auto_auth`.
async fn render_as(
    settings: &Settings,
    auto_auth: Option<&AutoAuthSettings>,
    environment: &Environment,
    templates: &[Template],
    token: Option<Arc<Token>>,
    signals: &mut Signals,
) -> Result<Once, OnceError> {
    let client = Client::new(&client_settings(settings, true))?;
    let upstream: Arc<dyn Upstream> = Arc::new(client.clone());
    let caller = |subsystem| Caller {
        user_agent: user_agent(settings.product, subsystem),
        namespace: match auto_auth {
            Some(auto_auth) => auto_auth.namespace.clone(),
            None => settings.vault.namespace.clone(),
        },
        address: settings.vault.address.to_string(),
        timeout: settings.vault.timeout,
    };
    let mut interrupted = false;
    let (token, is_ours) = match token {
        Some(token) => (token, false),
        None => {
            let auto_auth = auto_auth.ok_or(OnceError::NoLogin)?;
            let own = Arc::new(client.with_retry(RetryPolicy::Never));
            let environment = Arc::new(environment.clone());
            let mut login = pin!(log_in(settings, auto_auth, own, caller(Subsystem::AutoAuth), environment));
            let login = tokio::select! {
                login = &mut login => login?,
                () = end(signals) => {
                    interrupted = true;
                    // Its token exists once the server has the request, and only the answer tells which it is.
                    let late = timeout(PATIENCE, login).await;
                    late.map_err(|_| OnceError::Interrupted)?.map_err(|_| OnceError::Interrupted)?
                }
            };
            (Arc::clone(login.token()), true)
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
        () = end(signals), if !interrupted => None,
        () = std::future::ready(()), if interrupted => None,
        rendered = template::render_once(templates, &once, Arc::clone(&upstream), templating.clone(), &token) => Some(rendered),
    };
    // A token file of the configuration holds somebody else's token.
    let is_login = auto_auth.is_some_and(|auto| !matches!(auto.method.kind, MethodKind::TokenFile(_)));
    let mut not_revoked = None;
    if is_ours && is_login {
        not_revoked = tokio::select! {
            revoked = templating.revoke_self(&*upstream, &token) => revoked.err().map(|error| error.to_string()),
            // Whoever asks twice does not want to wait for a server that does not answer.
            () = end(signals) => Some("interrupted".to_owned()),
        };
    }
    Ok(Once { rendered: rendered.ok_or(OnceError::Interrupted), not_revoked })
}

/// A signal that ends the program. SIGHUP does, too: the terminal is gone.
pub(super) async fn end(signals: &mut Signals) {
    while !matches!(signals.next().await, Asked::Stop | Asked::Reload) {}
}

/// One login by the method of `auto_auth`, which spares files that an agent would remove.
pub(super) async fn log_in(
    settings: &Settings,
    auto_auth: &AutoAuthSettings,
    upstream: Arc<dyn Upstream>,
    caller: Caller,
    environment: Arc<Environment>,
) -> Result<LoggedIn, OnceError> {
    let failed = |why| OnceError::Login {
        who: auto_auth.name.clone().map(|name| format!(" as {name:?}")).unwrap_or_default(),
        why,
    };
    let kind = auto_auth.method.kind.sparing().ok_or(OnceError::OneUse)?;
    let method = Method { kind, ..auto_auth.method.clone() };
    let auto_auth = AutoAuthSettings { method, ..auto_auth.clone() };
    // Nobody else sees this token.
    let (sender, _tokens) = watch::channel(TokenState::default());
    let (_reauth, requests) = Reauth::new();
    let login = AutoAuth::new(&auto_auth, upstream, caller, environment, sender, requests)
        .with_client(&client_settings(settings, true));
    login.log_in().await.map_err(failed)
}
