//! One way to log in with all that hangs on it: the token, those who deliver it, and those who keep it alive.

use std::sync::Arc;

use auto_auth::sink::{Sink, SinkError, Wrapper};
use auto_auth::{AutoAuth, LoggedIn, Reauth, ReauthRequests, Record};
use config::Environment;
use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, Span, error_span};
use vault::api::Caller;
use vault::{ClientSettings, Namespace, TokenState, Upstream};

use super::report::IdentityPart;
use super::tasks::{Scope, TaskError, Tasks};

/// One `auto_auth` stanza, as everybody who uses its token sees it.
#[derive(Clone)]
pub(super) struct Identity {
    /// Where its token is shown.
    pub(super) tokens: watch::Receiver<TokenState>,
    /// Where to say that its token was refused.
    pub(super) reauth: Reauth,
    /// Where its token asks.
    pub(super) namespace: Option<Namespace>,
    /// What became of its logins.
    pub(super) record: Arc<Record>,
    /// Puts its name into the log lines of all who work for it; nothing for the one without a name.
    pub(super) span: Span,
}

/// The other ends, for the one who logs in.
pub(super) struct Ends {
    tokens: watch::Sender<TokenState>,
    requests: ReauthRequests,
}

/// The server, as logins reach it.
pub(super) struct Door {
    pub(super) upstream: Arc<dyn Upstream>,
    pub(super) client: ClientSettings,
    pub(super) caller: Caller,
}

impl Identity {
    pub(super) fn new(settings: &config::AutoAuth) -> (Self, Ends) {
        let (sender, tokens) = watch::channel(TokenState::default());
        let (reauth, requests) = Reauth::new();
        let span = match &settings.name {
            Some(name) => error_span!("identity", auto_auth = %name),
            None => Span::none(),
        };
        let namespace = settings.namespace.clone();
        let record = Arc::default();
        (Self { tokens, reauth, namespace, record, span }, Ends { tokens: sender, requests })
    }

    /// As reports show it.
    pub(super) fn part(&self, settings: &config::AutoAuth) -> IdentityPart {
        IdentityPart {
            name: settings.name.clone().unwrap_or_default(),
            method: settings.method.kind.name(),
            mount: settings.method.mount.to_string(),
            namespace: self.namespace.as_ref().map(|namespace| namespace.as_str().to_owned()),
            record: Arc::clone(&self.record),
            tokens: self.tokens.clone(),
        }
    }

    /// One of its sinks, made and not yet running.
    ///
    /// # Errors
    /// It cannot be.
    pub(super) fn sink(&self, settings: &config::Sink, door: &Door) -> Result<Sink, SinkError> {
        let wrapper = Wrapper {
            upstream: Arc::clone(&door.upstream),
            caller: self.caller(door),
            reauth: self.reauth.clone(),
        };
        self.span.in_scope(|| Sink::new(settings, wrapper))
    }

    /// Has a sink deliver its token.
    pub(super) fn deliver(&self, sink: Sink, scope: &Scope, tasks: &mut Tasks, ready: &TaskTracker) {
        let sink = sink.run(self.tokens.clone(), ready.token()).map(Ok);
        tasks.start_in(scope, "sink", sink.instrument(self.span.clone()));
    }

    /// Starts its login, or goes on with one made before.
    pub(super) fn log_in(
        &self,
        (ends, before): (Ends, Option<LoggedIn>),
        settings: &config::AutoAuth,
        door: &Door,
        environment: &Arc<Environment>,
        (scope, tasks): (&Scope, &mut Tasks),
    ) {
        let upstream = Arc::clone(&door.upstream);
        let (caller, environment) = (self.caller(door), Arc::clone(environment));
        let login = AutoAuth::new(settings, upstream, caller, environment, ends.tokens, ends.requests)
            .with_client(&door.client)
            .with_record(Arc::clone(&self.record))
            .going_on_with(before)
            .run()
            .map(|ended| ended.map_err(|error| TaskError::Failed(error.to_string())));
        tasks.start_in(scope, "auto-auth", login.instrument(self.span.clone()));
    }

    fn caller(&self, door: &Door) -> Caller {
        Caller { namespace: self.namespace.clone(), ..door.caller.clone() }
    }
}
