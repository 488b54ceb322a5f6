//! Opens connections.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::connection::Connection;
use super::detour;
use super::stream::Stream;
use crate::address::Endpoint;
use crate::{Address, OwnPlaces, Proxies, Proxy, SendError, TlsError, TlsSettings};

/// How long a connection may take, TLS included. One address that swallows packets must not eat the whole
/// client timeout.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection on which nothing was heard for so long is asked whether it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How often it is asked again, and how often in all: a dead one is known after some half a minute.
const KEEP_ALIVE_PAUSE: Duration = Duration::from_secs(5);
const KEEP_ALIVE_PROBES: u32 = 3;

/// How long the other side may leave what we sent unconfirmed, in milliseconds.
#[cfg(target_os = "linux")]
const UNHEARD_MS: u32 = 60_000;

/// Opens connections with one set of TLS files.
pub(crate) struct Connector {
    tls: Option<Arc<ClientConfig>>,
    server_name: Option<String>,
}

impl Connector {
    /// Reads the TLS files, when the address needs TLS or a client certificate was asked for.
    pub(crate) fn new(
        address: &Address,
        settings: &TlsSettings,
        proxies: &Proxies,
    ) -> Result<Self, TlsError> {
        // Over plain HTTP the system's certificates would be a megabyte of memory for nothing.
        let wanted = address.is_tls() || proxies.any_tls() || *settings != TlsSettings::default();
        let tls = if wanted { Some(Arc::new(settings.build()?)) } else { None };
        Ok(Self { tls, server_name: settings.server_name.clone() })
    }

    /// Opens a connection to `address`, through a proxy where there is one.
    ///
    /// # Errors
    /// [`SendError::Unreachable`] or [`SendError::Tls`]; nothing was sent in either case.
    pub(crate) async fn connect(
        &self,
        address: &Address,
        via: Option<&Proxy>,
        own_places: &OwnPlaces,
    ) -> Result<Box<Connection>, SendError> {
        let opened = tokio::time::timeout(CONNECT_TIMEOUT, self.open(address, via, own_places)).await;
        let stream = opened.unwrap_or_else(|_| Err(unreachable(address, "i/o timeout")))?;
        Ok(Box::new(Connection::new(stream)))
    }

    async fn open(
        &self,
        address: &Address,
        via: Option<&Proxy>,
        own_places: &OwnPlaces,
    ) -> Result<Stream, SendError> {
        match (&address.endpoint, via) {
            (Endpoint::Unix(path), _) if own_places.are_at(path) => Err(round(address)),
            (Endpoint::Unix(path), _) => UnixStream::connect(path).await.map(Stream::Unix).map_err(|error| {
                unreachable(address, &dial_error(&format!("unix {}", path.display()), &error))
            }),
            (Endpoint::Tcp { tls, host, port }, None) => {
                let tcp = dial(address, host, *port).await?;
                if own_places.are_beyond(&tcp) {
                    return Err(round(address));
                }
                if !tls {
                    return Ok(Stream::Tcp(tcp));
                }
                Ok(Stream::other(self.handshake(address, self.name_for(host), tcp).await?))
            }
            (Endpoint::Tcp { tls, host, .. }, Some(proxy)) => {
                // Apart, so that the way without a proxy stays small.
                Box::pin(self.open_through(proxy, address, *tls, host)).await
            }
        }
    }

    /// A proxy reads what travels without TLS, and makes a tunnel for what travels in it.
    async fn open_through(
        &self,
        proxy: &Proxy,
        address: &Address,
        tls: bool,
        host: &str,
    ) -> Result<Stream, SendError> {
        let refused = |reason: String| unreachable(address, &format!("proxy {proxy}: {reason}"));
        let tcp = dial(address, proxy.host(), proxy.port()).await?;
        let name = self.name_for(host);
        match (proxy.is_tls(), tls) {
            (false, false) => Ok(Stream::Tcp(tcp)),
            (false, true) => {
                let tcp = detour::ask(tcp, address, proxy).await.map_err(refused)?;
                Ok(Stream::other(self.handshake(address, name, tcp).await?))
            }
            (true, tls) => {
                let outer = self.handshake(address, proxy.host(), tcp).await?;
                if !tls {
                    return Ok(Stream::other(outer));
                }
                let outer = detour::ask(outer, address, proxy).await.map_err(refused)?;
                Ok(Stream::other(self.handshake(address, name, outer).await?))
            }
        }
    }

    /// What the certificate of a server is to be for.
    fn name_for<'a>(&'a self, host: &'a str) -> &'a str {
        self.server_name.as_deref().unwrap_or(host)
    }

