//! What is remembered: tokens, under them their leases and child tokens, found by key, token, accessor, lease
//! or path. Time is passed in; nothing here waits or asks.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use tokio::time::Instant;
use vault::{Accessor, LeaseId, Namespace, Rhythm, Token};

use crate::answer::{HeaderSets, Kept};
use crate::key::Key;

pub(crate) mod disk;

/// Names an entry for as long as it lives; a later entry in the same place has another round.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Id {
    place: u32,
    round: u32,
}

/// What an entry is about.
pub(crate) enum Subject {
    /// Our own token: others hang below it; somebody else renews it.
    Own { token: Arc<Token> },
    /// A token that was handed out.
    Issued { token: Arc<Token>, accessor: Option<Accessor> },
    /// A lease of the token above.
    Lease { lease: LeaseId },
}

/// Where an answer was asked for, as cache-clear names it: the namespace header verbatim, the path as it came.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Place {
    pub(crate) namespace: Option<Box<str>>,
    pub(crate) path: Box<str>,
}

/// How long something lives and when it was last said so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    /// When the request whose answer said so was sent: never later than the server's own clock started.
    granted_at: Instant,
    ttl: Duration,
    rhythm: Rhythm,
    failures: u32,
    /// It is not renewed any more, only served to its end.
    fading: bool,
    /// When to look at it next; a timer that fires before was set for an earlier life.
    due_at: Instant,
}

/// What comes next in an entry's life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Next {
    /// Look at it again at this time.
    At(Instant),
    /// Forget it now.
    Evict,
}

impl Life {
    pub(crate) fn new(ttl: Duration, granted_at: Instant, jitter: f64) -> Self {
        let rhythm = Rhythm::new(ttl, jitter);
        Self { granted_at, ttl, rhythm, failures: 0, fading: false, due_at: granted_at + rhythm.pause(ttl) }
    }

    /// One that an earlier run began.
    fn restored(ttl: Duration, granted_at: Instant, fading: bool, jitter: f64) -> Self {
        let life = Self { fading, ..Self::new(ttl, granted_at, jitter) };
        if fading { Self { due_at: life.served_until(), ..life } } else { life }
    }

    /// No hit from here on: a client needs a moment to use what it gets.
    fn served_until(&self) -> Instant {
        self.granted_at + self.ttl - (self.ttl / 10).min(Duration::from_secs(1))
    }

    fn at(&mut self, due_at: Instant) -> Next {
        self.due_at = due_at;
        Next::At(due_at)
    }

    fn renewed(&mut self, ttl: Duration, sent_at: Instant) -> Next {
        (self.granted_at, self.ttl, self.failures) = (sent_at, ttl, 0);
        // Near its maximum TTL it is let go, so that the next to ask gets a fresh one.
        if !self.rhythm.worth_renewing(ttl) {
            return Next::Evict;
        }
        self.at(sent_at + self.rhythm.pause(ttl))
    }

    fn failed(&mut self, now: Instant, jitter: f64) -> Next {
        let remaining = (self.granted_at + self.ttl).saturating_duration_since(now);
        match Rhythm::pause_after_failure(self.failures, self.ttl, remaining, jitter) {
            Some(pause) => {
                self.failures += 1;
                self.at(now + pause)
            }
            None => self.fade(now),
        }
    }

    fn fade(&mut self, now: Instant) -> Next {
        self.fading = true;
        let end = self.served_until();
        if end <= now { Next::Evict } else { self.at(end) }
    }
}

struct Node {
    subject: Subject,
    parent: Option<Id>,
    children: Vec<Id>,
    key: Option<Key>,
    place: Place,
    kept: Option<Kept>,
    life: Option<Life>,
    on_disk: disk::OnDisk,
}

/// An answer to be remembered.
pub(crate) struct NewEntry<'a> {
    pub(crate) key: Key,
    pub(crate) subject: Subject,
    pub(crate) parent: Option<Id>,
    pub(crate) place: Place,
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    pub(crate) life: Life,
    pub(crate) now: Instant,
}

/// What a renewal needs.
#[derive(Debug)]
pub(crate) struct Renewal {
    pub(crate) subject: Renewable,
    /// Where it came from, and where the server knows it.
    pub(crate) namespace: Option<Namespace>,
}

/// What is to be renewed, and with which token.
#[derive(Debug)]
pub(crate) enum Renewable {
    Token(Arc<Token>),
    Lease(Arc<Token>, LeaseId),
}

/// One of our identities, by its number.
pub(crate) type Whose = usize;

