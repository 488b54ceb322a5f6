//! Where this program listens itself, so that it does not ask itself.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::net::TcpStream;

use crate::Address;
use crate::address::Endpoint;

/// The places of our own listeners. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct OwnPlaces(Arc<ArcSwap<Vec<Place>>>);

#[derive(Debug)]
enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Place {
    /// Whether it is there. `is_here` says that the address is one of this machine's.
    fn is(&self, ip: IpAddr, port: u16, is_here: bool) -> bool {
        match self {
            Self::Tcp(own) => {
                let on_all = own.ip().is_unspecified();
                own.port() == port && (own.ip().to_canonical() == ip || on_all && is_here)
            }
            Self::Unix(_) => false,
        }
    }
}

impl OwnPlaces {
    /// From now on these: addresses as listeners are bound to, `https://127.0.0.1:8200` or `unix:///run/sidekey.sock`.
    pub fn set(&self, addresses: &[String]) {
        let place = |address: &String| {
            let (scheme, rest) = address.split_once("://")?;
            match scheme {
                "unix" => Some(Place::Unix(rest.into())),
                _ => rest.parse().ok().map(Place::Tcp),
            }
        };
        self.0.store(Arc::new(addresses.iter().filter_map(place).collect()));
    }

    /// Whether one of them is meant by this address, as far as can be told without asking anybody.
    pub fn include(&self, address: &Address) -> bool {
        let (host, port) = match &address.endpoint {
            Endpoint::Unix(path) => return self.are_at(path),
            Endpoint::Tcp { host, port, .. } => (host.as_str(), *port),
        };
        let ip = if host.eq_ignore_ascii_case("localhost") {
            Some(Ipv4Addr::LOCALHOST.into())
        } else {
            host.parse().ok()
        };
        let Some(ip) = ip.map(|ip: IpAddr| ip.to_canonical()) else { return false };
        self.0.load().iter().any(|place| place.is(ip, port, ip.is_loopback()))
    }

    /// Whether one of them is at the other end. It is the system that says where that is, whatever name led there.
    pub(crate) fn are_beyond(&self, stream: &TcpStream) -> bool {
        let places = self.0.load();
        if places.is_empty() {
            return false;
        }
        let (Ok(there), Ok(here)) = (stream.peer_addr(), stream.local_addr()) else { return false };
        let (ip, local) = (there.ip().to_canonical(), here.ip().to_canonical());
        // A listener on all addresses is on each one of this machine: there, both ends have the same one.
        let is_here = ip == local || ip.is_loopback();
        places.iter().any(|place| place.is(ip, there.port(), is_here))
    }

    /// Whether one of them is this socket.
    pub(crate) fn are_at(&self, path: &Path) -> bool {
        self.0.load().iter().any(|place| matches!(place, Place::Unix(own) if own == path))
    }
}
