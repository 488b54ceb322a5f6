//! One connection, as all who deal with it share it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use config::ListenerLimits;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::breach::Breach;
use crate::doors::{Caller, Doors, Peer, Who};
use crate::peer::Process;

/// A connection.
pub(crate) struct Link {
    pub(crate) doors: Arc<Doors>,
    pub(crate) peer: Arc<Peer>,
    pub(crate) id: u64,
    who: Who,
    /// The process at the other end, where it matters which one it is.
    process: OnceLock<Box<Process>>,
    /// What its certificate calls it.
    name: OnceLock<Box<str>>,
    /// Who is at the other end, if the access log wants to know.
    pub(crate) client: OnceLock<serde_json::Value>,
    accepted: Instant,
    /// Requests whose head has come.
    started: AtomicU64,
    /// Requests whose answer is over.
    finished: AtomicU64,
    /// Milliseconds since the listener began.
    idle_since: AtomicU64,
    /// It is to close as soon as no request is under way.
    leaving: AtomicBool,
    kicked: Notify,
}

impl Link {
    pub(crate) fn new(doors: Arc<Doors>, peer: Arc<Peer>, who: Who, id: u64) -> Self {
        let accepted = Instant::now();
        let idle_since = AtomicU64::new(doors.age(accepted));
        Self {
            doors,
            peer,
            id,
            who,
            process: OnceLock::new(),
            name: OnceLock::new(),
            client: OnceLock::new(),
            accepted,
            started: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            idle_since,
            leaving: AtomicBool::new(false),
            kicked: Notify::new(),
        }
    }

    pub(crate) fn limits(&self) -> &ListenerLimits {
        &self.doors.limits
    }

    pub(crate) fn count(&self, breach: Breach) {
        self.doors.counters.count(breach);
    }

    pub(crate) fn accepted(&self) -> Instant {
        self.accepted
    }

    /// Remembers which process it is.
    pub(crate) fn is_of(&self, process: Process) {
        if self.process.set(Box::new(process)).is_ok() {
            self.doors.process_entered();
        }
    }

    /// The process at the other end, where it matters.
    pub(crate) fn process(&self) -> Option<&Process> {
        self.process.get().map(Box::as_ref)
    }

    /// Remembers what its certificate calls it.
    pub(crate) fn is_called(&self, name: &str) {
        let _ = self.name.set(name.into());
    }

    /// What its certificate calls it.
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.get().map(Box::as_ref)
    }

    /// Whose requests its requests are counted with.
    pub(crate) fn caller(&self) -> Caller {
        match self.name() {
            Some(name) => Caller::Name(name.into()),
            None => Caller::Who(self.who),
        }
    }

    /// A request begins.
    pub(crate) fn begin(&self) {
        self.started.fetch_add(1, Relaxed);
    }

    /// Whether any request was made yet.
    pub(crate) fn has_asked(&self) -> bool {
        self.started.load(Relaxed) > 0
    }

    /// Whether a request is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.started.load(Relaxed) != self.finished.load(Relaxed)
    }

    /// An answer is over.
    fn finish(&self) {
        self.idle_since.store(self.doors.age(Instant::now()), Relaxed);
        self.finished.fetch_add(1, Relaxed);
    }

    /// Since when it is idle, to the millisecond; `None` while it is not.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let idle = !self.is_busy();
        idle.then(|| self.doors.at_age(self.idle_since.load(Relaxed)))
    }

    /// Since when it could have been closed to make room; `None` while it cannot, or is being closed already.
    pub(crate) fn spare_since(&self) -> Option<Instant> {
        self.idle_since().filter(|_| !self.is_leaving())
    }

    /// Asks it to close as soon as no request is under way.
    pub(crate) fn kick(&self) {
        self.leave();
        self.kicked.notify_one();
    }

    /// It was asked to close, or the listener ends.
    pub(crate) fn leave(&self) {
        self.leaving.store(true, Relaxed);
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Relaxed)
    }

    /// Until somebody asks for it.
    pub(crate) async fn kicked(&self) {
        self.kicked.notified().await;
    }
}

/// A request under way; it ends when this is dropped.
pub(crate) struct InFlight {
    link: Arc<Link>,
    /// It counts among those under way; one that was refused does not.
    counted: bool,
}

impl InFlight {
    pub(crate) fn counted(link: Arc<Link>) -> Self {
        Self { link, counted: true }
    }

    pub(crate) fn refused(link: Arc<Link>) -> Self {
        Self { link, counted: false }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.counted {
            self.link.doors.request_over(&self.link.peer);
        }
        self.link.finish();
    }
}