/// Timers count milliseconds and may fire that much early.
const TIMER_GRAIN: Duration = Duration::from_millis(2);

/// What a cache keeps alive.
#[derive(Clone, Copy, Debug, Default)]
pub struct Held {
    /// Leases.
    pub leases: usize,
    /// Tokens that were handed out.
    pub tokens: usize,
    /// How long the one that ends first lives if nobody renews it.
    pub soonest: Option<Duration>,
}

/// All that is remembered.
#[derive(Default)]
pub(crate) struct Store {
    nodes: Vec<(u32, Option<Node>)>,
    free: Vec<u32>,
    by_key: HashMap<Key, Id>,
    /// Tokens, accessors and lease ids by a hash: the texts stand in the entries.
    by_token: HashMap<u64, Id>,
    by_accessor: HashMap<u64, Id>,
    by_lease: HashMap<u64, Id>,
    hasher: RandomState,
    header_sets: HeaderSets,
    /// Of each of our identities.
    own: BTreeMap<Whose, Id>,
    journal: disk::Journal,
}

impl Store {
    /// How many answers are remembered.
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// What is kept alive. Looks at everything.
    pub(crate) fn held(&self, now: Instant) -> Held {
        let mut held = Held::default();
        for node in self.nodes.iter().filter_map(|(_, node)| node.as_ref()) {
            match node.subject {
                Subject::Lease { .. } => held.leases += 1,
                Subject::Issued { .. } => held.tokens += 1,
                Subject::Own { .. } => {}
            }
            if let Some(life) = &node.life {
                let left = (life.granted_at + life.ttl).saturating_duration_since(now);
                held.soonest = Some(held.soonest.map_or(left, |soonest| soonest.min(left)));
            }
        }
        held
    }

    fn node(&self, id: Id) -> Option<&Node> {
        let (round, node) = self.nodes.get(id.place as usize)?;
        if *round == id.round { node.as_ref() } else { None }
    }

    fn node_mut(&mut self, id: Id) -> Option<&mut Node> {
        let (round, node) = self.nodes.get_mut(id.place as usize)?;
        if *round == id.round { node.as_mut() } else { None }
    }

    fn hash(&self, text: &str) -> u64 {
        self.hasher.hash_one(text)
    }

    /// The answer for a key, unless its time is nearly up.
    pub(crate) fn hit(&self, key: &Key, now: Instant) -> Option<&Kept> {
        let node = self.node(*self.by_key.get(key)?)?;
        let fresh = node.life.is_some_and(|life| now < life.served_until());
        if fresh { node.kept.as_ref() } else { None }
    }

    /// The entry of a token whose end will be noticed here.
    pub(crate) fn managed(&self, token: &str) -> Option<Id> {
        let id = *self.by_token.get(&self.hash(token))?;
        match &self.node(id)?.subject {
            Subject::Own { token: known } | Subject::Issued { token: known, .. }
                if known.expose() == token =>
            {
                Some(id)
            }
            _ => None,
        }
    }

    /// The entry of a lease.
    pub(crate) fn lease(&self, lease: &str) -> Option<Id> {
        let id = *self.by_lease.get(&self.hash(lease))?;
        matches!(&self.node(id)?.subject, Subject::Lease { lease: known } if known.as_str() == lease)
            .then_some(id)
    }

    /// The entry of a token, by its accessor.
    pub(crate) fn accessor(&self, accessor: &str) -> Option<Id> {
        let id = *self.by_accessor.get(&self.hash(accessor))?;
        let Subject::Issued { accessor: Some(known), .. } = &self.node(id)?.subject else { return None };
        (known.expose() == accessor).then_some(id)
    }

    /// Makes `token` our own. The one before it goes as soon as nothing hangs below it.
    pub(crate) fn set_own(&mut self, whose: Whose, token: Arc<Token>) {
        if self.own.get(&whose).is_some_and(|id| self.managed(token.expose()) == Some(*id)) {
            return;
        }
        let old = self.own.remove(&whose);
        if let Some(id) = self.managed(token.expose()) {
            // It was handed out through us before, or is another identity's as well: it keeps its entry.
            self.own.insert(whose, id);
        } else {
            let hash = self.hash(token.expose());
            let node = Node {
                subject: Subject::Own { token },
                parent: None,
                children: Vec::new(),
                key: None,
                place: Place::default(),
                kept: None,
                life: None,
                on_disk: disk::OnDisk::default(),
            };
            let id = self.place(node);
            self.by_token.insert(hash, id);
            self.own.insert(whose, id);
            self.note_changed(id, true);
        }
        if let Some(old) = old {
            self.drop_if_idle(old);
        }
    }

