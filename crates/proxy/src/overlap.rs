//! The TCP sockets of a listener, and addresses that overlap with one that is to go: `0.0.0.0:8200` where
//! `127.0.0.1:8200` was. The system takes such two sockets only when both share their port (`SO_REUSEPORT`), which may
//! be said for as long as it takes; then nobody who connects is refused.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;

use config::{Endpoint, Listener};
use rustix::net::sockopt::{ipv6_v6only, set_socket_reuseport};
use rustix::net::{SocketFlags, accept_with};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::doors::Doors;
use crate::listener::{Accepting, Bound, ListenError, bind_error};
use crate::listening::Listening;
use crate::tls::CertificateReloader;

/// So many may wait to be accepted; the system's own bound is mostly below it.
const BACKLOG: u32 = 4096;

/// Where a listener accepts TCP connections: at one address, and at narrower ones that it has taken over.
#[derive(Clone)]
pub(crate) struct TcpSockets {
    first: Arc<TcpListener>,
    narrower: Vec<Arc<TcpListener>>,
}

impl From<TcpListener> for TcpSockets {
    fn from(first: TcpListener) -> Self {
        Self { first: Arc::new(first), narrower: Vec::new() }
    }
}

impl TcpSockets {
    pub(crate) async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        if self.narrower.is_empty() {
            return self.first.accept().await;
        }
        let mut all: Vec<_> = self.all().map(|socket| Box::pin(socket.accept())).collect();
        poll_fn(|context| {
            let ready = all.iter_mut().find_map(|one| match one.as_mut().poll(context) {
                Poll::Ready(accepted) => Some(accepted),
                Poll::Pending => None,
            });
            ready.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Somebody who has connected already, where nobody else accepts from the socket: it is about to be closed, and
    /// whoever waits there would be lost with it.
    pub(crate) fn last(&self) -> Option<(TcpStream, SocketAddr)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let ours = self.all().filter(|socket| Arc::strong_count(socket) == 1);
        // The runtime has not heard of all of them yet.
        let stream = ours.filter_map(|socket| accept_with(socket.as_ref(), flags).ok()).next()?;
        let stream = TcpStream::from_std(stream.into()).ok()?;
        let from = stream.peer_addr().ok()?;
        Some((stream, from))
    }

    fn all(&self) -> impl Iterator<Item = &Arc<TcpListener>> {
        std::iter::once(&self.first).chain(&self.narrower)
    }
}

/// A listener's address beside those of others that are to go, bound and not yet listened at: until
/// [`Beside::listen`] all who connect reach the others.
pub struct Beside {
    settings: Listener,
    address: SocketAddr,
    socket: Place,
    others: Vec<Arc<TcpListener>>,
    tls: Option<CertificateReloader>,
}

enum Place {
    Bound(TcpSocket),
    /// One of the others has it.
    There(Arc<TcpListener>),
}

impl Beside {
    /// `None` where none of `others`, which are to go, has that port. No other new one may overlap with it: the system
    /// would not notice.
    ///
    /// # Errors
    /// [`ListenError`].
    pub fn bind<'a>(
        settings: &Listener,
        others: impl IntoIterator<Item = &'a Listening>,
    ) -> Result<Option<Self>, ListenError> {
        let Endpoint::Tcp(address) = settings.endpoint else { return Ok(None) };
        let at_port =
            |socket: &Arc<TcpListener>| socket.local_addr().is_ok_and(|other| other.port() == address.port());
        let others: Vec<_> = others
            .into_iter()
            .filter_map(|other| match &other.socket {
                Accepting::Tcp(sockets) => Some(sockets.all()),
                Accepting::Unix(_) => None,
            })
            .flatten()
            .filter(|socket| at_port(socket))
            .cloned()
            .collect();
        if others.is_empty() {
            return Ok(None);
        }
        let tls = settings.tls.as_ref().map(CertificateReloader::new).transpose()?;
        let there = others.iter().find(|other| other.local_addr().is_ok_and(|other| other == address));
        let socket = match there {
            Some(socket) => Place::There(Arc::clone(socket)),
            None => Place::Bound(bind(address, &others).map_err(|error| failed(address, &error))?),
        };
        Ok(Some(Self { settings: settings.clone(), address, socket, others, tls }))
    }

    /// From now on connections come here. At narrower addresses than this one they are accepted where they were.
    ///
    /// # Errors
    /// [`ListenError`].
    pub fn listen(self) -> Result<Bound, ListenError> {
        let Self { settings, address, socket, others, tls } = self;
        let listening = match socket {
            Place::There(socket) => Ok(socket),
            Place::Bound(socket) => listen(socket, &others).map(Arc::new),
        };
        let first = listening.map_err(|error| failed(address, &error))?;
        let narrower = others.into_iter().filter(|other| covers(&first, address, other)).collect();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let doors = Arc::new(Doors::new(settings.limits.clone(), settings.access.rate));
        Ok(Bound {
            socket: Accepting::Tcp(TcpSockets { first, narrower }),
            tls,
            address: format!("{scheme}://{address}"),
            doors,
            settings,
        })
    }
}

