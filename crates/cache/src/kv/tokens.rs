//! Tokens that read secrets, and what each was seen to be allowed to read. A grant is of one token for one path and
//! is never concluded from anything else.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vault::{Namespace, Token};

use super::disk::{Journal, OnDisk};
use super::hash::{Hasher, TokenHash};
use super::meaning::{BodyKey, Meaning};
use super::reading::Looked;
use crate::answer::Kept;
use crate::disk::{Kind, StoredReader};
use crate::store::disk::Clocks;

/// That a token read something itself.
pub(crate) struct Grant {
    /// When the request was sent that the server answered with a yes.
    pub(crate) since: Instant,
    /// When it was made use of last.
    used: Instant,
    /// Being renewed; not tried again before this time.
    not_before: Option<Instant>,
    /// An earlier run left it, and the server has not been asked since.
    unchecked: bool,
    /// `since` as it stands on the disk.
    written: Option<Instant>,
    meaning: Meaning,
}

/// A grant that holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Granted {
    pub(crate) since: Instant,
    /// The server was asked in this run; otherwise it counts only while the server cannot be.
    pub(crate) checked: bool,
}

/// "Nothing there", said to one token.
struct Absent {
    kept: Kept,
    until: Instant,
    /// Writes up to this one are in it.
    seq: u64,
}

/// A token that lives, as far as we know.
pub(crate) struct Known {
    /// `None`: an earlier run knew it, and it has not been seen since.
    token: Option<Arc<Token>>,
    looked: Looked,
    /// An unusable one is looked at again then.
    again: Instant,
    used: Instant,
    checked: Instant,
    grants: HashMap<BodyKey, Grant>,
    absent: HashMap<BodyKey, Absent>,
    on_disk: OnDisk,
}

impl Known {
    fn lives(&self, now: Instant) -> bool {
        self.looked.until.is_none_or(|until| now < until)
    }
}

/// A token may be told of so many absent paths.
const MOST_ABSENT: usize = 256;

/// More paths than this are not put into one request for capabilities.
const MOST_PATHS: usize = 128;

/// What is known of a token before it is used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Standing {
    /// It lives, and may be answered from memory.
    Usable,
    /// It must always ask the server.
    Never,
    /// Nothing is known.
    Unknown,
}

/// Grants to be looked at again in one request.
pub(crate) struct Due {
    pub(crate) hash: TokenHash,
    pub(crate) token: Arc<Token>,
    pub(crate) namespace: Option<Namespace>,
    pub(crate) what: Vec<Meaning>,
}

/// All of them.
pub(crate) struct Tokens {
    all: HashMap<TokenHash, Known>,
    pub(crate) journal: Journal<TokenHash>,
}

