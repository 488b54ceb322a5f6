//! What is kept of secrets, who may have it, and for how long. Pure: time is passed in, nothing here waits or asks.

mod learning;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use vault::{Namespace, Token};

use super::bodies::Bodies;
use super::hash::TokenHash;
use super::meaning::{BodyKey, Meaning, Names, Reach};
use super::mounts::Mounts;
use super::reading::{self, Verdict};
use super::settings::{Revalidate, Settings};
use super::tokens::{Due, Standing, Tokens};
use super::writes::{Ticket, Writes};
use crate::answer::Kept;
pub(crate) use learning::{Learned, MOST_TOKENS, most_grants};

/// After a failure the server is not asked again for so long, where there is something to serve.
const FAILING_FOR: Duration = Duration::from_secs(5);

/// In the time that something may be served while the server fails, it is written to disk so often at most.
const TIMES_WRITTEN: u32 = 8;

/// What may be served because the server fails.
pub(crate) struct Past {
    pub(crate) kept: Kept,
    pub(crate) age: Duration,
    /// An earlier run left it, or the permission.
    pub(crate) unchecked: bool,
}

/// What to do with a request.
pub(crate) enum Decision {
    /// Answer it from memory; it is so old.
    Serve(Kept, Duration),
    /// The server failed a moment ago, and this may be served past its time.
    Stale(Past),
    /// What is kept is too old. This reader may have it if it is still the same.
    Revalidate,
    /// Ask the server.
    Fetch,
}

/// A body to be read again before it is too old.
pub(crate) struct Refresh {
    pub(crate) hash: TokenHash,
    pub(crate) token: Arc<Token>,
    pub(crate) meaning: Meaning,
}

/// All of it.
pub(crate) struct State {
    pub(crate) settings: Settings,
    pub(super) bodies: Bodies,
    pub(super) tokens: Tokens,
    pub(super) names: Names,
    pub(crate) mounts: Mounts,
    pub(crate) writes: Writes,
}

