//! Binding, accepting, ending.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use config::{Endpoint, Listener};
use rustix::net::sockopt::{set_socket_keepalive, set_tcp_keepidle};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::time::{sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};
use vault::Stream;

use crate::access;
use crate::breach::Breach;
use crate::client_name;
use crate::counters::Counters;
use crate::doors::{Doors, Entered, Who};
use crate::http1::serve_http1;
use crate::http2::serve_http2;
use crate::link::Link;
use crate::listening::Listening;
use crate::overlap::TcpSockets;
use crate::peer::Process;
use crate::plain;
use crate::route::{Context, Site, Sites};
use crate::socket::Socket;
use crate::systemd;
use crate::tls::{CertificateReloader, ListenerTlsError};

/// So long nothing may come before the system asks whether the client is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

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
    pub(crate) settings: Listener,
    pub(crate) socket: Accepting,
    pub(crate) tls: Option<CertificateReloader>,
    pub(crate) address: String,
    pub(crate) doors: Arc<Doors>,
}

#[derive(Clone)]
pub(crate) enum Accepting {
    Tcp(TcpSockets),
    Unix(Arc<Socket>),
}

/// So long clients of a listener that others have taken over may ask once more on the connections they have.
const RETIREMENT: Duration = Duration::from_secs(5);

impl Bound {
    /// Binds and reads certificates; serves nobody before [`Bound::run`].
    ///
    /// # Errors
    /// [`ListenError`].
    pub async fn bind(settings: &Listener) -> Result<Self, ListenError> {
        let tls = settings.tls.as_ref().map(CertificateReloader::new).transpose()?;
        let mut settings = settings.clone();
        let peers = &settings.access.peers;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (socket, address) = match &settings.endpoint {
            Endpoint::Tcp(address) => {
                let failed = |error: io::Error| bind_error("tcp", &address.to_string(), &error);
                let listener = TcpListener::bind(address).await.map_err(failed)?;
                let bound = listener.local_addr().map_err(failed)?;
                (Accepting::Tcp(listener.into()), format!("{scheme}://{bound}"))
            }
            Endpoint::Unix { path, access } => {
                let shown = path.display().to_string();
                let socket =
                    Socket::bind(path, access, peers).map_err(|error| bind_error("unix", &shown, &error))?;
                (Accepting::Unix(Arc::new(socket)), format!("unix://{shown}"))
            }
            // From here on it is what it is.
            Endpoint::Systemd { socket, is_unix: false } => {
                let failed = |error: io::Error| bind_error("tcp", &format!("systemd:{socket}"), &error);
                let listener = systemd::take_tcp(socket).and_then(TcpListener::from_std).map_err(failed)?;
                let bound = listener.local_addr().map_err(failed)?;
                settings.endpoint = Endpoint::Tcp(bound);
                (Accepting::Tcp(listener.into()), format!("{scheme}://{bound}"))
            }
            Endpoint::Systemd { socket, is_unix: true } => {
                let failed = |error: io::Error| bind_error("unix", &format!("systemd:{socket}"), &error);
                let listener = systemd::take_unix(socket).map_err(failed)?;
                let bound = listener.local_addr().map_err(failed)?;
                let address = match bound.as_pathname() {
                    Some(path) => format!("unix://{}", path.display()),
                    None => format!("unix:systemd:{socket}"),
                };
                (Accepting::Unix(Arc::new(Socket::passed(listener, peers).map_err(failed)?)), address)
            }
        };
        let doors = Arc::new(Doors::new(settings.limits.clone(), settings.access.rate));
        Ok(Self { settings, socket, tls, address, doors })
    }

    /// `http://127.0.0.1:8200`, with the real port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Puts new certificates in, for listeners with TLS.
    pub fn certificates(&self) -> Option<CertificateReloader> {
        self.tls.clone()
    }

