//! A look at the store that tells no secret.

use tokio::time::Instant;

use super::{Node, Store, Subject};
use crate::holdings::{Holding, HoldingKind, Holdings, HoldingsWanted};

/// So many places are looked at in one go: others wait for the store meanwhile.
const MOST_PLACES: usize = 200_000;

impl Store {
    /// Some of what is remembered, in the order of the places it stands in.
    pub(crate) fn holdings(&self, wanted: &HoldingsWanted, now: Instant) -> Holdings {
        let mut told = Holdings::default();
        for (place, (_, node)) in self.nodes.iter().enumerate().skip(wanted.from) {
            if told.entries.len() >= wanted.most || place - wanted.from >= MOST_PLACES {
                told.next = Some(place);
                break;
            }
            let Some(node) = node else { continue };
            if node.place.path.starts_with(&wanted.path) {
                told.entries.push(self.holding(node, now));
            }
        }
        told
    }

    fn holding(&self, node: &Node, now: Instant) -> Holding {
        let kind = match node.subject {
            Subject::Own { .. } => HoldingKind::Own,
            Subject::Issued { .. } => HoldingKind::Token,
            Subject::Lease { .. } => HoldingKind::Lease,
        };
        let parent = node.parent.and_then(|parent| self.node(parent));
        Holding {
            kind,
            handle: self.shown(&node.subject),
            below: parent.map(|parent| self.shown(&parent.subject)),
            path: node.place.path.to_string(),
            namespace: node.place.namespace.as_deref().map(str::to_owned),
            age: node.kept.as_ref().map(|kept| now.saturating_duration_since(kept.since)),
            left: node.life.map(|life| life.end().saturating_duration_since(now)),
            due: node.life.map(|life| life.due_at().saturating_duration_since(now)),
            fading: node.life.is_some_and(|life| life.is_fading()),
            children: node.children.len(),
            bytes: node.kept.as_ref().map(|kept| kept.body.len()),
            secret: None,
        }
    }

    /// A hash under a key that only this cache has; said to be a handle, so that it is no other hash of ours.
    fn shown(&self, subject: &Subject) -> String {
        let text = match subject {
            Subject::Own { token } | Subject::Issued { token, .. } => token.expose(),
            Subject::Lease { lease } => lease.as_str(),
        };
        format!("{:012x}", self.texts.hash(&format!("handle {text}")) >> 16)
    }
}
