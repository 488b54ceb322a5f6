//! Binding, accepting, ending.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use config::{Endpoint, Listener};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::access;
use crate::breach::Breach;
use crate::counters::Counters;
use crate::doors::{Doors, Entered, Who};
use crate::link::Link;
use crate::route::{Context, Site};
use crate::serve::{serve_http1, serve_http2};
use crate::socket::{self, Socket};
use crate::tls::{self, CertificateReloader, ListenerTlsError};

/// Why a listener cannot be. Worded as upstream's.
#[derive(Debug, Error)]
pub enum ListenError {
    /// The address cannot be bound.
    #[error("Error starting listener: listen {network} {address}: {reason}")]
    Bind {
        /// `tcp` or `unix`.
        network: &'static str,
        /// Address or path.
        address: String,
        /// Why.
        reason: String,
    },
    /// Its certificates cannot be used.
    #[error("Error starting listener: {0}")]
    Tls(#[from] ListenerTlsError),
}

/// A bound listener that serves nobody yet.
pub struct Bound {
    settings: Listener,
    socket: Accepting,
    tls: Option<(TlsAcceptor, CertificateReloader)>,
    address: String,
    doors: Arc<Doors>,
}

enum Accepting {
    Tcp(TcpListener),
    Unix(Socket),
}

impl Bound {
    /// Binds and reads certificates; serves nobody before [`Bound::run`].
    ///
    /// # Errors
    /// [`ListenError`].
    pub async fn bind(settings: &Listener) -> Result<Self, ListenError> {
        let tls = match &settings.tls {
            None => None,
            Some(files) => {
                let (config, reloader) = tls::server_config(files)?;
                Some((TlsAcceptor::from(config), reloader))
            }
        };
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (socket, address) = match &settings.endpoint {
            Endpoint::Tcp(address) => {
                let failed = |error: io::Error| bind_error("tcp", &address.to_string(), &error);
                let listener = TcpListener::bind(address).await.map_err(failed)?;
                let bound = listener.local_addr().map_err(failed)?;
                (Accepting::Tcp(listener), format!("{scheme}://{bound}"))
            }
            Endpoint::Unix { path, access } => {
                let shown = path.display().to_string();
                let socket =
                    socket::bind(path, access).map_err(|error| bind_error("unix", &shown, &error))?;
                (Accepting::Unix(socket), format!("unix://{shown}"))
            }
        };
        let doors = Arc::new(Doors::new(settings.limits.clone()));
        Ok(Self { settings: settings.clone(), socket, tls, address, doors })
    }

    /// `http://127.0.0.1:8200`, with the real port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Puts new certificates in, for listeners with TLS.
    pub fn certificates(&self) -> Option<CertificateReloader> {
        self.tls.as_ref().map(|(_, reloader)| reloader.clone())
    }

    /// What is counted here.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.doors.counters)
    }

    /// Accepts and serves until `stop` is cancelled, then lets the requests under way finish.
    pub async fn run(self, context: Arc<Context>, stop: CancellationToken) {
        let site = Arc::new(Site::new(context, &self.settings, self.doors));
        let connections = TaskTracker::new();
        let acceptor = self.tls.map(|(acceptor, _)| acceptor);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                accepted = accept(&self.socket, &site.doors) => match accepted {
                    Ok((stream, who)) => {
                        let Some(entered) = site.doors.enter(who) else { continue };
                        if site.context.access.is_some() {
                            let _ = entered.link.client.set(stream.client());
                        }
                        let (site, tasks) = (Arc::clone(&site), connections.clone());
                        let (acceptor, stop) = (acceptor.clone(), stop.clone());
                        // The loop's end waits for it.
                        connections.spawn(async move {
                            match stream {
                                Stream::Tcp(stream) => start(site, stream, acceptor, entered, tasks, stop).await,
                                Stream::Unix(stream) => start(site, stream, acceptor, entered, tasks, stop).await,
                            }
                        });
                    }
                    Err(error) => {
                        // Most likely no file descriptors are left; some will be, in a moment.
                        warn!(target: "listener", error = %error, "cannot accept a connection");
                        sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
        drop(self.socket);
        connections.close();
        connections.wait().await;
    }
}

enum Stream {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

impl Stream {
    /// Who is at the other end, for the access log.
    fn client(&self) -> serde_json::Value {
        match self {
            Self::Tcp(stream) => stream.peer_addr().map(|from| access::at(from.ip())).unwrap_or_default(),
            Self::Unix(stream) => access::process(stream.peer_cred().ok()),
        }
    }
}

/// Waits for a client, once there is room for one.
async fn accept(socket: &Accepting, doors: &Doors) -> io::Result<(Stream, Who)> {
    doors.room().await;
    match socket {
        Accepting::Tcp(listener) => {
            let (stream, from) = listener.accept().await?;
            let _ = stream.set_nodelay(true);
            Ok((Stream::Tcp(stream), Who::at(from.ip())))
        }
        Accepting::Unix(socket) => {
            let (stream, _) = socket.listener.accept().await?;
            let who = stream.peer_cred().map_or(Who::Unknown, |peer| Who::User(peer.uid()));
            Ok((Stream::Unix(stream), who))
        }
    }
}

/// Serves a connection.
async fn start(
    site: Arc<Site>,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    acceptor: Option<TlsAcceptor>,
    entered: Entered,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    match acceptor {
        None => serve_http1(site, stream, &entered.link, &stop).await,
        // Beside it a plain connection would be as large as this.
        Some(acceptor) => Box::pin(start_tls(site, stream, acceptor, &entered.link, &tasks, &stop)).await,
    }
}

/// Shakes hands, and serves what was agreed on.
async fn start_tls(
    site: Arc<Site>,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    acceptor: TlsAcceptor,
    link: &Arc<Link>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    // The handshake counts against the time for the first request's head.
    let deadline = link.accepted() + link.limits().header_timeout;
    let shaken = tokio::select! {
        shaken = timeout_at(deadline, acceptor.accept(stream)) => shaken,
        () = stop.cancelled() => return,
        () = link.kicked() => return,
    };
    match shaken {
        Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
            Box::pin(serve_http2(site, stream, link, tasks, stop)).await;
        }
        Ok(Ok(stream)) => Box::pin(serve_http1(site, stream, link, stop)).await,
        Ok(Err(error)) => {
            link.count(Breach::Handshake);
            debug!(target: "listener", error = %error, "TLS handshake failed");
        }
        Err(_) => {
            link.count(Breach::HeaderTime);
            debug!(target: "listener", "TLS handshake took too long");
        }
    }
}

fn bind_error(network: &'static str, address: &str, error: &io::Error) -> ListenError {
    let reason = match error.kind() {
        io::ErrorKind::AddrInUse => "bind: address already in use".to_owned(),
        io::ErrorKind::PermissionDenied => "bind: permission denied".to_owned(),
        io::ErrorKind::AddrNotAvailable => "bind: cannot assign requested address".to_owned(),
        _ => error.to_string(),
    };
    ListenError::Bind { network, address: address.to_owned(), reason }
}
