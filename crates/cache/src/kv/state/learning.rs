//! What answers of the server tell: bodies, versions, who may read what, and which tokens live.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use tokio::time::Instant;
use vault::Token;

use super::State;
use crate::answer::Kept;
use crate::kv::bodies::{Arrived, Stored};
use crate::kv::hash::TokenHash;
use crate::kv::meaning::{BodyKey, Meaning, Variant};
use crate::kv::reading::{self, Engine, Facts, Looked};
use crate::kv::tokens::Standing;
use crate::kv::writes::Ticket;

/// More tokens than this are not known at a time.
pub(crate) const MOST_TOKENS: usize = 16_384;

/// So many grants there may be where there may be so many bodies: eight for each.
pub(crate) fn most_grants(entries: usize) -> usize {
    entries.saturating_mul(8).max(1024)
}

/// A token that may not look at itself is asked about again then.
const UNKNOWN_FOR: Duration = Duration::from_secs(60);
/// A token that may not be served from memory is looked at again then.
const NEVER_FOR: Duration = Duration::from_secs(600);

/// What became of an answer.
pub(crate) enum Learned {
    /// It is kept.
    Kept,
    /// It is not.
    No,
    /// It is older than what is kept, which is to be served instead: a standby is behind.
    Older(Kept),
    /// Nobody knows what is mounted there.
    UnknownMount,
}

impl State {
    /// What a read answered with 200 tells: the body, and that this token may have it.
    pub(crate) fn read(
        &mut self,
        ticket: Ticket,
        hash: TokenHash,
        meaning: &Meaning,
        arrived: &Arrived,
        now: Instant,
    ) -> Learned {
        let Some((end, engine)) = self.mounts.find(&meaning.key.place, now) else {
            return Learned::UnknownMount;
        };
        let text = arrived.text.as_ref();
        let rest = meaning.key.place.get(end..).unwrap_or_default();
        let Some(facts) = reading::facts(text, engine, rest, meaning.key.variant) else {
            // What lies there now is of another kind.
            self.bodies.remove(&meaning.key);
            return Learned::No;
        };
        let names = self.names.of(&meaning.key.place);
        self.give(ticket, hash, meaning, now);
        if text.len() > self.settings.max_entry_bytes || self.writes.overtook(ticket, &names) {
            return Learned::No;
        }
        if let Some(stored) = self.bodies.get(&meaning.key) {
            if stored.since > ticket.sent_at {
                // An earlier question, answered late.
                return Learned::No;
            }
            if self.is_behind(stored, &facts, now) {
                return Learned::Older(stored.kept());
            }
        }
        if meaning.key.variant == Variant::Latest && self.writes.is_behind(&names, &facts) {
            return Learned::No;
        }
        let fresh_for = self.settings.fresh_for(&facts);
        self.bodies.insert(meaning.clone(), names, arrived, facts, ticket.sent_at, fresh_for);
        self.bodies.shrink(self.settings.max_entries, self.settings.max_bytes);
        Learned::Kept
    }

    fn is_behind(&self, stored: &Stored, facts: &Facts, now: Instant) -> bool {
        let (Some(held), Some(new)) = (&stored.facts.version, &facts.version) else { return false };
        // What an earlier run left does not stand against what the server says.
        reading::is_older(new, held)
            && !stored.unchecked
            && stored.meaning.key.variant == Variant::Latest
            && now < stored.since + self.longest_lag()
    }

    /// That a token read something itself.
    pub(crate) fn give(&mut self, ticket: Ticket, hash: TokenHash, meaning: &Meaning, now: Instant) {
        if self.permits(ticket, hash) {
            self.tokens.give(hash, meaning, ticket.sent_at, now);
            self.tokens.shrink(most_grants(self.settings.max_entries), MOST_TOKENS);
        }
    }

    /// A read was refused (403): this token may not read this any more.
    pub(crate) fn refused(&mut self, hash: TokenHash, key: &BodyKey) {
        self.tokens.take(hash, key);
    }

    /// There is nothing (404), and nobody is told otherwise.
    pub(crate) fn absent(
        &mut self,
        ticket: Ticket,
        hash: TokenHash,
        meaning: &Meaning,
        arrived: Option<&Arrived>,
        now: Instant,
    ) {
        self.tokens.take(hash, &meaning.key);
        self.bodies.remove(&meaning.key);
        let ttl = self.settings.negative_ttl;
        let Some(arrived) = arrived.filter(|arrived| !ttl.is_zero() && arrived.text.as_ref().len() <= 4096)
        else {
            return;
        };
        // Only of a token that is known to live, and of a mount that is one.
        let known = self.standing(hash, now) == Standing::Usable && self.permits(ticket, hash);
        let kv = self.mounts.find(&meaning.key.place, now).is_some_and(|(_, engine)| engine != Engine::Other);
        if known && kv {
            let mut headers = HeaderMap::new();
            for name in [http::header::CONTENT_TYPE, http::header::CACHE_CONTROL] {
                if let Some(value) = arrived.headers.get(&name) {
                    headers.insert(name, value.clone());
                }
            }
            let kept = Kept {
                status: StatusCode::NOT_FOUND,
                headers: Arc::new(headers),
                body: arrived.text.bytes(),
                since: ticket.sent_at,
            };
            self.tokens.note_absent(hash, &meaning.key, kept, ticket.sent_at + ttl, ticket.seq);
        }
    }

    /// What `lookup-self` said; `None`: the token may not ask. False when something has happened since it was asked.
    pub(crate) fn looked(
        &mut self,
        ticket: Ticket,
        hash: TokenHash,
        token: Arc<Token>,
        looked: Option<Looked>,
        now: Instant,
    ) -> bool {
        if !self.permits(ticket, hash) {
            return false;
        }
        let (looked, again) = match looked {
            Some(looked) => (looked, now + NEVER_FOR),
            None => (Looked { until: None, usable: false, orphan: false, accessor: None }, now + UNKNOWN_FOR),
        };
        self.tokens.admit(hash, token, looked, again, now);
        true
    }
}
