//! Secrets as the disk sees them: what has changed since it was last written, and what an earlier run left.
//!
//! What comes back is for outages alone: it is unchecked until its reader has read it anew, and nothing unchecked is
//! served while the server answers.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use vault::Namespace;
use zeroize::Zeroizing;

use super::bodies::{Arrived, Returned, Stored, Wiped};
use super::hash::{Hasher, TokenHash};
use super::meaning::{BodyKey, Meaning, Variant};
use super::patterns::Patterns;
use super::reading::{Facts, Looked};
use super::state::State;
use crate::disk::{Kind, SecretChanges, StoredBody, StoredReader, StoredSecrets, StoredVariant};
use crate::store::disk::Clocks;

/// Where something lies on the disk.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OnDisk {
    pub(crate) number: u64,
    /// It has been written, or is being written, or was.
    pub(crate) written: bool,
}

/// What of one kind has changed. Only names are kept here.
pub(crate) struct Journal<K> {
    kind: Kind,
    news: Option<Arc<Notify>>,
    /// A time on the disk may be so much behind: it ends what is served too early, never too late.
    grain: Duration,
    last: u64,
    changed: HashSet<K>,
    gone: HashSet<u64>,
}

impl<K: Clone + Eq + Hash> Journal<K> {
    pub(crate) fn new(kind: Kind, grain: Duration) -> Self {
        Self { kind, news: None, grain, last: 0, changed: HashSet::new(), gone: HashSet::new() }
    }

    /// A number that nothing else has.
    pub(crate) fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Something is new, or not what it was.
    pub(crate) fn changed(&mut self, key: &K) {
        if let Some(news) = &self.news {
            self.changed.insert(key.clone());
            news.notify_one();
        }
    }

    /// The server confirmed something at `since`; on the disk stands another time.
    pub(crate) fn confirmed(&mut self, key: &K, since: Instant, written: Option<Instant>) {
        if written.is_none_or(|written| since >= written + self.grain) {
            self.changed(key);
        }
    }

    /// What lies on the disk may not come back.
    pub(crate) fn gone(&mut self, key: &K, on_disk: OnDisk) {
        let Some(news) = &self.news else { return };
        self.changed.remove(key);
        if on_disk.written {
            self.gone.insert(on_disk.number);
            news.notify_one();
        }
    }

    /// The same, and what is left of it is to be written.
    pub(crate) fn stripped(&mut self, key: &K, on_disk: &mut OnDisk) {
        if self.news.is_some() && on_disk.written {
            self.gone(key, *on_disk);
            on_disk.written = false;
            self.changed(key);
        }
    }
}

/// Secrets of one piece, and their bytes.
const AT_ONCE: (usize, usize) = (1024, 4 * 1024 * 1024);

impl State {
    /// From here on changes are noted; `news` hears of them.
    pub(crate) fn keep_journal(&mut self, news: &Arc<Notify>) {
        self.bodies.journal.news = Some(Arc::clone(news));
        self.tokens.journal.news = Some(Arc::clone(news));
    }

    /// Whether something lies on the disk that should not.
    pub(crate) fn has_gone(&self) -> bool {
        !self.bodies.journal.gone.is_empty() || !self.tokens.journal.gone.is_empty()
    }

    /// What is to be written next.
    pub(crate) fn take_changes(&mut self, only_gone: bool, clocks: Clocks, hasher: &Hasher) -> SecretChanges {
        let mut changes = SecretChanges::default();
        let (bodies, tokens) = (&mut self.bodies.journal, &mut self.tokens.journal);
        changes.gone.extend(bodies.gone.drain().map(|number| (bodies.kind, number)));
        changes.gone.extend(tokens.gone.drain().map(|number| (tokens.kind, number)));
        if only_gone {
            return changes;
        }
        let (most, mut bytes) = AT_ONCE;
        let keys: Vec<BodyKey> = bodies.changed.iter().take(most).cloned().collect();
        for key in keys {
            self.bodies.journal.changed.remove(&key);
            let Some(stored) = self.bodies.get_mut(&key) else { continue };
            stored.on_disk.written = true;
            stored.written_since = Some(stored.since);
            changes.bodies.push(stored.record(clocks));
            bytes = bytes.saturating_sub(stored.size());
            if bytes == 0 {
                break;
            }
        }
        let hashes: Vec<TokenHash> = self.tokens.journal.changed.iter().take(most).copied().collect();
        for hash in hashes {
            self.tokens.journal.changed.remove(&hash);
            changes.readers.extend(self.tokens.record(hash, clocks, hasher));
        }
        changes
    }

    /// They could not be written.
    pub(crate) fn put_back(&mut self, changes: SecretChanges) {
        for (kind, number) in changes.gone {
            match kind {
                Kind::Body => self.bodies.journal.gone.insert(number),
                _ => self.tokens.journal.gone.insert(number),
            };
        }
        for body in changes.bodies {
            if let Some(key) = self.bodies.by_number(body.id).cloned() {
                self.bodies.journal.changed(&key);
            }
        }
        for reader in changes.readers {
            self.tokens.journal.changed(&TokenHash::from_bytes(reader.hash));
        }
    }

