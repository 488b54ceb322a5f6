//! How many may come in: connections and requests of one listener, per client and together.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use config::{ListenerLimits, RateLimit};
use rustix::process::{Resource, getrlimit};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::breach::Breach;
use crate::counters::Counters;
use crate::link::{InFlight, Link};
use crate::rate::Rates;

/// File descriptors that are kept for everything but clients: renewals, files, templates.
const RESERVED: usize = 64;

/// Who a client is, for counting.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Who {
    /// An address; of IPv6, the network that one customer is given.
    Address(IpAddr),
    /// A user of this machine.
    User(u32),
    /// The system does not say.
    Unknown,
}

impl Who {
    /// The client at an address.
    pub(crate) fn at(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(v6) if !v6.is_loopback() => {
                let [a, b, c, d, ..] = v6.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
            other => other,
        })
    }
}

/// Who asks, for counting requests.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Caller {
    /// Whom a certificate names.
    Name(Box<str>),
    /// Whoever is at the other end.
    Who(Who),
}

/// One client's share.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    requests: AtomicUsize,
}

/// File descriptors of the process, those for clients and for the server on their behalf.
#[derive(Debug)]
pub(crate) struct Descriptors {
    most: usize,
    used: AtomicUsize,
}

impl Descriptors {
    pub(crate) fn new(limit: usize) -> Self {
        Self { most: limit.saturating_sub(RESERVED).max(2), used: AtomicUsize::new(0) }
    }

    /// Of this process: all listeners share them.
    fn of_process() -> Arc<Self> {
        static SHARED: OnceLock<Arc<Descriptors>> = OnceLock::new();
        Arc::clone(SHARED.get_or_init(|| {
            let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
            Arc::new(Self::new(usize::try_from(limit).unwrap_or(usize::MAX)))
        }))
    }

    fn is_short(&self) -> bool {
        self.used.load(Relaxed) >= self.most
    }
}

/// The doors of one listener.
pub(crate) struct Doors {
    pub(crate) limits: ListenerLimits,
    pub(crate) counters: Arc<Counters>,
    began: Instant,
    descriptors: Arc<Descriptors>,
    rates: Option<Rates<Caller>>,
    table: Mutex<Table>,
    /// A connection has ended.
    left: Notify,
    /// Others have taken over: each connection ends behind its next answer.
    pub(crate) retired: CancellationToken,
    /// And without a next answer.
    pub(crate) closed: CancellationToken,
}

#[derive(Default)]
struct Table {
    next: u64,
    links: HashMap<u64, Arc<Link>>,
    peers: HashMap<Who, (Arc<Peer>, usize)>,
    /// The longest idle connections of a while ago with what they said then, the longest last: finding them takes a
    /// look at all, which must not be had for one connection more.
    longest: Vec<(u64, Instant)>,
}

/// So many are found with one look.
const LONGEST: usize = 64;

impl Doors {
    pub(crate) fn new(limits: ListenerLimits, rate: Option<RateLimit>) -> Self {
        Self::with(limits, rate, Descriptors::of_process())
    }

    pub(crate) fn with(
        limits: ListenerLimits,
        rate: Option<RateLimit>,
        descriptors: Arc<Descriptors>,
    ) -> Self {
        Self {
            limits,
            counters: Arc::default(),
            began: Instant::now(),
            descriptors,
            rates: rate.map(|rate| Rates::new(Duration::from_secs(1) / rate.per_second.max(1), rate.burst)),
            table: Mutex::default(),
            left: Notify::new(),
            retired: CancellationToken::new(),
            closed: CancellationToken::new(),
        }
    }