    /// Our own tokens.
    pub(crate) fn own_tokens(&self) -> Vec<(Whose, Arc<Token>)> {
        let token = |id: Id| match &self.node(id)?.subject {
            Subject::Own { token } | Subject::Issued { token, .. } => Some(Arc::clone(token)),
            Subject::Lease { .. } => None,
        };
        self.own.iter().filter_map(|(whose, id)| Some((*whose, token(*id)?))).collect()
    }

    fn is_own(&self, id: Id) -> bool {
        self.own.values().any(|own| *own == id)
    }

    fn place(&mut self, node: Node) -> Id {
        match self.free.pop() {
            Some(place) => {
                let slot = &mut self.nodes[place as usize];
                slot.1 = Some(node);
                Id { place, round: slot.0 }
            }
            None => {
                let place = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
                self.nodes.push((0, Some(node)));
                Id { place, round: 0 }
            }
        }
    }

    /// Remembers an answer; what stood under its key, token or lease goes.
    pub(crate) fn insert(&mut self, entry: NewEntry<'_>) -> (Id, Next) {
        let same = match &entry.subject {
            Subject::Own { .. } => None,
            Subject::Issued { token, .. } => self.managed(token.expose()).filter(|id| !self.is_own(*id)),
            Subject::Lease { lease } => self.lease(lease.as_str()),
        };
        if let Some(same) = same {
            self.evict(same);
        }
        // Two equal requests that both went to the server: somebody holds what the first one got. It is kept
        // alive, and no longer handed out.
        if let Some(other) = self.by_key.remove(&entry.key) {
            if let Some(other) = self.node_mut(other) {
                other.key = None;
                other.kept = None;
            }
            self.note_changed(other, true);
        }
        let kept = Kept {
            status: entry.status,
            headers: self.header_sets.share(entry.headers),
            // Its own exact piece of memory: what arrived is a part of a larger buffer.
            body: bytes::Bytes::copy_from_slice(entry.body),
            since: entry.now,
        };
        let hash = match &entry.subject {
            Subject::Own { token } | Subject::Issued { token, .. } => self.hash(token.expose()),
            Subject::Lease { lease } => self.hash(lease.as_str()),
        };
        let accessor = match &entry.subject {
            Subject::Issued { accessor: Some(accessor), .. } => Some(self.hash(accessor.expose())),
            _ => None,
        };
        let is_lease = matches!(entry.subject, Subject::Lease { .. });
        let id = self.place(Node {
            subject: entry.subject,
            parent: entry.parent,
            children: Vec::new(),
            key: Some(entry.key),
            place: entry.place,
            kept: Some(kept),
            life: Some(entry.life),
            on_disk: disk::OnDisk::default(),
        });
        self.by_key.insert(entry.key, id);
        if is_lease { &mut self.by_lease } else { &mut self.by_token }.insert(hash, id);
        if let Some(accessor) = accessor {
            self.by_accessor.insert(accessor, id);
        }
        if let Some(parent) = entry.parent.and_then(|parent| self.node_mut(parent)) {
            parent.children.push(id);
        }
        self.note_changed(id, true);
        (id, Next::At(entry.life.due_at))
    }

    /// Forgets an entry and all that hangs below it. Returns how many answers went.
    pub(crate) fn evict(&mut self, id: Id) -> usize {
        let mut gone = 0;
        let mut doomed = vec![id];
        while let Some(id) = doomed.pop() {
            let Some(node) = self.remove(id) else { continue };
            gone += usize::from(node.key.is_some());
            doomed.extend(node.children);
        }
        gone
    }

    /// Forgets a token and its leases; its child tokens live on without a parent.
    pub(crate) fn evict_token_only(&mut self, id: Id) -> usize {
        let children = self.node(id).map(|node| node.children.clone()).unwrap_or_default();
        let is_token = |store: &Self, id: Id| {
            store.node(id).is_some_and(|node| !matches!(node.subject, Subject::Lease { .. }))
        };
        for child in children {
            if !is_token(self, child) {
                continue;
            }
            // The answer that created it is reachable with the dead token's key: that goes.
            let key = self.node_mut(child).and_then(|node| {
                node.parent = None;
                node.kept = None;
                node.key.take()
            });
            if let Some(key) = key {
                self.by_key.remove(&key);
            }
            self.note_changed(child, true);
            if let Some(node) = self.node_mut(id) {
                node.children.retain(|known| *known != child);
            }
        }
        self.evict(id)
    }