impl State {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            mounts: Mounts::new(settings.engine),
            bodies: Bodies::new(settings.stale_if_error / TIMES_WRITTEN),
            tokens: Tokens::new(settings.longest_grant().unwrap_or_default() / TIMES_WRITTEN),
            settings,
            names: Names::default(),
            writes: Writes::default(),
        }
    }

    /// Bodies and their bytes.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.bodies.len(), self.bodies.bytes())
    }

    pub(crate) fn standing(&self, hash: TokenHash, now: Instant) -> Standing {
        self.tokens.standing(hash, now)
    }

    // === Serving ===

    /// Whether a request may be answered from memory, for this very token.
    pub(crate) fn decide(&mut self, hash: TokenHash, meaning: &Meaning, now: Instant) -> Decision {
        if !meaning.from_memory {
            return Decision::Fetch;
        }
        let key = &meaning.key;
        if let Some((kept, seq)) = self.tokens.absent(hash, key, now) {
            let ticket = Ticket { seq, sent_at: kept.since };
            if !self.writes.overtook(ticket, &self.names.of(&key.place)) {
                let age = now - kept.since;
                return Decision::Serve(kept, age);
            }
        }
        let Some(granted) = self.tokens.grant(hash, key, now) else { return Decision::Fetch };
        let Some(stored) = self.bodies.get(key) else { return Decision::Fetch };
        // What an earlier run left is not served while the server answers.
        let allowed =
            granted.checked && !stored.unchecked && now < granted.since + self.settings.capability_ttl;
        if allowed && stored.is_fresh(now) {
            let (kept, age) = (stored.kept(), now - stored.since);
            self.bodies.used(key, hash);
            return Decision::Serve(kept, age);
        }
        if stored.failing.is_some_and(|until| now < until) {
            return self.stale_now(hash, key, now).map_or(Decision::Fetch, Decision::Stale);
        }
        // The server's own word on how long a secret is good is not stretched by asking for its metadata.
        match self.settings.revalidate {
            Revalidate::Metadata if allowed && stored.facts.version.is_some() => Decision::Revalidate,
            _ => Decision::Fetch,
        }
    }

    /// What may be served when the server has no answer: past its time, within the bound, for this very token. For a
    /// moment the server is not asked again.
    pub(crate) fn stale(&mut self, hash: TokenHash, meaning: &Meaning, now: Instant) -> Option<Past> {
        let found = self.stale_now(hash, &meaning.key, now).filter(|_| meaning.from_memory)?;
        if let Some(stored) = self.bodies.get_mut(&meaning.key) {
            stored.failing = Some(now + FAILING_FOR);
        }
        Some(found)
    }

    /// Whether there will be something to serve if the server fails now.
    pub(crate) fn may_be_stale(&mut self, hash: TokenHash, meaning: &Meaning, now: Instant) -> bool {
        meaning.from_memory && self.stale_now(hash, &meaning.key, now).is_some()
    }

    fn stale_now(&mut self, hash: TokenHash, key: &BodyKey, now: Instant) -> Option<Past> {
        let granted = self.tokens.grant(hash, key, now)?;
        let stored = self.bodies.get(key)?;
        // Permissions are never taken for granted longer than is documented.
        let allowed = now < granted.since + self.settings.longest_grant()?;
        let bound = stored.since + stored.fresh_for + self.settings.stale_if_error;
        (allowed && now < bound).then(|| Past {
            kept: stored.kept(),
            age: now - stored.since,
            unchecked: stored.unchecked || !granted.checked,
        })
    }

    /// Whether an answer is the version that is kept: whoever re-read it had nothing new.
    pub(crate) fn version(&self, key: &BodyKey) -> Option<(u64, String)> {
        self.bodies.get(key)?.facts.version.clone()
    }

    /// What metadata said of a body that was too old. The body, if it may be served to this token.
    pub(crate) fn compared(
        &mut self,
        ticket: Ticket,
        hash: TokenHash,
        meaning: &Meaning,
        data: &serde_json::Map<String, serde_json::Value>,
        now: Instant,
    ) -> Option<(Kept, Verdict)> {
        if self.writes.overtook(ticket, &self.names.of(&meaning.key.place)) {
            return None;
        }
        let lag = self.longest_lag();
        let stored = self.bodies.get(&meaning.key).filter(|stored| !stored.unchecked)?;
        let verdict = reading::compare(data, meaning.key.variant, stored.facts.version.as_ref()?);
        match verdict {
            Verdict::Changed => return None,
            Verdict::Behind if now >= stored.since + lag => return None,
            Verdict::Behind => {}
            Verdict::Same => self.bodies.confirm(&meaning.key, ticket.sent_at),
        }
        let kept = self.bodies.get(&meaning.key)?.kept();
        let granted = self.tokens.grant(hash, &meaning.key, now)?;
        self.bodies.used(&meaning.key, hash);
        (granted.checked && now < granted.since + self.settings.capability_ttl).then_some((kept, verdict))
    }

    /// A standby may be behind so long after something newer was read.
    fn longest_lag(&self) -> Duration {
        self.settings.ttl * 2
    }

    // === Forgetting ===

    /// A write was carried out.
    pub(crate) fn wrote(&mut self, place: &str, reach: Reach, made: Option<(u64, String)>) -> usize {
        let gone = match self.names.touched(place) {
            Some(names) => {
                self.writes.wrote(&names, made.as_ref());
                self.bodies.remove_named(&names)
            }
            None => self.drop_bodies(),
        };
        match reach {
            Reach::Path => gone,
            Reach::Permissions => {
                self.drop_grants();
                gone
            }
            Reach::Mounts => gone + self.clear(),
        }
    }

    /// A write ended without an answer: it may have been carried out, or may be later.
    pub(crate) fn may_write(&mut self, place: &str, reach: Reach, now: Instant) {
        self.wrote(place, reach, None);
        match self.names.touched(place) {
            Some(names) => self.writes.may_write(&names, now),
            None => self.writes.may_write_all(now),
        }
        match reach {
            Reach::Path => {}
            Reach::Permissions => self.writes.may_permit(now),
            Reach::Mounts => self.may_all(now),
        }
    }

    /// The revocation of a token ended without an answer.
    pub(crate) fn may_end(&mut self, hash: TokenHash, now: Instant) {
        let name = self.names.of_token(hash);
        self.writes.may_write(&[name], now);
    }

    /// Whether what is seen of a token holds.
    pub(crate) fn permits(&self, ticket: Ticket, hash: TokenHash) -> bool {
        self.writes.permits(ticket) && !self.writes.overtook(ticket, &[self.names.of_token(hash)])
    }

    /// Anything may be otherwise any time now.
    pub(crate) fn may_all(&mut self, now: Instant) {
        self.writes.may_permit(now);
        self.writes.may_write_all(now);
    }

    /// All bodies. How many there were.
    pub(crate) fn drop_bodies(&mut self) -> usize {
        self.writes.wrote_all();
        self.bodies.clear()
    }

    /// Nobody is known any more, and answers to questions that are under way make nobody known.
    pub(crate) fn drop_grants(&mut self) {
        self.writes.permitted();
        self.tokens.clear();
    }

    /// All of it. How many bodies that were.
    pub(crate) fn clear(&mut self) -> usize {
        self.mounts.clear();
        self.drop_grants();
        self.drop_bodies()
    }

    /// Bodies whose path (`/v1/…`) begins so.
    pub(crate) fn clear_path(&mut self, namespace: &str, prefix: &str) -> usize {
        self.writes.wrote_all();
        self.bodies.remove_where(|stored| {
            let asked = &stored.meaning;
            let below = asked.namespace.as_ref().map_or("root/", Namespace::as_str);
            below.trim_end_matches('/') == namespace.trim_end_matches('/')
                && format!("/v1/{}", asked.path).starts_with(prefix)
        })
    }

    /// A token is gone.
    pub(crate) fn token_gone(&mut self, hash: TokenHash, with_children: bool) {
        self.writes.permitted();
        match with_children {
            true => self.tokens.forget(hash),
            false => self.tokens.forget_alone(hash),
        }
    }

    /// A token was refused something.
    pub(crate) fn doubt(&mut self, hash: TokenHash) {
        self.tokens.doubt(hash);
    }

    /// A token is gone of which only the accessor was told.
    pub(crate) fn accessor_gone(&mut self, accessor: &str) {
        self.writes.permitted();
        self.tokens.forget_accessor(accessor);
    }

    /// Whether it is time to ask whether a token lives.
    pub(crate) fn check(&mut self, hash: TokenHash, now: Instant) -> Option<Arc<Token>> {
        self.tokens.check(hash, now, Duration::from_secs(5))
    }

    // === Time ===

    /// How often [`State::due_grants`], [`State::due_bodies`] and [`State::sweep`] are to be called while there is
    /// anything.
    pub(crate) fn rhythm(&self) -> Option<Duration> {
        let shortest = self.settings.ttl.min(self.settings.capability_ttl);
        let pause = (shortest / 20).clamp(Duration::from_millis(50), Duration::from_secs(10));
        (self.bodies.len() + self.tokens.len() > 0).then_some(pause)
    }

    /// Grants in use whose time is nearly up.
    pub(crate) fn due_grants(&mut self, now: Instant) -> Vec<Due> {
        let ttl = self.settings.capability_ttl;
        self.tokens.due(ttl.mul_f64(0.7), ttl / 10, now)
    }

    /// What capabilities said of grants.
    pub(crate) fn capable(&mut self, ticket: Ticket, hash: TokenHash, meaning: &Meaning, may: bool) {
        if !may {
            self.tokens.take(hash, &meaning.key);
        } else if self.permits(ticket, hash) {
            self.tokens.keep(hash, &meaning.key, ticket.sent_at);
        }
    }

    /// Bodies in use whose time is nearly up (80 %, and up to a tenth more), each with a token that has used it
    /// lately.
    pub(crate) fn due_bodies(&mut self, now: Instant) -> Vec<Refresh> {
        let mut all = Vec::new();
        let capability_ttl = self.settings.capability_ttl;
        for stored in self.bodies.iter_mut() {
            let at = stored.since + stored.fresh_for.mul_f64(0.8 + stored.spread / 10.0);
            if stored.hits < HOT || now < at || stored.not_before.is_some_and(|at| now < at) {
                continue;
            }
            let Some(hash) = stored.reader else { continue };
            let key = &stored.meaning.key;
            let granted = self.tokens.peek(hash, key, now).is_some_and(|since| now < since + capability_ttl);
            if let (true, Some(token)) = (granted, self.tokens.token(hash)) {
                stored.not_before = Some(now + stored.fresh_for / 10);
                all.push(Refresh { hash, token, meaning: stored.meaning.clone() });
            }
        }
        all
    }

    /// Lets go of what cannot be served any more.
    pub(crate) fn sweep(&mut self, now: Instant) {
        let Settings { ttl, capability_ttl, stale_if_error, .. } = self.settings;
        self.tokens.sweep(self.settings.longest_grant().unwrap_or(ttl + capability_ttl), now);
        // Longer than they are fresh, so that an older version is known for one.
        let more = stale_if_error.max(ttl);
        self.bodies.remove_where(|stored| now >= stored.since + stored.fresh_for + more);
        self.mounts.sweep(now);
    }
}

/// So many hits since it was read make a body worth being read again ahead of time.
const HOT: u32 = 2;
