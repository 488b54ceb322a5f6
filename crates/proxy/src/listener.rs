//! Binding, accepting, ending.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use config::{Endpoint, Listener};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::route::{Context, Site};
use crate::serve::serve;
use crate::socket::{self, Socket};
use crate::tls::{self, CertificateReloader, ListenerTlsError};

/// Time for a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

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
        Ok(Self { settings: settings.clone(), socket, tls, address })
    }

    /// `http://127.0.0.1:8200`, with the real port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Puts new certificates in, for listeners with TLS.
    pub fn certificates(&self) -> Option<CertificateReloader> {
        self.tls.as_ref().map(|(_, reloader)| reloader.clone())
    }

    /// Accepts and serves until `stop` is cancelled, then lets the requests under way finish.
    pub async fn run(self, context: Arc<Context>, stop: CancellationToken) {
        let site = Arc::new(Site::new(context, &self.settings));
        let connections = TaskTracker::new();
        let acceptor = self.tls.map(|(acceptor, _)| acceptor);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                accepted = accept(&self.socket) => match accepted {
                    Ok(Stream::Tcp(stream)) => start(&connections, &site, stream, acceptor.as_ref(), &stop),
                    Ok(Stream::Unix(stream)) => start(&connections, &site, stream, acceptor.as_ref(), &stop),
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

async fn accept(socket: &Accepting) -> io::Result<Stream> {
    match socket {
        Accepting::Tcp(listener) => {
            let (stream, _) = listener.accept().await?;
            let _ = stream.set_nodelay(true);
            Ok(Stream::Tcp(stream))
        }
        Accepting::Unix(socket) => socket.listener.accept().await.map(|(stream, _)| Stream::Unix(stream)),
    }
}

/// Serves a connection in a task of its own, which [`Bound::run`] waits for at the end.
fn start(
    connections: &TaskTracker,
    site: &Arc<Site>,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    acceptor: Option<&TlsAcceptor>,
    stop: &CancellationToken,
) {
    let (site, stop) = (Arc::clone(site), stop.clone());
    match acceptor {
        None => drop(connections.spawn(serve(site, stream, stop))),
        Some(acceptor) => {
            let handshake = timeout(HANDSHAKE, acceptor.accept(stream));
            connections.spawn(async move {
                let Some(shaken) = stop.run_until_cancelled(handshake).await else { return };
                match shaken {
                    Ok(Ok(stream)) => serve(site, stream, stop).await,
                    Ok(Err(error)) => debug!(target: "listener", error = %error, "TLS handshake failed"),
                    Err(_) => debug!(target: "listener", "TLS handshake took too long"),
                }
            });
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