    /// Forgets every entry that `matches`, with all below it.
    pub(crate) fn evict_where(&mut self, matches: impl Fn(&Subject, &Place) -> bool) -> usize {
        let remembered = |node: &Node| node.life.is_some() && matches(&node.subject, &node.place);
        let found: Vec<Id> = (0u32..)
            .zip(&self.nodes)
            .filter(|(_, (_, node))| node.as_ref().is_some_and(remembered))
            .map(|(place, (round, _))| Id { place, round: *round })
            .collect();
        found.into_iter().map(|id| self.evict(id)).sum()
    }

    /// Forgets everything but our own tokens.
    pub(crate) fn clear(&mut self) -> usize {
        self.evict_where(|_, _| true)
    }

    fn remove(&mut self, id: Id) -> Option<Node> {
        self.node(id)?;
        let slot = &mut self.nodes[id.place as usize];
        let node = slot.1.take()?;
        slot.0 = slot.0.wrapping_add(1);
        self.free.push(id.place);
        if let Some(key) = &node.key {
            self.by_key.remove(key);
        }
        let hash = |text: &str| self.hasher.hash_one(text);
        match &node.subject {
            Subject::Own { token } => forget(&mut self.by_token, hash(token.expose()), id),
            Subject::Issued { token, accessor } => {
                forget(&mut self.by_token, hash(token.expose()), id);
                if let Some(accessor) = accessor {
                    forget(&mut self.by_accessor, hash(accessor.expose()), id);
                }
            }
            Subject::Lease { lease } => forget(&mut self.by_lease, hash(lease.as_str()), id),
        }
        self.own.retain(|_, own| *own != id);
        self.note_gone(id, &node);
        if let Some(parent) = node.parent {
            if let Some(above) = self.node_mut(parent) {
                above.children.retain(|child| *child != id);
            }
            self.drop_if_idle(parent);
        }
        Some(node)
    }

    /// A former token of our own with nothing below it has no reason to stay.
    fn drop_if_idle(&mut self, id: Id) {
        let idle = |node: &Node| matches!(node.subject, Subject::Own { .. }) && node.children.is_empty();
        if !self.is_own(id) && self.node(id).is_some_and(idle) {
            self.remove(id);
        }
    }

    /// What to renew for an entry whose time has come; `None` when it is gone, only fades, or was renewed by
    /// somebody else meanwhile.
    pub(crate) fn due(&mut self, id: Id, now: Instant) -> Option<Renewal> {
        let node = self.node(id)?;
        if node.life.is_some_and(|life| life.due_at > now + TIMER_GRAIN) {
            return None;
        }
        if node.life.is_none_or(|life| life.fading) {
            self.evict(id);
            return None;
        }
        let subject = match &node.subject {
            Subject::Own { .. } => return None,
            Subject::Issued { token, .. } => Renewable::Token(Arc::clone(token)),
            Subject::Lease { lease } => match &self.node(node.parent?)?.subject {
                Subject::Own { token } | Subject::Issued { token, .. } => {
                    Renewable::Lease(Arc::clone(token), lease.clone())
                }
                Subject::Lease { .. } => return None,
            },
        };
        Some(Renewal { subject, namespace: node.place.namespace.as_deref().and_then(Namespace::new) })
    }

    /// Notes a renewal; `sent_at` is when it was asked for.
    pub(crate) fn renewed(&mut self, id: Id, ttl: Duration, sent_at: Instant) -> Option<Next> {
        self.live(id, |life| life.renewed(ttl, sent_at))
    }

    /// Notes a failed renewal of something that still lives.
    pub(crate) fn renewal_failed(&mut self, id: Id, now: Instant, jitter: f64) -> Option<Next> {
        self.live(id, |life| life.failed(now, jitter))
    }

    /// It cannot be renewed any more: serve it to its end.
    pub(crate) fn fade(&mut self, id: Id, now: Instant) -> Option<Next> {
        self.live(id, |life| life.fade(now))
    }

    fn live(&mut self, id: Id, change: impl FnOnce(&mut Life) -> Next) -> Option<Next> {
        let next = change(self.node_mut(id)?.life.as_mut()?);
        if next == Next::Evict {
            self.evict(id);
            return None;
        }
        self.note_changed(id, false);
        Some(next)
    }
}

/// Another entry may have taken the hash meanwhile.
fn forget(index: &mut HashMap<u64, Id>, hash: u64, id: Id) {
    if index.get(&hash) == Some(&id) {
        index.remove(&hash);
    }
}
