//! What is remembered: tokens, under them their leases and child tokens, found by key, token, accessor, lease
//! or path. Time is passed in; nothing here waits or asks.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::time::Instant;
use vault::{Accessor, LeaseId, Namespace, Request, Response, Token};

use crate::Options;
use crate::answer::{HeaderSets, Kept};
use crate::key::{Key, Texts};
use crate::life::Life;
use crate::policy::Span;

pub(crate) use self::marks::Mark;
use self::marks::Marks;

mod bounds;
pub(crate) mod disk;
mod holdings;
mod keep;
mod leave;
mod marks;
mod restore;

/// Names an entry for as long as it lives; a later entry in the same place has another round.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
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

impl Subject {
    fn token(&self) -> Option<&str> {
        match self {
            Self::Own { token } | Self::Issued { token, .. } => Some(token.expose()),
            Self::Lease { .. } => None,
        }
    }

    fn accessor(&self) -> Option<&str> {
        match self {
            Self::Issued { accessor: Some(accessor), .. } => Some(accessor.expose()),
            _ => None,
        }
    }
}

/// Where an answer was asked for, as cache-clear names it: the namespace header verbatim, the path as it came.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Place {
    pub(crate) namespace: Option<Box<str>>,
    pub(crate) path: Box<str>,
}

struct Node {
    subject: Subject,
    parent: Option<Id>,
    children: Vec<Id>,
    /// Where it stands among its parent's children.
    rank: u32,
    key: Option<Key>,
    place: Place,
    kept: Option<Kept>,
    /// Where the answer says how long it lives.
    told: Span,
    life: Option<Life>,
    /// The token that asked for an orphan, hashed: when that one dies, the answer is nobody's.
    asker: Option<u64>,
    /// When it was given out last: seconds since the store was made.
    used: u32,
    /// What to send to get another.
    again: Option<Arc<Request>>,
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
    /// Where the body says how long it lives.
    pub(crate) told: Span,
    pub(crate) life: Life,
    pub(crate) now: Instant,
    /// The token that it was asked for with.
    pub(crate) asker: Option<&'a str>,
    /// The request, to ask once more with.
    pub(crate) again: Option<Arc<Request>>,
}

/// What became of an answer that was to be remembered.
pub(crate) struct Inserted {
    pub(crate) id: Id,
    /// When to look at it.
    pub(crate) at: Instant,
    /// What was handed out under the same key before; it is kept alive.
    pub(crate) replaced: Option<Id>,
    /// How many others had to go.
    pub(crate) dropped: usize,
}

/// An answer from memory.
pub(crate) struct Hit {
    pub(crate) response: Response,
    pub(crate) age: Duration,
    /// It is to be looked at again.
    pub(crate) wake: Option<(Id, Instant)>,
    /// It hangs on a token that the server has not been asked about since the start.
    pub(crate) unconfirmed: bool,
}

/// What comes after a renewal, successful or not.
#[derive(Default)]
pub(crate) struct After {
    /// When to look at it again.
    pub(crate) at: Option<Instant>,
    /// It will not live much longer and was wanted lately: ask for another.
    pub(crate) again: Option<Arc<Request>>,
}

/// What to do about an entry whose time has come.
#[derive(Debug)]
pub(crate) enum Task {
    /// Renew it.
    Renew(Renewal),
    /// Ask whether it is known.
    Check(Renewal),
    /// Look at it later.
    Wait(Instant),
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

/// Tokens hang below tokens no deeper than this; what does is not handed out.
const MOST_LEVELS: usize = 64;

/// A token is suspected no more often.
const BETWEEN_DOUBTS: Duration = Duration::from_secs(10);

/// So many suspicions are kept in mind.
const MOST_DOUBTS: usize = 1024;

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
    texts: Texts,
    /// Orphans by the token that asked for them.
    by_asker: HashMap<u64, Vec<Id>>,
    header_sets: HeaderSets,
    /// Of each of our identities.
    own: BTreeMap<Whose, Id>,
    pub(crate) marks: Marks,
    options: Arc<Options>,
    /// How many nodes there are, our own included, and what they cost.
    live: usize,
    bytes: usize,
    /// When which token was suspected last.
    doubts: HashMap<u64, Instant>,
    /// What `used` counts from.
    started: Option<Instant>,
    journal: disk::Journal,
}

impl Store {
    pub(crate) fn new(options: Arc<Options>, texts: Texts) -> Self {
        Self { options, texts, ..Self::default() }
    }