impl Tokens {
    /// `grain`: how much the times on the disk may be behind.
    pub(crate) fn new(grain: Duration) -> Self {
        Self { all: HashMap::new(), journal: Journal::new(Kind::Reader, grain) }
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn grants(&self) -> usize {
        self.all.values().map(|known| known.grants.len()).sum()
    }

    pub(crate) fn standing(&self, hash: TokenHash, now: Instant) -> Standing {
        match self.all.get(&hash) {
            Some(known) if !known.looked.usable && now < known.again => Standing::Never,
            Some(known) if known.looked.usable && known.lives(now) && known.token.is_some() => {
                Standing::Usable
            }
            _ => Standing::Unknown,
        }
    }

    pub(crate) fn token(&self, hash: TokenHash) -> Option<Arc<Token>> {
        self.all.get(&hash)?.token.clone()
    }

    /// What `lookup-self` said. Grants stay.
    pub(crate) fn admit(
        &mut self,
        hash: TokenHash,
        token: Arc<Token>,
        looked: Looked,
        again: Instant,
        now: Instant,
    ) {
        let before = self.all.remove(&hash);
        let mut on_disk = before.as_ref().map(|before| before.on_disk).unwrap_or_default();
        if on_disk.number == 0 {
            on_disk.number = self.journal.number();
        }
        let (grants, absent) = match before {
            Some(before) if looked.usable => (before.grants, before.absent),
            _ => {
                self.journal.gone(&hash, on_disk);
                on_disk.written = false;
                Default::default()
            }
        };
        if !grants.is_empty() {
            self.journal.changed(&hash);
        }
        let token = Some(token);
        self.all
            .insert(hash, Known { token, looked, again, used: now, checked: now, grants, absent, on_disk });
    }

    /// Takes in one that an earlier run knew.
    pub(crate) fn take_back(
        &mut self,
        hash: TokenHash,
        looked: Looked,
        grants: Vec<(Meaning, Instant)>,
        on_disk: OnDisk,
        now: Instant,
    ) {
        let grant = |(meaning, since): (Meaning, Instant)| {
            let written = Some(since);
            let key = meaning.key.clone();
            (key, Grant { since, used: since, not_before: None, unchecked: true, written, meaning })
        };
        let (grants, absent) = (grants.into_iter().map(grant).collect(), HashMap::new());
        let known =
            Known { token: None, looked, again: now, used: now, checked: now, grants, absent, on_disk };
        self.all.insert(hash, known);
    }

    /// A token as it is to lie on the disk; `None` for one that has read nothing.
    pub(crate) fn record(
        &mut self,
        hash: TokenHash,
        clocks: Clocks,
        hasher: &Hasher,
    ) -> Option<StoredReader> {
        let known = self.all.get_mut(&hash).filter(|known| known.looked.usable)?;
        if known.grants.is_empty() {
            return None;
        }
        known.on_disk.written = true;
        let mut grants = Vec::with_capacity(known.grants.len());
        for (key, grant) in &mut known.grants {
            grant.written = Some(grant.since);
            grants.push((hasher.name(key).to_bytes(), clocks.wall_of(grant.since)));
        }
        Some(StoredReader {
            id: known.on_disk.number,
            hash: hash.to_bytes(),
            until: known.looked.until.map(|until| clocks.wall_after(until)),
            orphan: known.looked.orphan,
            accessor: known.looked.accessor.as_deref().map(Into::into),
            grants,
        })
    }

    /// What living tokens have read, once for each.
    pub(crate) fn granted(&self, now: Instant) -> impl Iterator<Item = &BodyKey> {
        let living = self.all.values().filter(move |known| known.looked.usable && known.lives(now));
        living.flat_map(|known| known.grants.keys())
    }

    /// Those of which another time stands on the disk.
    pub(crate) fn behind(&self) -> Vec<TokenHash> {
        let is_behind = |known: &Known| known.grants.values().any(|grant| grant.written != Some(grant.since));
        self.all.iter().filter(|(_, known)| is_behind(known)).map(|(hash, _)| *hash).collect()
    }

    pub(crate) fn hashes(&self) -> Vec<TokenHash> {
        self.all.keys().copied().collect()
    }

    /// A token's grant for something, if it lives.
    pub(crate) fn grant(&mut self, hash: TokenHash, key: &BodyKey, now: Instant) -> Option<Granted> {
        let known = self.all.get_mut(&hash)?;
        if !known.looked.usable || !known.lives(now) {
            return None;
        }
        let grant = known.grants.get_mut(key)?;
        (known.used, grant.used) = (now, now);
        Some(Granted { since: grant.since, checked: !grant.unchecked && known.token.is_some() })
    }

    /// The same without making use of it.
    pub(crate) fn peek(&self, hash: TokenHash, key: &BodyKey, now: Instant) -> Option<Instant> {
        let known = self.all.get(&hash).filter(|known| known.looked.usable && known.lives(now))?;
        let grant = known.grants.get(key).filter(|grant| !grant.unchecked)?;
        Some(grant.since)
    }

    /// A token read something itself, asking at `since`.
    pub(crate) fn give(&mut self, hash: TokenHash, meaning: &Meaning, since: Instant, now: Instant) {
        let Some(known) = self.all.get_mut(&hash).filter(|known| known.looked.usable) else { return };
        known.absent.remove(&meaning.key);
        known.used = now;
        // A later answer may come first.
        let since = known.grants.get(&meaning.key).map_or(since, |before| before.since.max(since));
        let written = known.grants.get(&meaning.key).and_then(|before| before.written);
        self.journal.confirmed(&hash, since, written);
        let (unchecked, meaning) = (false, meaning.clone());
        let key = meaning.key.clone();
        known.grants.insert(key, Grant { since, used: since, not_before: None, unchecked, written, meaning });
    }

    /// A grant that is there is good from `since` on.
    pub(crate) fn keep(&mut self, hash: TokenHash, key: &BodyKey, since: Instant) {
        if let Some(grant) = self.all.get_mut(&hash).and_then(|known| known.grants.get_mut(key)) {
            grant.since = grant.since.max(since);
            grant.not_before = None;
            self.journal.confirmed(&hash, grant.since, grant.written);
        }
    }

    pub(crate) fn take(&mut self, hash: TokenHash, key: &BodyKey) {
        if let Some(known) = self.all.get_mut(&hash) {
            known.grants.remove(key);
            known.absent.remove(key);
            // Also what was not taken in of it when it came back.
            self.journal.stripped(&hash, &mut known.on_disk);
        }
    }

    // === Nothing there ===

    pub(crate) fn note_absent(
        &mut self,
        hash: TokenHash,
        key: &BodyKey,
        kept: Kept,
        until: Instant,
        seq: u64,
    ) {
        let Some(known) = self.all.get_mut(&hash).filter(|known| known.looked.usable) else { return };
        if known.absent.len() < MOST_ABSENT {
            known.absent.insert(key.clone(), Absent { kept, until, seq });
        }
    }

    /// What was said of something that is not there, and up to which write that holds.
    pub(crate) fn absent(&self, hash: TokenHash, key: &BodyKey, now: Instant) -> Option<(Kept, u64)> {
        let known = self.all.get(&hash).filter(|known| known.lives(now))?;
        let absent = known.absent.get(key).filter(|absent| now < absent.until)?;
        Some((absent.kept.clone(), absent.seq))
    }

    // === Forgetting ===

    /// One token, and all that may have died with it.
    pub(crate) fn forget(&mut self, hash: TokenHash) {
        self.forget_alone(hash);
        self.forget_children();
    }

    pub(crate) fn forget_alone(&mut self, hash: TokenHash) {
        if let Some(known) = self.all.remove(&hash) {
            self.journal.gone(&hash, known.on_disk);
        }
    }

    /// One that an earlier run knew was refused something: it cannot be looked at, so it goes.
    pub(crate) fn doubt(&mut self, hash: TokenHash) {
        if self.all.get(&hash).is_some_and(|known| known.token.is_none()) {
            self.forget_alone(hash);
        }
    }

    pub(crate) fn forget_accessor(&mut self, accessor: &str) {
        self.retain(|known| known.looked.accessor.as_deref() != Some(accessor));
        self.forget_children();
    }

    /// Whose child a token is the server does not tell; those without a parent are safe.
    fn forget_children(&mut self) {
        self.retain(|known| known.looked.orphan);
    }

    pub(crate) fn clear(&mut self) {
        self.retain(|_| false);
    }

    fn retain(&mut self, mut stays: impl FnMut(&mut Known) -> bool) {
        let journal = &mut self.journal;
        self.all.retain(|hash, known| {
            let stays = stays(known);
            if !stays {
                journal.gone(hash, known.on_disk);
            }
            stays
        });
    }

    /// Whether it is time to look whether a token lives; at most so often.
    pub(crate) fn check(&mut self, hash: TokenHash, now: Instant, every: Duration) -> Option<Arc<Token>> {
        let known = self.all.get_mut(&hash)?;
        let token = known.token.clone()?;
        if now < known.checked + every {
            return None;
        }
        known.checked = now;
        Some(token)
    }

    // === Time ===

    /// Grants older than `age` that were used since they were given, put together by token and namespace.
    pub(crate) fn due(&mut self, age: Duration, pause: Duration, now: Instant) -> Vec<Due> {
        let mut all = Vec::new();
        for (hash, known) in &mut self.all {
            let Some(token) = known.token.clone().filter(|_| known.looked.usable && known.lives(now)) else {
                continue;
            };
            let mut by_namespace: HashMap<Option<Namespace>, Vec<Meaning>> = HashMap::new();
            for grant in known.grants.values_mut() {
                let waits = grant.not_before.is_some_and(|at| now < at);
                if now >= grant.since + age && grant.used > grant.since && !waits && !grant.unchecked {
                    grant.not_before = Some(now + pause);
                    by_namespace
                        .entry(grant.meaning.namespace.clone())
                        .or_default()
                        .push(grant.meaning.clone());
                }
            }
            for (namespace, what) in by_namespace {
                for part in what.chunks(MOST_PATHS) {
                    let (namespace, token) = (namespace.clone(), Arc::clone(&token));
                    all.push(Due { hash: *hash, token, namespace, what: part.to_vec() });
                }
            }
        }
        all
    }

    /// Lets go of what is of no use any more.
    pub(crate) fn sweep(&mut self, longest: Duration, now: Instant) {
        self.retain(|known| {
            known.grants.retain(|_, grant| now < grant.since + longest);
            known.absent.retain(|_, absent| now < absent.until);
            let busy = !known.grants.is_empty() || !known.absent.is_empty();
            match known.looked.usable {
                true => known.lives(now) && (busy || now < known.used + longest),
                false => now < known.again,
            }
        });
    }

    /// Lets go of the tokens used least lately until no more than so many grants and tokens are left.
    pub(crate) fn shrink(&mut self, most_grants: usize, most_tokens: usize) {
        let mut grants = self.grants();
        if grants <= most_grants && self.len() <= most_tokens {
            return;
        }
        let mut by_use: Vec<_> = self.all.iter().map(|(hash, known)| (known.used, *hash)).collect();
        by_use.sort_by_key(|(used, _)| *used);
        // Some room more, so that this is not done for every token.
        let (most_grants, most_tokens) = (most_grants - most_grants / 8, most_tokens - most_tokens / 8);
        for (_, hash) in by_use {
            if grants <= most_grants && self.len() <= most_tokens {
                return;
            }
            grants -= self.all.get(&hash).map_or(0, |known| known.grants.len());
            self.forget_alone(hash);
        }
    }
}
