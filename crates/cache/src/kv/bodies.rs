//! Bodies of secrets, apart from who may read them. Bounded in number and bytes: the least recently used goes first.
//! What goes is wiped.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::disk::{Journal, OnDisk};
use super::hash::TokenHash;
use super::meaning::{BodyKey, Meaning};
use super::reading::Facts;
use crate::answer::{HeaderSets, Kept};
use crate::disk::Kind;

/// A body's bytes, wiped when the last who holds them lets go: the store, and answers on their way out.
#[derive(Clone)]
pub(crate) struct Wiped(Arc<Zeroizing<Box<[u8]>>>);

impl Wiped {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self(Arc::new(Zeroizing::new(bytes.into())))
    }

    pub(crate) fn bytes(&self) -> Bytes {
        Bytes::from_owner(self.clone())
    }
}

impl From<Zeroizing<Box<[u8]>>> for Wiped {
    fn from(bytes: Zeroizing<Box<[u8]>>) -> Self {
        Self(Arc::new(bytes))
    }
}

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// An answer as it arrived.
#[derive(Clone)]
pub(crate) struct Arrived {
    pub(crate) headers: HeaderMap,
    pub(crate) text: Wiped,
}

/// A body that is kept.
pub(crate) struct Stored {
    text: Wiped,
    headers: Arc<HeaderMap>,
    pub(crate) facts: Facts,
    /// When the request was sent whose answer said so, or confirmed it.
    pub(crate) since: Instant,
    /// How long it is fresh from then on.
    pub(crate) fresh_for: Duration,
    /// What it was asked for with.
    pub(crate) meaning: Meaning,
    names: Vec<u64>,
    /// Hits since it was read or confirmed, and whose the last one was.
    pub(crate) hits: u32,
    pub(crate) reader: Option<TokenHash>,
    /// A part of the jitter of refreshing, 0 to 1.
    pub(crate) spread: f64,
    /// It is being refreshed; not tried again before this time.
    pub(crate) not_before: Option<Instant>,
    /// The server failed to answer for it; until then it is not asked again.
    pub(crate) failing: Option<Instant>,
    /// An earlier run left it, and the server has not been asked since.
    pub(crate) unchecked: bool,
    pub(crate) on_disk: OnDisk,
    /// `since` as it stands on the disk.
    pub(crate) written_since: Option<Instant>,
    used: u64,
}

/// A body that an earlier run left.
pub(crate) struct Returned {
    pub(crate) meaning: Meaning,
    pub(crate) arrived: Arrived,
    pub(crate) facts: Facts,
    pub(crate) since: Instant,
    pub(crate) fresh_for: Duration,
    pub(crate) number: u64,
}

impl Stored {
    pub(crate) fn kept(&self) -> Kept {
        Kept {
            status: StatusCode::OK,
            headers: Arc::clone(&self.headers),
            body: self.text.bytes(),
            since: self.since,
        }
    }

    pub(crate) fn is_fresh(&self, now: Instant) -> bool {
        now < self.since + self.fresh_for
    }

    pub(crate) fn size(&self) -> usize {
        self.text.0.len()
    }
}

/// All of them.
pub(crate) struct Bodies {
    all: HashMap<BodyKey, Stored>,
    /// Least recently used first.
    order: BTreeMap<u64, BodyKey>,
    numbers: BTreeMap<u64, BodyKey>,
    pub(crate) journal: Journal<BodyKey>,
    by_name: HashMap<u64, Vec<BodyKey>>,
    bytes: usize,
    clock: u64,
    header_sets: HeaderSets,
}

impl Bodies {
    /// `grain`: how much the times on the disk may be behind.
    pub(crate) fn new(grain: Duration) -> Self {
        let (all, order, numbers, by_name, bytes, clock, header_sets) = Default::default();
        let journal = Journal::new(Kind::Body, grain);
        Self { all, order, numbers, journal, by_name, bytes, clock, header_sets }
    }

    pub(crate) fn keys(&self) -> Vec<BodyKey> {
        self.all.keys().cloned().collect()
    }

    /// In the order of their numbers, from `from` on.
    pub(crate) fn numbered(&self, from: u64) -> impl Iterator<Item = (u64, &Stored)> {
        self.numbers.range(from..).filter_map(|(number, key)| Some((*number, self.all.get(key)?)))
    }