    async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        address: &Address,
        name: &str,
        stream: S,
    ) -> Result<TlsStream<S>, SendError> {
        let failed = |reason: String| SendError::Tls { address: address.to_string(), reason };
        let config = match &self.tls {
            Some(config) => Arc::clone(config),
            // A plain server redirected us to TLS: the defaults apply, once.
            None => Arc::new(TlsSettings::default().build().map_err(|e| failed(e.to_string()))?),
        };
        let name = ServerName::try_from(name.to_owned()).map_err(|error| failed(error.to_string()))?;
        TlsConnector::from(config).connect(name, stream).await.map_err(|error| {
            // A server that goes down during the handshake is as unreachable as one that is down.
            match error.kind() {
                io::ErrorKind::InvalidData => failed(error.to_string()),
                _ => unreachable(address, &error.to_string()),
            }
        })
    }
}

/// Names are looked up anew for each connection.
async fn dial(address: &Address, host: &str, port: u16) -> Result<TcpStream, SendError> {
    let tcp = TcpStream::connect((host, port)).await.map_err(|error| {
        let place = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        unreachable(address, &dial_error(&format!("tcp {place}"), &error))
    })?;
    let _ = tcp.set_nodelay(true);
    notice_death(&tcp);
    Ok(tcp)
}

/// Lets the system ask whether the other side is still there. Where it cannot, the time limits of requests remain.
fn notice_death(tcp: &TcpStream) {
    let _ = sockopt::set_socket_keepalive(tcp, true);
    let _ = sockopt::set_tcp_keepidle(tcp, KEEP_ALIVE);
    let _ = sockopt::set_tcp_keepintvl(tcp, KEEP_ALIVE_PAUSE);
    let _ = sockopt::set_tcp_keepcnt(tcp, KEEP_ALIVE_PROBES);
    #[cfg(target_os = "linux")]
    let _ = sockopt::set_tcp_user_timeout(tcp, UNHEARD_MS);
}

fn dial_error(place: &str, error: &io::Error) -> String {
    let reason = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        io::ErrorKind::NotFound => "connect: no such file or directory".to_owned(),
        _ => error.to_string(),
    };
    format!("dial {place}: {reason}")
}

/// Without the request, as [`unreachable`].
fn round(address: &Address) -> SendError {
    SendError::Loop { method: http::Method::GET, address: format!("\"{address}\"") }
}

fn unreachable(address: &Address, reason: &str) -> SendError {
    SendError::Unreachable {
        method: http::Method::GET,
        address: format!("\"{address}\""),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn f20_a_silent_connection_is_asked_whether_it_lives() {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address: Address = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let connector = Connector::new(&address, &TlsSettings::default(), &Proxies::default()).unwrap();
        let Stream::Tcp(tcp) = connector.open(&address, None, &OwnPlaces::default()).await.unwrap() else {
            unreachable!("plain")
        };
        assert!(sockopt::socket_keepalive(&tcp).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&tcp).unwrap(), KEEP_ALIVE);
        assert_eq!(sockopt::tcp_keepcnt(&tcp).unwrap(), KEEP_ALIVE_PROBES);
    }

    #[tokio::test]
    async fn our_own_listeners_are_not_asked() {
        for (bound, asked) in
            [("127.0.0.1:0", "127.0.0.1"), ("0.0.0.0:0", "localhost"), ("[::]:0", "127.0.0.1")]
        {
            let listener = tokio::net::TcpListener::bind(bound).await.unwrap();
            let bound = listener.local_addr().unwrap();
            let address: Address = format!("http://{asked}:{}", bound.port()).parse().unwrap();
            let connector = Connector::new(&address, &TlsSettings::default(), &Proxies::default()).unwrap();
            let places = OwnPlaces::default();
            assert!(connector.open(&address, None, &places).await.is_ok());
            places.set(&[format!("http://127.0.0.2:{}", bound.port()), "unix:///s".to_owned()]);
            assert!(connector.open(&address, None, &places).await.is_ok());
            places.set(&[format!("https://{bound}")]);
            let refused = connector.open(&address, None, &places).await;
            assert!(matches!(refused, Err(SendError::Loop { .. })), "{bound} {asked}");
        }
        let places = OwnPlaces::default();
        places.set(&["unix:///s".to_owned()]);
        let address: Address = "unix:///s".parse().unwrap();
        let connector = Connector::new(&address, &TlsSettings::default(), &Proxies::default()).unwrap();
        let refused = connector.open(&address, None, &places).await;
        assert!(matches!(refused, Err(SendError::Loop { .. })));
    }
}
