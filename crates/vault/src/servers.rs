//! Several addresses of one cluster: the one that answered last is asked, the others when it cannot be.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http::StatusCode;

use crate::server::Server;
use crate::{Address, Body, Proxies, Response, SendError, Sent};

/// What a server that is neither active nor able to reach the active one says in a 500.
const NOT_ACTIVE: &[u8] = b"node not active";

/// The servers in the order they were named, and the one in use.
pub(crate) struct Servers {
    all: Box<[Server]>,
    current: AtomicUsize,
    /// Somebody asks now whether the first one is back.
    probing: AtomicBool,
}

impl Servers {
    pub(crate) fn new(first: Address, others: &[Address], proxies: &Proxies) -> Self {
        let all = std::iter::once(first).chain(others.iter().cloned());
        let all = all.map(|address| Server::new(address, proxies)).collect();
        Self { all, current: AtomicUsize::new(0), probing: AtomicBool::new(false) }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.all.len()
    }

    /// The number of the one in use.
    pub(crate) fn current(&self) -> usize {
        self.current.load(Ordering::Relaxed)
    }

    pub(crate) fn get(&self, number: usize) -> Option<&Server> {
        self.all.get(number)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Server> {
        self.all.iter()
    }

    /// The one that is asked first when it can be.
    pub(crate) fn first(&self) -> Option<&Server> {
        self.all.first()
    }

    /// `failed` could not answer: the next one is in use from now on, if `failed` still was.
    pub(crate) fn move_on(&self, failed: usize) {
        let next = (failed + 1) % self.all.len().max(1);
        let _ = self.current.compare_exchange(failed, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The first one is back.
    pub(crate) fn come_back(&self) {
        self.current.store(0, Ordering::Relaxed);
    }

    /// Claims the duty to ask whether the first is back; `false` when somebody has it.
    pub(crate) fn claim_probe(&self) -> bool {
        !self.probing.swap(true, Ordering::Relaxed)
    }

    /// Gives it up.
    pub(crate) fn release_probe(&self) {
        self.probing.store(false, Ordering::Relaxed);
    }

    pub(crate) fn forget_connections(&self) {
        self.all.iter().for_each(Server::forget_connections);
    }
}

/// Whether a standby says that no node is active: it has done nothing (what it handed on to a node that then died it does
/// not know), and an election is over soon.
pub(crate) fn is_leaderless(response: &Response) -> bool {
    response.status == StatusCode::INTERNAL_SERVER_ERROR
        && matches!(&response.body, Body::Full(Some(text)) if memchr::memmem::find(text, NOT_ACTIVE).is_some())
}

/// Whether another server may do better, and this one has done nothing: `safe` requests may have been received.
pub(crate) fn another_may(result: &Result<Response, SendError>, safe: bool) -> bool {
    match result {
        Ok(response) => match response.status.as_u16() {
            // Sealed, or a standby without its active node.
            503 => true,
            500 => is_leaderless(response),
            502 | 504 => safe,
            _ => false,
        },
        Err(SendError::Unreachable { .. } | SendError::Tls { .. } | SendError::Loop { .. }) => true,
        Err(error @ SendError::Broken { .. }) => safe || error.sent() == Sent::No,
        Err(SendError::TimedOut(_) | SendError::Malformed { .. }) => safe,
        Err(SendError::Downgrade | SendError::Upload(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};

    use super::*;

    #[test]
    fn the_next_one_is_used_once_for_each_failure() {
        let address = |port: u16| format!("http://127.0.0.1:{port}").parse::<Address>().unwrap();
        let servers = Servers::new(address(1), &[address(2), address(3)], &Proxies::default());
        servers.move_on(0);
        servers.move_on(0);
        assert_eq!(servers.current(), 1, "many requests failed at the first one");
        servers.move_on(1);
        servers.move_on(2);
        assert_eq!(servers.current(), 0);
        servers.move_on(0);
        servers.come_back();
        assert_eq!(servers.current(), 0);
        assert!(servers.claim_probe() && !servers.claim_probe());
    }

    #[test]
    fn a_write_moves_only_when_the_server_did_not_act() {
        let answer = |status: u16, text: &'static str| {
            Ok(Response {
                status: StatusCode::from_u16(status).unwrap(),
                headers: HeaderMap::new(),
                body: Body::full(text),
            })
        };
        let broken = |sent| {
            Err(SendError::Broken {
                method: Method::PUT,
                address: String::new(),
                reason: String::new(),
                sent,
                began: false,
            })
        };
        for (result, write, read) in [
            (answer(200, ""), false, false),
            (answer(403, ""), false, false),
            (answer(503, "{\"errors\":[\"Vault is sealed\"]}"), true, true),
            (answer(500, "oops"), false, false),
            (answer(500, "local node not active but active cluster node not found"), true, true),
            (answer(502, ""), false, true),
            (broken(Sent::No), true, true),
            (broken(Sent::Maybe), false, true),
            (Err(SendError::Downgrade), false, false),
        ] {
            assert_eq!(another_may(&result, false), write, "{result:?}");
            assert_eq!(another_may(&result, true), read, "{result:?}");
        }
    }
}
