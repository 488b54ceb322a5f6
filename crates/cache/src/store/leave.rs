//! How entries leave a store, or stop being handed out.

use std::collections::HashMap;

use super::{Id, Mark, Node, Place, Store, Subject, Whose};
use crate::observe::Observation;

impl Store {
    /// Hands an entry's answer out no more; what it is about is kept alive. Says whether there was one.
    pub(super) fn withhold(&mut self, id: Id) -> bool {
        let Some(node) = self.node_mut(id) else { return false };
        let before = node.weight();
        (node.kept, node.again) = (None, None);
        let (key, after) = (node.key.take(), node.weight());
        self.bytes = self.bytes + after - before;
        match key {
            Some(key) => {
                forget(&mut self.by_key, &key, id);
                self.note_stripped(id);
                true
            }
            None => false,
        }
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
    fn evict_token_only(&mut self, id: Id) -> usize {
        let children = self.node(id).map(|node| node.children.clone()).unwrap_or_default();
        let mut gone = 0;
        for child in children {
            let is_lease = |node: &Node| matches!(node.subject, Subject::Lease { .. });
            if self.node(child).is_none_or(is_lease) {
                continue;
            }
            // The answer that created it is reachable with the dead token's key: that goes.
            gone += usize::from(self.withhold(child));
            self.detach(child);
            self.note_stripped(child);
        }
        gone + self.evict(id)
    }

    /// Takes an entry from below its parent.
    fn detach(&mut self, id: Id) {
        let Some(node) = self.node_mut(id) else { return };
        let rank = node.rank as usize;
        let Some(parent) = node.parent.take() else { return };
        let Some(above) = self.node_mut(parent) else { return };
        if above.children.get(rank) == Some(&id) {
            above.children.swap_remove(rank);
            if let Some(moved) = above.children.get(rank).copied().and_then(|moved| self.node_mut(moved)) {
                moved.rank = u32::try_from(rank).unwrap_or(u32::MAX);
            }
        }
    }

    /// Every entry that `matches`; none of our own tokens.
    pub(crate) fn find(&self, matches: impl Fn(&Subject, &Place) -> bool) -> Vec<Id> {
        let remembered = |node: &Node| node.life.is_some() && matches(&node.subject, &node.place);
        (0u32..)
            .zip(&self.nodes)
            .filter(|(_, (_, node))| node.as_ref().is_some_and(remembered))
            .map(|(place, (round, _))| Id { place, round: *round })
            .collect()
    }

    /// Forgets what is gone by an observation; an answer about it that is under way will not be remembered. Returns
    /// how many answers went.
    pub(crate) fn forget(&mut self, observation: &Observation) -> usize {
        let all = |store: &mut Self, id: Option<Id>| id.map_or(0, |id| store.evict(id));
        let gone = match observation {
            Observation::Token(token) | Observation::TokenRenewed(token) => {
                let id = self.managed(token.expose());
                all(self, id) + self.withhold_asked(self.hash(token.expose()))
            }
            Observation::TokenOnly(token) => {
                let gone = self.managed(token.expose()).map_or(0, |id| self.evict_token_only(id));
                gone + self.withhold_asked(self.hash(token.expose()))
            }
            Observation::Accessor(accessor) => {
                let id = self.accessor(accessor.expose());
                if let Some(token) = id.and_then(|id| self.node(id)?.subject.token()) {
                    let token = token.into();
                    self.marks.add(Mark::Seen(Observation::Token(token)));
                }
                all(self, id)
            }
            Observation::Lease(lease) | Observation::LeaseRenewed(lease) => {
                let id = self.lease(lease);
                all(self, id)
            }
            Observation::Area(area) => {
                let found = self.find(|subject, place| area.holds(subject, place));
                found.into_iter().map(|id| self.evict(id)).sum()
            }
        };
        self.marks.add(Mark::Seen(observation.clone()));
        gone
    }

    /// Answers that a dead token could ask for go; the orphans that they gave live on.
    fn withhold_asked(&mut self, asker: u64) -> usize {
        let orphans = self.by_asker.remove(&asker).unwrap_or_default();
        orphans.into_iter().map(|id| usize::from(self.withhold(id))).sum()
    }

    fn remove(&mut self, id: Id) -> Option<Node> {
        self.node(id)?;
        self.detach_or_keep(id);
        let slot = self.nodes.get_mut(id.place as usize)?;
        let node = slot.1.take()?;
        slot.0 = slot.0.wrapping_add(1);
        self.free.push(id.place);
        self.live -= 1;
        self.bytes = self.bytes.saturating_sub(node.weight());
        if let Some(key) = &node.key {
            forget(&mut self.by_key, key, id);
        }
        self.note_gone(id, &node);
        let hash = |text: &str| self.texts.hash(text);
        if let Some(accessor) = node.subject.accessor() {
            forget(&mut self.by_accessor, &hash(accessor), id);
        }
        match &node.subject {
            Subject::Own { token } | Subject::Issued { token, .. } => {
                let hash = hash(token.expose());
                forget(&mut self.by_token, &hash, id);
                self.withhold_asked(hash);
            }
            Subject::Lease { lease } => forget(&mut self.by_lease, &hash(lease.as_str()), id),
        }
        if let Some(asker) = node.asker
            && let Some(orphans) = self.by_asker.get_mut(&asker)
        {
            orphans.retain(|orphan| *orphan != id);
            if orphans.is_empty() {
                self.by_asker.remove(&asker);
            }
        }
        self.own.retain(|_, own| *own != id);
        Some(node)
    }

    /// Takes an entry from below its parent, and a parent that was only there for it.
    fn detach_or_keep(&mut self, id: Id) {
        let parent = self.node(id).and_then(|node| node.parent);
        self.detach(id);
        if let Some(parent) = parent {
            self.drop_if_idle(parent);
        }
    }

    /// Tokens of other identities than these are not our own any more.
    pub(crate) fn forget_own_but(&mut self, whose: &[Whose]) {
        let gone: Vec<Id> =
            self.own.iter().filter(|(one, _)| !whose.contains(one)).map(|(_, id)| *id).collect();
        self.own.retain(|one, _| whose.contains(one));
        for id in gone {
            // One that was handed out through us stays.
            let nobodys = |node: &Node| matches!(node.subject, Subject::Own { .. });
            if !self.is_own(id) && self.node(id).is_some_and(nobodys) {
                self.evict(id);
            }
        }
    }

    /// A former token of our own with nothing below it has no reason to stay.
    pub(super) fn drop_if_idle(&mut self, id: Id) {
        let idle = |node: &Node| matches!(node.subject, Subject::Own { .. }) && node.children.is_empty();
        if !self.is_own(id) && self.node(id).is_some_and(idle) {
            self.remove(id);
        }
    }
}

/// Another entry may have taken the place in the index meanwhile.
fn forget<K: Eq + std::hash::Hash>(index: &mut HashMap<K, Id>, key: &K, id: Id) {
    if index.get(key) == Some(&id) {
        index.remove(key);
    }
}
