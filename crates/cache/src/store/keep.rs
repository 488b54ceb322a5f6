//! How entries are kept alive: what is to be done about them when, and what came of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vault::Namespace;

use super::{After, BETWEEN_DOUBTS, Id, MOST_DOUBTS, Place, Renewable, Renewal, Store, Subject, Task};
use crate::life::{Due, Life, Next};
use crate::observe::full_path;

impl Store {
    /// What to do about an entry whose time has come; `None` when it is gone or somebody else renewed it.
    pub(crate) fn due(&mut self, id: Id, now: Instant) -> Option<Task> {
        let most_idle = self.options.max_idle_renewals;
        let life = self.node_mut(id)?.life.as_mut()?;
        match life.due(now, most_idle) {
            Due::Nothing => Some(Task::Wait(life.due_at())),
            Due::End => {
                self.evict(id);
                None
            }
            Due::Renewal => self.handle(id).map(Task::Renew),
            Due::Check => self.handle(id).map(Task::Check),
        }
    }

    /// What is needed to speak of an entry to the server.
    pub(crate) fn handle(&self, id: Id) -> Option<Renewal> {
        let node = self.node(id)?;
        let subject = match &node.subject {
            Subject::Own { token } | Subject::Issued { token, .. } => Renewable::Token(Arc::clone(token)),
            Subject::Lease { lease } => match &self.node(node.parent?)?.subject {
                Subject::Own { token } | Subject::Issued { token, .. } => {
                    Renewable::Lease(Arc::clone(token), lease.clone())
                }
                Subject::Lease { .. } => return None,
            },
        };
        Some(Renewal { subject, namespace: namespace_of(&node.subject, &node.place) })
    }

    /// Whether a timer is wanted for an entry at `at`: not where there is one already that fires no later.
    pub(crate) fn arm(&mut self, id: Id, at: Instant) -> bool {
        self.node_mut(id).and_then(|node| node.life.as_mut()).is_some_and(|life| life.arm(at))
    }

    /// An entry's timer of `at` has fired: says when the entry ends, if that was its last one.
    pub(crate) fn fired(&mut self, id: Id, at: Instant) -> Option<Instant> {
        let life = self.node_mut(id)?.life.as_mut()?;
        life.fired(at).then(|| life.end())
    }

    /// Whether an answer was given out before `moment`.
    pub(crate) fn is_older(&self, id: Id, moment: Instant) -> bool {
        self.node(id).and_then(|node| node.kept.as_ref()).is_some_and(|kept| kept.since <= moment)
    }

    /// An entry and all that hangs below it.
    pub(crate) fn subtree(&self, id: Id) -> Vec<Id> {
        let mut all = vec![id];
        let mut at = 0;
        while let Some(id) = all.get(at) {
            at += 1;
            let children = self.node(*id).map(|node| node.children.clone()).unwrap_or_default();
            all.extend(children);
        }
        all
    }

    /// Whether an entry is a lease, and whether it has an answer.
    pub(crate) fn sort(&self, id: Id) -> Option<(bool, bool)> {
        let node = self.node(id)?;
        Some((matches!(node.subject, Subject::Lease { .. }), node.key.is_some()))
    }

    /// A token that may be dead: its entry, unless there is none or it was suspected just now.
    pub(crate) fn doubt(&mut self, token: &str, now: Instant) -> Option<Id> {
        let (id, hash) = (self.managed(token)?, self.hash(token));
        if self.doubts.len() >= MOST_DOUBTS {
            self.doubts.retain(|_, at| now.saturating_duration_since(*at) < BETWEEN_DOUBTS);
        }
        let recent = |at: &Instant| now.saturating_duration_since(*at) < BETWEEN_DOUBTS;
        if self.doubts.get(&hash).is_some_and(recent) || self.doubts.len() >= MOST_DOUBTS {
            return None;
        }
        self.doubts.insert(hash, now);
        Some(id)
    }

    /// The server still knows it. Says when to look again.
    pub(crate) fn checked(&mut self, id: Id, now: Instant) -> Option<Instant> {
        let interval = self.options.verify_interval?;
        Some(self.node_mut(id)?.life.as_mut()?.check_at(now + spread(interval)))
    }

    /// Notes a renewal; `sent_at` is when it was asked for, `ours` that we did it, `again` that there may be more.
    pub(crate) fn renewed(
        &mut self,
        id: Id,
        ttl: Duration,
        sent_at: Instant,
        ours: bool,
        again: bool,
    ) -> After {
        self.live(id, sent_at, |life| life.renewed(ttl, sent_at, ours, again))
    }

    /// Notes a failed renewal of something that still lives.
    pub(crate) fn renewal_failed(
        &mut self,
        id: Id,
        now: Instant,
        jitter: f64,
        retry_after: Duration,
    ) -> After {
        self.live(id, now, |life| life.failed(now, jitter, retry_after))
    }

    /// It cannot be renewed any more: serve it to its end.
    pub(crate) fn fade(&mut self, id: Id, now: Instant) -> After {
        self.live(id, now, |life| life.fade(now))
    }

    fn live(&mut self, id: Id, now: Instant, change: impl FnOnce(&mut Life) -> Next) -> After {
        let interval = self.options.verify_interval;
        let Some(node) = self.node_mut(id) else { return After::default() };
        let Some(life) = node.life.as_mut() else { return After::default() };
        let again = node.again.as_ref().filter(|_| life.is_wanted()).cloned();
        let mut next = change(life);
        let again = again.filter(|_| next == Next::Evict || life.is_fading());
        // Served until there is another.
        if again.is_some() && next == Next::Evict {
            next = life.fade(now);
        }
        match next {
            Next::Evict => {
                self.evict(id);
                After { at: None, again }
            }
            Next::At(at) => {
                let at = interval.map_or(at, |interval| life.check_at(now + spread(interval)));
                self.note_changed(id, false);
                After { at: Some(at), again }
            }
        }
    }
}

/// A tenth earlier at most, so that what came together is not checked together.
pub(super) fn spread(interval: Duration) -> Duration {
    interval.mul_f64(0.9 + 0.1 * fastrand::f64())
}

/// Where the server knows an entry: the namespace may stand in its path, where it is told apart by the lease's id, or
/// by `auth/` as the mounts of tokens are called.
fn namespace_of(subject: &Subject, place: &Place) -> Option<Namespace> {
    let path = full_path(place);
    let namespace = match subject {
        Subject::Lease { lease } => {
            let lease = lease.as_str();
            path.strip_suffix(&lease[..lease.rfind('/').map_or(0, |slash| slash + 1)])
        }
        Subject::Own { .. } => None,
        Subject::Issued { .. } if path.starts_with("auth/") => Some(""),
        Subject::Issued { .. } => path.find("/auth/").map(|at| &path[..at]),
    };
    match namespace {
        Some(namespace) => Namespace::new(namespace),
        None => place.namespace.as_deref().and_then(Namespace::new),
    }
}