    /// How many answers are remembered.
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// What everything costs, reckoned.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
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
                let left = life.end().saturating_duration_since(now);
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
        self.texts.hash(text)
    }

    /// The answer for a key, unless its time is nearly up.
    pub(crate) fn hit(&mut self, key: &Key, now: Instant) -> Option<Hit> {
        let id = *self.by_key.get(key)?;
        let used = self.seconds(now);
        let (adjust, unconfirmed) = (self.options.adjust_ttl, self.is_unconfirmed(id));
        if !self.is_rooted(id, now) {
            return None;
        }
        let node = self.node_mut(id)?;
        let (life, kept) = (node.life.as_mut()?, node.kept.as_ref()?);
        if now >= life.served_until() {
            return None;
        }
        node.used = used;
        let wake = life.used(now).map(|at| (id, at));
        let remaining = life.end() - now;
        let response = if adjust { kept.response_with(node.told, remaining) } else { kept.response() };
        Some(Hit { response, age: now.saturating_duration_since(kept.since), wake, unconfirmed })
    }

    /// Whether the tokens live that an entry hangs below, and the one that asked for an orphan. Their end is noticed
    /// by a timer, which may be late: after a suspend all are.
    fn is_rooted(&self, id: Id, now: Instant) -> bool {
        let mut above =
            self.node(id).and_then(|node| node.parent.or_else(|| self.by_token.get(&node.asker?).copied()));
        for _ in 0..MOST_LEVELS {
            let Some(id) = above else { return true };
            let Some(node) = self.node(id) else { return false };
            if node.life.is_some_and(|life| now >= life.end()) {
                return false;
            }
            above = node.parent;
        }
        false
    }

    fn seconds(&mut self, now: Instant) -> u32 {
        let started = *self.started.get_or_insert(now);
        u32::try_from(now.saturating_duration_since(started).as_secs()).unwrap_or(u32::MAX)
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

    /// Makes `token` our own. The one before it goes as soon as nothing hangs below it; it is returned while
    /// something does, because nobody renews it any more.
    pub(crate) fn set_own(&mut self, whose: Whose, token: Arc<Token>) -> Option<Id> {
        if self.own.get(&whose).is_some_and(|id| self.managed(token.expose()) == Some(*id)) {
            return None;
        }
        let old = self.own.remove(&whose);
        if let Some(id) = self.managed(token.expose()) {
            // It was handed out through us before, or is another identity's as well: it keeps its entry.
            self.own.insert(whose, id);
        } else {
            let id = self.admit(Node {
                subject: Subject::Own { token },
                parent: None,
                children: Vec::new(),
                rank: 0,
                key: None,
                place: Place::default(),
                kept: None,
                told: Span::default(),
                life: None,
                asker: None,
                used: 0,
                again: None,
                on_disk: disk::OnDisk::default(),
            });
            self.own.insert(whose, id);
            self.note_changed(id, true);
        }
        let old = old?;
        self.note_changed(old, false);
        self.drop_if_idle(old);
        self.node(old).map(|_| old)
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
        self.live += 1;
        self.bytes += node.weight();
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

    /// Puts an entry into a place, below its parent and into all indexes.
    fn admit(&mut self, mut node: Node) -> Id {
        let (key, asker, parent) = (node.key, node.asker, node.parent);
        let accessor = node.subject.accessor().map(|accessor| self.hash(accessor));
        let (is_lease, hash) = match &node.subject {
            Subject::Own { token } | Subject::Issued { token, .. } => (false, self.hash(token.expose())),
            Subject::Lease { lease } => (true, self.hash(lease.as_str())),
        };
        let rank = parent.and_then(|parent| self.node(parent)).map_or(0, |above| above.children.len());
        node.rank = u32::try_from(rank).unwrap_or(u32::MAX);
        let id = self.place(node);
        if is_lease { &mut self.by_lease } else { &mut self.by_token }.insert(hash, id);
        if let Some(key) = key {
            self.by_key.insert(key, id);
        }
        if let Some(accessor) = accessor {
            self.by_accessor.insert(accessor, id);
        }
        if let Some(asker) = asker {
            self.by_asker.entry(asker).or_default().push(id);
        }
        if let Some(parent) = parent.and_then(|parent| self.node_mut(parent)) {
            parent.children.push(id);
        }
        id
    }

    /// Remembers an answer; what stood under its token or lease goes.
    pub(crate) fn insert(&mut self, entry: NewEntry<'_>) -> Inserted {
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
        let replaced = self.by_key.get(&entry.key).copied();
        if let Some(other) = replaced {
            self.withhold(other);
        }
        let kept = Kept {
            status: entry.status,
            headers: self.header_sets.share(entry.headers),
            // Its own exact piece of memory: what arrived is a part of a larger buffer.
            body: Bytes::copy_from_slice(entry.body),
            since: entry.now,
        };
        let is_lease = matches!(entry.subject, Subject::Lease { .. });
        let asker = entry.asker.filter(|_| !is_lease && entry.parent.is_none()).map(|token| self.hash(token));
        let used = self.seconds(entry.now);
        let mut life = entry.life;
        let at = match self.options.verify_interval {
            Some(interval) => life.check_at(entry.now + keep::spread(interval)),
            None => life.due_at(),
        };
        let id = self.admit(Node {
            subject: entry.subject,
            parent: entry.parent,
            children: Vec::new(),
            rank: 0,
            key: Some(entry.key),
            place: entry.place,
            kept: Some(kept),
            told: entry.told,
            life: Some(life),
            asker,
            used,
            again: entry.again,
            on_disk: disk::OnDisk::default(),
        });
        self.note_changed(id, true);
        let dropped = self.make_room(Some(id));
        Inserted { id, at, replaced: replaced.filter(|id| self.node(*id).is_some()), dropped }
    }
}

#[cfg(test)]
mod tests;