    pub(crate) fn by_number(&self, number: u64) -> Option<&BodyKey> {
        self.numbers.get(&number)
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn get(&self, key: &BodyKey) -> Option<&Stored> {
        self.all.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &BodyKey) -> Option<&mut Stored> {
        self.all.get_mut(key)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stored> {
        self.all.values_mut()
    }

    /// Notes a use: it goes later.
    pub(crate) fn used(&mut self, key: &BodyKey, reader: TokenHash) {
        self.clock += 1;
        let Some(stored) = self.all.get_mut(key) else { return };
        self.order.remove(&stored.used);
        stored.used = self.clock;
        stored.hits = stored.hits.saturating_add(1);
        stored.reader = Some(reader);
        self.order.insert(self.clock, key.clone());
    }

    /// Keeps a body in the place of what was there.
    pub(crate) fn insert(
        &mut self,
        meaning: Meaning,
        names: Vec<u64>,
        arrived: &Arrived,
        facts: Facts,
        since: Instant,
        fresh_for: Duration,
    ) {
        let before = self.take_out(&meaning.key);
        let same = before
            .as_ref()
            .is_some_and(|before| before.text.as_ref() == arrived.text.as_ref() && before.facts == facts);
        let (mut on_disk, written) =
            before.as_ref().map(|before| (before.on_disk, before.written_since)).unwrap_or_default();
        if before.is_none() {
            on_disk.number = self.journal.number();
        } else if !same {
            // Not what lies there any more: rather nothing than something old.
            self.journal.stripped(&meaning.key, &mut on_disk);
        }
        let stored = Stored {
            text: arrived.text.clone(),
            headers: self.header_sets.share(&arrived.headers),
            facts,
            since,
            fresh_for,
            names,
            hits: 0,
            reader: before.and_then(|before| before.reader),
            spread: fastrand::f64(),
            not_before: None,
            failing: None,
            unchecked: false,
            on_disk,
            written_since: written.filter(|_| same),
            used: 0,
            meaning,
        };
        self.journal.confirmed(&stored.meaning.key, since, stored.written_since);
        self.admit(stored);
    }

    /// The server confirmed at `since` that a body is what it says.
    pub(crate) fn confirm(&mut self, key: &BodyKey, since: Instant) {
        if let Some(stored) = self.all.get_mut(key) {
            stored.since = stored.since.max(since);
            (stored.hits, stored.not_before) = (0, None);
            self.journal.confirmed(key, stored.since, stored.written_since);
        }
    }

    /// Takes in what an earlier run left.
    pub(crate) fn take_back(&mut self, returned: Returned, names: Vec<u64>) {
        let Returned { meaning, arrived, facts, since, fresh_for, number } = returned;
        self.remove(&meaning.key);
        let stored = Stored {
            text: arrived.text,
            headers: self.header_sets.share(&arrived.headers),
            facts,
            since,
            fresh_for,
            names,
            hits: 0,
            reader: None,
            spread: fastrand::f64(),
            not_before: None,
            failing: None,
            unchecked: true,
            on_disk: OnDisk { number, written: true },
            written_since: Some(since),
            used: 0,
            meaning,
        };
        self.admit(stored);
    }

    fn admit(&mut self, mut stored: Stored) {
        self.clock += 1;
        stored.used = self.clock;
        let key = stored.meaning.key.clone();
        self.bytes += stored.size();
        self.numbers.insert(stored.on_disk.number, key.clone());
        for name in &stored.names {
            self.by_name.entry(*name).or_default().push(key.clone());
        }
        self.order.insert(self.clock, key.clone());
        self.all.insert(key, stored);
    }

    /// Lets go of one.
    pub(crate) fn remove(&mut self, key: &BodyKey) -> Option<Stored> {
        let stored = self.take_out(key)?;
        self.journal.gone(key, stored.on_disk);
        Some(stored)
    }

    fn take_out(&mut self, key: &BodyKey) -> Option<Stored> {
        let stored = self.all.remove(key)?;
        self.order.remove(&stored.used);
        self.numbers.remove(&stored.on_disk.number);
        self.bytes = self.bytes.saturating_sub(stored.size());
        for name in &stored.names {
            if let Some(keys) = self.by_name.get_mut(name) {
                keys.retain(|other| other != key);
                if keys.is_empty() {
                    self.by_name.remove(name);
                }
            }
        }
        Some(stored)
    }

    /// Lets go of all with one of these names.
    pub(crate) fn remove_named(&mut self, names: &[u64]) -> usize {
        let keys: Vec<BodyKey> =
            names.iter().filter_map(|name| self.by_name.get(name)).flatten().cloned().collect();
        keys.iter().filter(|key| self.remove(key).is_some()).count()
    }

    /// Lets go of those of which `gone` says so.
    pub(crate) fn remove_where(&mut self, gone: impl Fn(&Stored) -> bool) -> usize {
        let keys: Vec<BodyKey> =
            self.all.iter().filter(|(_, stored)| gone(stored)).map(|(key, _)| key.clone()).collect();
        keys.iter().filter(|key| self.remove(key).is_some()).count()
    }

    /// Lets go of all.
    pub(crate) fn clear(&mut self) -> usize {
        for (key, stored) in &self.all {
            self.journal.gone(key, stored.on_disk);
        }
        let count = self.len();
        (self.all, self.order, self.numbers, self.by_name, self.bytes) = Default::default();
        count
    }

    /// Lets go of the least recently used until the rest is within bounds.
    pub(crate) fn shrink(&mut self, most: usize, most_bytes: usize) {
        while self.all.len() > most || self.bytes > most_bytes {
            let Some((_, key)) = self.order.pop_first() else { return };
            self.remove(&key);
        }
    }
}
