//! Tokens that read secrets, and what each was seen to be allowed to read. A grant is of one token for one path and
//! is never concluded from anything else.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use tokio::time::Instant;
use vault::{Namespace, Token};

use super::meaning::{BodyKey, Meaning};
use super::reading::Looked;
use crate::answer::Kept;

/// A token by its keyed hash: comparing and finding need no token.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct TokenHash([u8; 16]);

/// Makes them, with a secret of this process.
pub(crate) struct Hasher(hmac::Key);

impl Default for Hasher {
    fn default() -> Self {
        let mut secret = zeroize::Zeroizing::new([0; 32]);
        if aws_lc_rs::rand::fill(&mut *secret).is_err() {
            // The system's randomness does not fail once it has started; without it nothing here could run.
            fastrand::fill(&mut *secret);
        }
        Self(hmac::Key::new(hmac::HMAC_SHA256, &*secret))
    }
}

impl Hasher {
    pub(crate) fn hash(&self, token: &str) -> TokenHash {
        let tag = hmac::sign(&self.0, token.as_bytes());
        let mut hash = [0; 16];
        for (to, from) in hash.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        TokenHash(hash)
    }
}

/// That a token read something itself.
pub(crate) struct Grant {
    /// When the request was sent that the server answered with a yes.
    pub(crate) since: Instant,
    /// When it was made use of last.
    used: Instant,
    /// Being renewed; not tried again before this time.
    not_before: Option<Instant>,
    meaning: Meaning,
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
    pub(crate) token: Arc<Token>,
    pub(crate) looked: Looked,
    /// An unusable one is looked at again then.
    again: Instant,
    used: Instant,
    checked: Instant,
    grants: HashMap<BodyKey, Grant>,
    absent: HashMap<BodyKey, Absent>,
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
#[derive(Default)]
pub(crate) struct Tokens {
    all: HashMap<TokenHash, Known>,
}

impl Tokens {
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn grants(&self) -> usize {
        self.all.values().map(|known| known.grants.len()).sum()
    }

    pub(crate) fn standing(&self, hash: TokenHash, now: Instant) -> Standing {
        match self.all.get(&hash) {
            Some(known) if !known.looked.usable && now < known.again => Standing::Never,
            Some(known) if known.looked.usable && known.lives(now) => Standing::Usable,
            _ => Standing::Unknown,
        }
    }

    pub(crate) fn token(&self, hash: TokenHash) -> Option<Arc<Token>> {
        self.all.get(&hash).map(|known| Arc::clone(&known.token))
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
        let (grants, absent) = match self.all.remove(&hash) {
            Some(before) if looked.usable => (before.grants, before.absent),
            _ => Default::default(),
        };
        self.all.insert(hash, Known { token, looked, again, used: now, checked: now, grants, absent });
    }

    /// A token's grant for something, if it lives: when it was given.
    pub(crate) fn grant(&mut self, hash: TokenHash, key: &BodyKey, now: Instant) -> Option<Instant> {
        let known = self.all.get_mut(&hash)?;
        if !known.looked.usable || !known.lives(now) {
            return None;
        }
        let grant = known.grants.get_mut(key)?;
        (known.used, grant.used) = (now, now);
        Some(grant.since)
    }

    /// The same without making use of it.
    pub(crate) fn peek(&self, hash: TokenHash, key: &BodyKey, now: Instant) -> Option<Instant> {
        let known = self.all.get(&hash).filter(|known| known.looked.usable && known.lives(now))?;
        Some(known.grants.get(key)?.since)
    }

    /// A token read something itself, asking at `since`.
    pub(crate) fn give(&mut self, hash: TokenHash, meaning: &Meaning, since: Instant, now: Instant) {
        let Some(known) = self.all.get_mut(&hash).filter(|known| known.looked.usable) else { return };
        known.absent.remove(&meaning.key);
        known.used = now;
        // A later answer may come first.
        let since = known.grants.get(&meaning.key).map_or(since, |before| before.since.max(since));
        let grant = Grant { since, used: since, not_before: None, meaning: meaning.clone() };
        known.grants.insert(meaning.key.clone(), grant);
    }

    /// A grant that is there is good from `since` on.
    pub(crate) fn keep(&mut self, hash: TokenHash, key: &BodyKey, since: Instant) {
        if let Some(grant) = self.all.get_mut(&hash).and_then(|known| known.grants.get_mut(key)) {
            grant.since = grant.since.max(since);
            grant.not_before = None;
        }
    }

    pub(crate) fn take(&mut self, hash: TokenHash, key: &BodyKey) {
        if let Some(known) = self.all.get_mut(&hash) {
            known.grants.remove(key);
            known.absent.remove(key);
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
        self.all.remove(&hash);
        self.forget_children();
    }

    pub(crate) fn forget_alone(&mut self, hash: TokenHash) {
        self.all.remove(&hash);
    }

    pub(crate) fn forget_accessor(&mut self, accessor: &str) {
        self.all.retain(|_, known| known.looked.accessor.as_deref() != Some(accessor));
        self.forget_children();
    }

    /// Whose child a token is the server does not tell; those without a parent are safe.
    fn forget_children(&mut self) {
        self.all.retain(|_, known| known.looked.orphan);
    }

    pub(crate) fn clear(&mut self) {
        self.all.clear();
    }

    /// Whether it is time to look whether a token lives; at most so often.
    pub(crate) fn check(&mut self, hash: TokenHash, now: Instant, every: Duration) -> Option<Arc<Token>> {
        let known = self.all.get_mut(&hash)?;
        if now < known.checked + every {
            return None;
        }
        known.checked = now;
        Some(Arc::clone(&known.token))
    }

    // === Time ===

    /// Grants older than `age` that were used since they were given, put together by token and namespace.
    pub(crate) fn due(&mut self, age: Duration, pause: Duration, now: Instant) -> Vec<Due> {
        let mut all = Vec::new();
        for (hash, known) in &mut self.all {
            if !known.looked.usable || !known.lives(now) {
                continue;
            }
            let mut by_namespace: HashMap<Option<Namespace>, Vec<Meaning>> = HashMap::new();
            for grant in known.grants.values_mut() {
                let waits = grant.not_before.is_some_and(|at| now < at);
                if now >= grant.since + age && grant.used > grant.since && !waits {
                    grant.not_before = Some(now + pause);
                    by_namespace
                        .entry(grant.meaning.namespace.clone())
                        .or_default()
                        .push(grant.meaning.clone());
                }
            }
            for (namespace, what) in by_namespace {
                for part in what.chunks(MOST_PATHS) {
                    let (namespace, token) = (namespace.clone(), Arc::clone(&known.token));
                    all.push(Due { hash: *hash, token, namespace, what: part.to_vec() });
                }
            }
        }
        all
    }

    /// Lets go of what is of no use any more.
    pub(crate) fn sweep(&mut self, longest: Duration, now: Instant) {
        self.all.retain(|_, known| {
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
            grants -= self.all.remove(&hash).map_or(0, |known| known.grants.len());
        }
    }
}