fn failed(address: SocketAddr, error: &io::Error) -> ListenError {
    bind_error("tcp", &address.to_string(), error)
}

/// Whether `wide` would be given all that `other` is given, were that one not there.
fn covers(wide: &Arc<TcpListener>, address: SocketAddr, other: &Arc<TcpListener>) -> bool {
    let Ok(narrow) = other.local_addr() else { return false };
    let both = || address.is_ipv6() && ipv6_v6only(wide.as_ref()).is_ok_and(|only| !only);
    let of_a_kind = address.is_ipv4() == narrow.is_ipv4() || both();
    !Arc::ptr_eq(wide, other) && address.ip().is_unspecified() && of_a_kind
}

fn bind(address: SocketAddr, others: &[Arc<TcpListener>]) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Connections of the others are no obstacle.
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    let _shared = Sharing::of(others)?;
    socket.bind(address)?;
    socket.set_reuseport(false)?;
    Ok(socket)
}

fn listen(socket: TcpSocket, others: &[Arc<TcpListener>]) -> io::Result<TcpListener> {
    // The system looks at all of them once more.
    socket.set_reuseport(true)?;
    let shared = Sharing::of(others)?;
    let listener = socket.listen(BACKLOG)?;
    drop(shared);
    set_socket_reuseport(&listener, false)?;
    Ok(listener)
}

/// As long as it is there, other sockets of this user may have the same port.
struct Sharing<'a>(&'a [Arc<TcpListener>]);

impl<'a> Sharing<'a> {
    fn of(others: &'a [Arc<TcpListener>]) -> io::Result<Self> {
        let sharing = Self(others);
        for other in others {
            set_socket_reuseport(other.as_ref(), true)?;
        }
        Ok(sharing)
    }
}

impl Drop for Sharing<'_> {
    fn drop(&mut self) {
        for other in self.0 {
            let _ = set_socket_reuseport(other.as_ref(), false);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::stand;

    fn at(ip: impl Into<std::net::IpAddr>, port: u16) -> Listener {
        Listener { endpoint: Endpoint::Tcp(SocketAddr::new(ip.into(), port)), ..stand::listener() }
    }

    fn run(bound: Bound) -> Listening {
        let context = stand::context(Arc::new(Nobody), vault::TokenState::default());
        let (listening, work) = bound.start(Arc::new(context), CancellationToken::new());
        tokio::spawn(work);
        listening
    }

    struct Nobody;

    impl vault::Upstream for Nobody {
        fn send(&self, _: vault::Request) -> vault::BoxFuture<'_, Result<vault::Response, vault::SendError>> {
            Box::pin(std::future::pending())
        }
    }

    fn places(listening: &Listening) -> Vec<String> {
        let Accepting::Tcp(sockets) = &listening.socket else { panic!("it is a tcp listener") };
        sockets.all().map(|socket| socket.local_addr().unwrap().ip().to_string()).collect()
    }

    #[tokio::test]
    async fn one_address_takes_the_place_of_another_that_overlaps() {
        let (local, all) = (Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED);
        let first = run(Bound::bind(&at(local, 0)).await.unwrap());
        let port: u16 = first.address().rsplit(':').next().unwrap().parse().unwrap();
        assert!(Bound::bind(&at(all, port)).await.is_err(), "they overlap");
        assert!(Beside::bind(&at(all, port), []).unwrap().is_none(), "none is to go");

        // What is bound only takes nobody, and leaves the old one as it was.
        drop(Beside::bind(&at(all, port), [&first]).unwrap().unwrap());
        let wide = Beside::bind(&at(all, port), [&first]).unwrap().unwrap();
        let wide = run(wide.listen().unwrap());
        assert_eq!(places(&wide), ["0.0.0.0", "127.0.0.1"]);
        first.retire();
        drop(first);
        assert!(tokio::net::TcpStream::connect((local, port)).await.is_ok());

        // Back: the socket is there already.
        let narrow = Beside::bind(&at(local, port), [&wide]).unwrap().unwrap();
        let narrow = run(narrow.listen().unwrap());
        assert_eq!(places(&narrow), ["127.0.0.1"]);
        let elsewhere = Ipv4Addr::new(127, 0, 0, 2);
        // It waits to be accepted when its socket goes.
        let waiting = tokio::net::TcpStream::connect((elsewhere, port)).await.unwrap();
        wide.retire();
        drop(wide);
        let refused = async || tokio::net::TcpStream::connect((elsewhere, port)).await.is_err();
        for _ in 0..100 {
            if refused().await {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert!(refused().await, "the wide one still listens");
        assert!(waiting.try_read(&mut [0]).is_err_and(|why| why.kind() == io::ErrorKind::WouldBlock));
        assert!(tokio::net::TcpStream::connect((local, port)).await.is_ok());
        assert!(Bound::bind(&at(local, port)).await.is_err(), "nobody else may share it");
    }
}