    /// The same doors with other bounds, for a listener that takes over: numbers go on, and who is in still counts.
    pub(crate) fn succeeded(&self, limits: ListenerLimits, rate: Option<RateLimit>) -> Self {
        let new = Self::with(limits, rate, Arc::clone(&self.descriptors));
        Self { counters: Arc::clone(&self.counters), ..new }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Milliseconds since the beginning.
    pub(crate) fn age(&self, now: Instant) -> u64 {
        u64::try_from((now - self.began).as_millis()).unwrap_or(u64::MAX)
    }

    /// The instant of such an age.
    pub(crate) fn at_age(&self, age: u64) -> Instant {
        self.began + Duration::from_millis(age)
    }

    /// Waits until another connection may come in; closes the longest idle one for it.
    pub(crate) async fn room(&self) {
        let full = || {
            self.counters.connections.load(Relaxed) >= self.limits.connections || self.descriptors.is_short()
        };
        if !full() {
            return;
        }
        self.counters.count(Breach::Connections);
        while full() {
            self.kick_longest_idle();
            // Another listener's connections count too, and do not ring here.
            let _ = timeout(Duration::from_millis(100), self.left.notified()).await;
        }
    }

    /// Closes the connection that has been idle for longest. `false` when none is.
    fn kick_longest_idle(&self) -> bool {
        let mut table = self.table();
        for _ in 0..2 {
            while let Some((id, then)) = table.longest.pop() {
                if let Some(link) = table.links.get(&id).filter(|link| link.spare_since() == Some(then)) {
                    link.kick();
                    return true;
                }
            }
            let mut idle: Vec<_> =
                table.links.values().filter_map(|link| Some((link.id, link.spare_since()?))).collect();
            idle.sort_unstable_by_key(|(id, since)| (*since, *id));
            idle.truncate(LONGEST);
            idle.reverse();
            table.longest = idle;
        }
        false
    }

    /// Lets a client in, or not: it has too many connections, and none of them is idle.
    pub(crate) fn enter(self: &Arc<Self>, who: Who) -> Option<Entered> {
        let mut table = self.table();
        let (peer, connections) = table.peers.entry(who).or_default();
        let (peer, full) = (Arc::clone(peer), *connections >= self.limits.connections_per_client);
        if full {
            self.counters.count(Breach::ConnectionsPerClient);
            let theirs = table.links.values().filter(|link| Arc::ptr_eq(&link.peer, &peer));
            let idle = theirs.filter_map(|link| Some((link.spare_since()?, link)));
            idle.min_by_key(|(since, link)| (*since, link.id))?.1.kick();
        }
        if let Some((_, connections)) = table.peers.get_mut(&who) {
            *connections += 1;
        }
        table.next += 1;
        let link = Arc::new(Link::new(Arc::clone(self), peer, who, table.next));
        table.links.insert(link.id, Arc::clone(&link));
        drop(table);
        self.descriptors.used.fetch_add(1, Relaxed);
        self.counters.accepted.fetch_add(1, Relaxed);
        self.counters.connections.fetch_add(1, Relaxed);
        Some(Entered { link, who })
    }

    fn leave(&self, link: &Link, who: Who) {
        let mut table = self.table();
        table.links.remove(&link.id);
        if let Some((_, connections)) = table.peers.get_mut(&who) {
            *connections -= 1;
            if *connections == 0 {
                table.peers.remove(&who);
            }
        }
        drop(table);
        let descriptors = 1 + usize::from(link.process().is_some());
        self.descriptors.used.fetch_sub(descriptors, Relaxed);
        self.counters.connections.fetch_sub(1, Relaxed);
        self.left.notify_one();
    }

    /// A process is held by a handle.
    pub(crate) fn process_entered(&self) {
        self.descriptors.used.fetch_add(1, Relaxed);
    }

    /// Begins a request of `link`.
    pub(crate) fn admit(&self, link: &Arc<Link>) -> Result<InFlight, Breach> {
        if link.process().is_some_and(|process| !process.is_same()) {
            return Err(Breach::Peer);
        }
        if self.rates.as_ref().is_some_and(|rates| !rates.take(&link.caller())) {
            return Err(Breach::Rate);
        }
        // One to the server is needed, most likely.
        if self.descriptors.is_short() && !self.kick_longest_idle() {
            return Err(Breach::Requests);
        }
        if self.counters.in_flight.fetch_add(1, Relaxed) >= self.limits.requests {
            self.counters.in_flight.fetch_sub(1, Relaxed);
            return Err(Breach::Requests);
        }
        if link.peer.requests.fetch_add(1, Relaxed) >= self.limits.requests_per_client {
            self.counters.in_flight.fetch_sub(1, Relaxed);
            link.peer.requests.fetch_sub(1, Relaxed);
            return Err(Breach::RequestsPerClient);
        }
        self.descriptors.used.fetch_add(1, Relaxed);
        self.counters.requests.fetch_add(1, Relaxed);
        Ok(InFlight::counted(Arc::clone(link)))
    }

    pub(crate) fn request_over(&self, peer: &Peer) {
        self.counters.in_flight.fetch_sub(1, Relaxed);
        peer.requests.fetch_sub(1, Relaxed);
        self.descriptors.used.fetch_sub(1, Relaxed);
    }

    /// Makes room for `bytes` of a body. `false` when there is none.
    pub(crate) fn hold(&self, bytes: usize) -> bool {
        if self.counters.buffered.fetch_add(bytes, Relaxed) + bytes > self.limits.buffered_bodies {
            self.release(bytes);
            return false;
        }
        true
    }

    pub(crate) fn release(&self, bytes: usize) {
        self.counters.buffered.fetch_sub(bytes, Relaxed);
    }
}

/// A connection that was let in; it leaves when this is dropped.
pub(crate) struct Entered {
    pub(crate) link: Arc<Link>,
    who: Who,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.link.doors.leave(&self.link, self.who);
    }
}
