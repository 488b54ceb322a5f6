//! A look at the secrets that tells none.

use std::collections::HashMap;

use tokio::time::Instant;
use vault::Namespace;

use super::bodies::Stored;
use super::meaning::{BodyKey, Variant};
use super::state::State;
use crate::holdings::{Holding, HoldingKind, Holdings, HoldingsWanted, SecretHolding, SecretState};

/// So many are looked at in one go: others wait meanwhile.
const MOST_PLACES: usize = 50_000;

impl State {
    /// Some of the secrets, in the order in which they were read first, from `from` on. What comes next is a number of
    /// this order.
    pub(crate) fn holdings(&self, from: u64, wanted: &HoldingsWanted, now: Instant) -> Holdings {
        let mut told = Holdings::default();
        let mut shown: HashMap<&BodyKey, usize> = HashMap::new();
        for (looked_at, (number, stored)) in self.bodies.numbered(from).enumerate() {
            if told.entries.len() >= wanted.most || looked_at >= MOST_PLACES {
                told.next = usize::try_from(number).ok();
                break;
            }
            let place = format!("/v1/{}", stored.meaning.path);
            if place.starts_with(&wanted.path) {
                shown.insert(&stored.meaning.key, told.entries.len());
                told.entries.push(holding(stored, place, now));
            }
        }
        for key in self.tokens.granted(now) {
            let entry = shown.get(key).and_then(|at| told.entries.get_mut(*at));
            if let Some(secret) = entry.and_then(|entry| entry.secret.as_mut()) {
                secret.readers += 1;
            }
        }
        told
    }
}

fn holding(stored: &Stored, mut path: String, now: Instant) -> Holding {
    match stored.meaning.key.variant {
        Variant::Version(version) => path = format!("{path}?version={version}"),
        Variant::Latest | Variant::List => {}
    }
    let ends = stored.since + stored.fresh_for;
    let state = match stored.is_fresh(now) {
        _ if stored.unchecked => SecretState::Unchecked,
        true => SecretState::Fresh,
        false => SecretState::Stale,
    };
    let version = stored.facts.version.as_ref().map(|(number, _)| *number);
    Holding {
        kind: HoldingKind::Secret,
        handle: String::new(),
        below: None,
        path,
        namespace: stored.meaning.namespace.as_ref().map(|name| Namespace::as_str(name).to_owned()),
        age: Some(now.saturating_duration_since(stored.since)),
        left: Some(ends.saturating_duration_since(now)),
        due: None,
        fading: false,
        children: 0,
        bytes: Some(stored.size()),
        secret: Some(SecretHolding { version, readers: 0, state }),
    }
}
