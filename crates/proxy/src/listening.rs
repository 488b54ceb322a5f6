//! A listener that is at work gets other settings: in place, or by another that takes its socket over.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use config::{Endpoint, Listener, ListenerTls, Role};
use tracing::error;

use crate::counters::Counters;
use crate::doors::Doors;
use crate::listener::{Accepting, Bound, ListenError, bind_error};
use crate::route::{Context, Site, Sites};
use crate::tls::CertificateReloader;

/// A listener at work, for whoever wants to change it.
pub struct Listening {
    pub(crate) settings: Listener,
    pub(crate) socket: Accepting,
    pub(crate) tls: Option<CertificateReloader>,
    pub(crate) address: String,
    pub(crate) sites: Sites,
    pub(crate) doors: Arc<Doors>,
}

impl Listening {
    /// Whether these settings need nothing but another look at each request: neither the socket nor the connections
    /// have to be others.
    pub fn fits(&self, settings: &Listener) -> bool {
        let old = &self.settings;
        settings.tls == old.tls
            && settings.limits == old.limits
            && settings.access.rate == old.access.rate
            && settings.access.peers == old.access.peers
    }

    /// From the next request on it goes by these settings, which [`Listening::fits`] has to have found fit.
    pub fn serve(&mut self, settings: &Listener, context: Arc<Context>) {
        let endpoint = self.settings.endpoint.clone();
        self.set_access(settings);
        self.settings = Listener { endpoint, ..settings.clone() };
        self.sites.replace(Site::new(context, &self.settings, Arc::clone(&self.doors)));
    }

    /// Another listener on the same socket: nobody who connects is refused. This one goes on until
    /// [`Listening::retire`].
    ///
    /// # Errors
    /// [`ListenError`].
    pub fn succeeded(&self, settings: &Listener) -> Result<Bound, ListenError> {
        let tls = settings.tls.as_ref().map(CertificateReloader::new).transpose()?;
        let socket = match &self.socket {
            Accepting::Tcp(sockets) => Accepting::Tcp(sockets.clone()),
            Accepting::Unix(socket) => {
                let failed = |error: io::Error| bind_error("unix", &self.address, &error);
                Accepting::Unix(Arc::new(socket.succeeded(&settings.access.peers).map_err(failed)?))
            }
        };
        let bare = self.address.split_once("://").map_or(self.address.as_str(), |(_, bare)| bare);
        let address = match (&self.socket, &tls) {
            (Accepting::Unix(_), _) => self.address.clone(),
            (Accepting::Tcp(_), None) => format!("http://{bare}"),
            (Accepting::Tcp(_), Some(_)) => format!("https://{bare}"),
        };
        let endpoint = self.settings.endpoint.clone();
        let doors = Arc::new(self.doors.succeeded(settings.limits.clone(), settings.access.rate));
        Ok(Bound { settings: Listener { endpoint, ..settings.clone() }, socket, tls, address, doors })
    }

    /// Accepts nobody any more. Connections end behind their next answer, at the latest in a few seconds.
    pub fn retire(&self) {
        self.doors.retired.cancel();
    }

    /// The same in favour of another with these settings, by which what is still asked here is judged. Where others may
    /// connect there, connections end behind the request under way; another certificate of ours is no reason.
    pub fn retire_for(mut self, settings: &Listener, context: Arc<Context>) {
        let who = |settings: &Listener| {
            let tls = settings.tls.clone();
            tls.map(|tls| ListenerTls {
                cert_file: PathBuf::new(),
                key_file: PathBuf::new(),
                reload: None,
                ..tls
            })
        };
        if who(settings) != who(&self.settings) || settings.access.peers != self.settings.access.peers {
            self.doors.closed.cancel();
        }
        let endpoint = self.settings.endpoint.clone();
        self.settings = Listener { endpoint, ..settings.clone() };
        self.sites.replace(Site::new(context, &self.settings, Arc::clone(&self.doors)));
        self.retire();
    }

    /// Gives the socket's file the mode and the owner that the settings want.
    pub fn set_access(&self, settings: &Listener) {
        if let (Accepting::Unix(socket), Endpoint::Unix { path, access }) = (&self.socket, &settings.endpoint)
            && let Err(error) = socket.set(access)
        {
            error!(target: "listener", path = %path.display(), error = %error, "mode and owner of the socket stay as they were");
        }
    }

    /// `http://127.0.0.1:8200`, with the real port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Puts new certificates in, for listeners with TLS.
    pub fn certificates(&self) -> Option<&CertificateReloader> {
        self.tls.as_ref()
    }

    /// What is counted here.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.doors.counters)
    }

    /// Whether it serves numbers alone.
    pub fn is_for_metrics_only(&self) -> bool {
        self.settings.role == Role::MetricsOnly
    }
}