    /// What is counted here.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.doors.counters)
    }

    /// Accepts and serves until `stop` is cancelled, then lets the requests under way finish.
    pub async fn run(self, context: Arc<Context>, stop: CancellationToken) {
        self.start(context, stop).1.await;
    }

    /// The same in two: what it can be changed by, and what is to be run.
    pub fn start(
        self,
        context: Arc<Context>,
        stop: CancellationToken,
    ) -> (Listening, impl Future<Output = ()> + Send + 'static) {
        let Self { settings, socket, tls, address, doors } = self;
        let sites = Sites::new(Site::new(context, &settings, Arc::clone(&doors)));
        let listening = Listening {
            settings,
            socket: socket.clone(),
            tls: tls.clone(),
            address,
            sites: sites.clone(),
            doors: Arc::clone(&doors),
        };
        (listening, run(socket, tls, sites, doors, stop))
    }
}

/// Accepts and serves.
async fn run(
    socket: Accepting,
    tls: Option<CertificateReloader>,
    sites: Sites,
    doors: Arc<Doors>,
    stop: CancellationToken,
) {
    let connections = TaskTracker::new();
    // The connections' own end, which comes later than ours when others have taken over.
    let leave = stop.child_token();
    let watching = async {
        match tls.clone() {
            Some(tls) => tls.watch().await,
            None => std::future::pending().await,
        }
    };
    let mut watching = std::pin::pin!(watching);
    let serve = |Accepted { stream, who, process }| {
        let Some(entered) = doors.enter(who) else { return };
        if let Some(process) = process {
            entered.link.is_of(process);
        }
        if sites.now().context.access.is_some() {
            let _ = entered.link.client.set(client(&stream));
        }
        let (sites, tasks) = (sites.clone(), connections.clone());
        let (tls, leave) = (tls.clone(), leave.clone());
        // The loop's end waits for it.
        connections.spawn(start(sites, stream, tls, entered, tasks, leave));
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = doors.retired.cancelled() => break,
            () = &mut watching => {}
            accepted = accept(&socket, &doors) => match accepted {
                Ok(None) => doors.counters.count(Breach::Peer),
                Ok(Some(accepted)) => serve(accepted),
                Err(error) => {
                    // Most likely no file descriptors are left; some will be, in a moment.
                    warn!(target: "listener", error = %error, "cannot accept a connection");
                    sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    // Whoever has connected to a socket that is to be closed is answered.
    while !stop.is_cancelled()
        && let Some(accepted) = last(&socket)
    {
        accepted.map_or_else(|| doors.counters.count(Breach::Peer), serve);
    }
    drop(socket);
    connections.close();
    if !stop.is_cancelled() {
        let ends = stop.run_until_cancelled(doors.closed.run_until_cancelled(connections.wait()));
        let _ = timeout(RETIREMENT, ends).await;
        leave.cancel();
    }
    connections.wait().await;
}

/// A client that has connected.
struct Accepted {
    stream: Stream,
    who: Who,
    /// Where it matters which one it is.
    process: Option<Process>,
}

/// Who is at the other end, for the access log.
fn client(stream: &Stream) -> serde_json::Value {
    match stream {
        Stream::Tcp(stream) => stream.peer_addr().map(|from| access::at(from.ip())).unwrap_or_default(),
        Stream::Unix(stream) => access::process(stream.peer_cred().ok()),
        Stream::Other(_) => serde_json::Value::Null,
    }
}

/// Waits for a client, and then until there is room for it: nobody is sent away for one who does not come. `None` for
/// one that is not served.
async fn accept(socket: &Accepting, doors: &Doors) -> io::Result<Option<Accepted>> {
    let accepted = accept_any(socket).await?;
    if accepted.is_some() {
        doors.room().await;
    }
    Ok(accepted)
}

async fn accept_any(socket: &Accepting) -> io::Result<Option<Accepted>> {
    match socket {
        Accepting::Tcp(sockets) => sockets.accept().await.map(|accepted| Some(by_tcp(accepted))),
        Accepting::Unix(socket) => socket.accept().await.map(|stream| by_unix(socket, stream)),
    }
}

/// One who waits at a socket that nobody else accepts from.
fn last(socket: &Accepting) -> Option<Option<Accepted>> {
    match socket {
        Accepting::Tcp(sockets) => sockets.last().map(|accepted| Some(by_tcp(accepted))),
        Accepting::Unix(socket) => socket.last().map(|stream| by_unix(socket, stream)),
    }
}

fn by_tcp((stream, from): (TcpStream, SocketAddr)) -> Accepted {
    let _ = stream.set_nodelay(true);
    // A WebSocket may be silent for long; whether its client is still there the system finds out.
    let _ = set_socket_keepalive(&stream, true);
    let _ = set_tcp_keepidle(&stream, KEEP_ALIVE);
    Accepted { stream: Stream::Tcp(stream), who: Who::at(from.ip()), process: None }
}

fn by_unix(socket: &Socket, stream: UnixStream) -> Option<Accepted> {
    let who = stream.peer_cred().map_or(Who::Unknown, |peer| Who::User(peer.uid()));
    socket.admit(&stream).map(|process| Accepted { stream: Stream::Unix(stream), who, process })
}

/// Serves a connection.
async fn start(
    sites: Sites,
    stream: Stream,
    tls: Option<CertificateReloader>,
    entered: Entered,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    match tls {
        None => serve_http1(sites, stream, &entered.link, &stop).await,
        // Beside it a plain connection would be as large as this.
        Some(tls) => Box::pin(start_tls(sites, stream, &tls, &entered.link, &tasks, &stop)).await,
    }
}

/// Shakes hands, and serves what was agreed on.
async fn start_tls(
    sites: Sites,
    mut stream: Stream,
    tls: &CertificateReloader,
    link: &Arc<Link>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    // The handshake counts against the time for the first request's head.
    let deadline = link.accepted() + link.limits().header_timeout;
    let shake = async {
        match plain::is_spoken(&mut stream).await {
            Ok(false) => Ok(tls.acceptor().accept(stream).await?),
            Ok(true) => Err(NotShaken::Plain(stream)),
            Err(error) => Err(error.into()),
        }
    };
    let shaken = tokio::select! {
        shaken = timeout_at(deadline, shake) => shaken,
        () = stop.cancelled() => return,
        () = link.kicked() => return,
    };
    if let Ok(Ok(stream)) = &shaken {
        let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let names = certificate.map(client_name::names).unwrap_or_default();
        if let Some(name) = names.first() {
            link.is_called(name);
        }
    }
    match shaken {
        Ok(Ok(stream)) => {
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let stream = Stream::other(stream);
            match is_http2 {
                true => Box::pin(serve_http2(sites, stream, link, tasks, stop)).await,
                false => Box::pin(serve_http1(sites, stream, link, stop)).await,
            }
        }
        Ok(Err(NotShaken::Plain(stream))) => {
            link.count(Breach::Handshake);
            let site = sites.now();
            if site.complaints.take(&()) {
                warn!(target: "listener", listener = %site.name, "a client sent plain HTTP to a listener with TLS; it was told so");
            }
            tokio::select! {
                () = plain::answer(stream) => {}
                () = stop.cancelled() => {}
            }
        }
        Ok(Err(NotShaken::Tls(error))) => {
            let named = client_name::is_about_the_name(&error);
            link.count(if named { Breach::ClientName } else { Breach::Handshake });
            let site = sites.now();
            if client_name::is_about_the_certificate(&error) && site.complaints.take(&()) {
                warn!(target: "listener", listener = %site.name, error = client_name::reason(&error), "a client's certificate was not accepted");
            } else {
                debug!(target: "listener", error = client_name::reason(&error), "TLS handshake failed");
            }
        }
        Err(_) => {
            link.count(Breach::HeaderTime);
            debug!(target: "listener", "TLS handshake took too long");
        }
    }
}

/// Why there is no TLS with a client.
enum NotShaken {
    /// It speaks plain HTTP.
    Plain(Stream),
    /// What the library says.
    Tls(io::Error),
}

impl From<io::Error> for NotShaken {
    fn from(error: io::Error) -> Self {
        Self::Tls(error)
    }
}

pub(crate) fn bind_error(network: &'static str, address: &str, error: &io::Error) -> ListenError {
    let reason = match error.kind() {
        io::ErrorKind::AddrInUse => "bind: address already in use".to_owned(),
        io::ErrorKind::PermissionDenied => "bind: permission denied".to_owned(),
        io::ErrorKind::AddrNotAvailable => "bind: cannot assign requested address".to_owned(),
        _ => error.to_string(),
    };
    ListenError::Bind { network, address: address.to_owned(), reason }
}