    /// The file is another one: all is to be written. What was to be removed may stand in it all the same.
    pub(crate) fn nothing_is_written(&mut self) {
        for key in self.bodies.keys() {
            self.bodies.journal.changed(&key);
        }
        for hash in self.tokens.hashes() {
            self.tokens.journal.changed(&hash);
        }
    }

    /// All times are to be written as they are: the program ends.
    pub(crate) fn note_times(&mut self) {
        let behind = |stored: &&mut Stored| stored.written_since != Some(stored.since);
        let keys: Vec<BodyKey> =
            self.bodies.iter_mut().filter(behind).map(|stored| stored.meaning.key.clone()).collect();
        for key in keys {
            self.bodies.journal.changed(&key);
        }
        for hash in self.tokens.behind() {
            self.tokens.journal.changed(&hash);
        }
    }

    /// Takes in what an earlier run left, as far as it may still be kept. How many secrets that were.
    pub(crate) fn restore(
        &mut self,
        left: StoredSecrets,
        allowed: &Patterns,
        hasher: &Hasher,
        clocks: Clocks,
    ) -> usize {
        (self.bodies.journal.last, self.tokens.journal.last) = (left.last, left.last);
        let mut names = HashMap::new();
        for body in left.bodies {
            let number = body.id;
            match self.returned(body, allowed, clocks) {
                Some(returned) => {
                    let key = returned.meaning.key.clone();
                    names.insert(hasher.name(&key).to_bytes(), returned.meaning.clone());
                    let of = self.names.of(&key.place);
                    self.bodies.take_back(returned, of);
                }
                None => {
                    self.bodies.journal.gone.insert(number);
                }
            }
        }
        let longest = self.settings.longest_grant().unwrap_or_default();
        for reader in left.readers {
            let StoredReader { id, hash, until, orphan, accessor, grants } = reader;
            let until = until.map(|until| clocks.moment_after(until).ok_or(()));
            let alive = |grant: &([u8; 16], u64)| {
                let since = clocks.moment_of(grant.1)?;
                let meaning = names.get(&grant.0)?.clone();
                (clocks.now < since + longest).then_some((meaning, since))
            };
            let grants: Vec<(Meaning, Instant)> = grants.iter().filter_map(alive).collect();
            let (Ok(until), false) = (until.transpose(), grants.is_empty()) else {
                self.tokens.journal.gone.insert(id);
                continue;
            };
            let accessor = accessor.map(|accessor| accessor.expose().to_owned());
            let looked = Looked { until, usable: true, orphan, accessor };
            let on_disk = OnDisk { number: id, written: true };
            self.tokens.take_back(TokenHash::from_bytes(hash), looked, grants, on_disk, clocks.now);
        }
        self.bodies.len()
    }

    fn returned(&self, body: StoredBody, allowed: &Patterns, clocks: Clocks) -> Option<Returned> {
        let StoredBody { id, namespace, path, variant, version, at_most, since, headers, text } = body;
        let namespace = match namespace {
            Some(text) => Some(Namespace::new(&text)?),
            None => None,
        };
        let below = namespace.as_ref().map_or("", Namespace::as_str);
        let place = format!("/v1/{below}{path}");
        if !allowed.matches(place.strip_prefix("/v1/")?) {
            return None;
        }
        let variant = match variant {
            StoredVariant::Latest => Variant::Latest,
            StoredVariant::Version(number) => Variant::Version(number),
            StoredVariant::List => Variant::List,
        };
        let since = clocks.moment_of(since)?;
        let facts = Facts { version, at_most: at_most.map(Duration::from_millis) };
        let fresh_for = self.settings.fresh_for(&facts);
        if clocks.now >= since + fresh_for + self.settings.stale_if_error {
            return None;
        }
        let key = BodyKey { place: place.into(), variant };
        let meaning = Meaning { key, namespace, path: path.as_ref().into(), from_memory: true };
        let arrived = Arrived { headers, text: Wiped::from(text) };
        Some(Returned { meaning, arrived, facts, since, fresh_for, number: id })
    }
}

impl Stored {
    fn record(&self, clocks: Clocks) -> StoredBody {
        let kept = self.kept();
        StoredBody {
            id: self.on_disk.number,
            namespace: self.meaning.namespace.as_ref().map(|namespace| namespace.as_str().into()),
            path: (&*self.meaning.path).into(),
            variant: match self.meaning.key.variant {
                Variant::Latest => StoredVariant::Latest,
                Variant::Version(number) => StoredVariant::Version(number),
                Variant::List => StoredVariant::List,
            },
            version: self.facts.version.clone(),
            at_most: self.facts.at_most.map(|most| u64::try_from(most.as_millis()).unwrap_or(u64::MAX)),
            since: clocks.wall_of(self.since),
            headers: kept.headers.as_ref().clone(),
            text: Zeroizing::new(kept.body.as_ref().into()),
        }
    }
}
