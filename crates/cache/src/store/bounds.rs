//! The bounds of a store: who has to go when there is no more room.

use std::sync::Arc;

use super::{Id, Node, Store, Subject};
use crate::Options;

/// What an entry costs beside its texts: its place, its share of the indexes, the allocator's own.
const OVERHEAD: usize = size_of::<(u32, Option<Node>)>() + 150;

/// So many are looked at to find one that has to go: among as many, one of the least wanted tenth nearly always is.
const SAMPLE: usize = 32;

impl Node {
    /// What it costs, in bytes. A little too much rather than too little.
    pub(super) fn weight(&self) -> usize {
        let texts = match &self.subject {
            Subject::Own { token } => token.expose().len(),
            Subject::Issued { token, accessor } => {
                token.expose().len() + accessor.as_ref().map_or(0, |accessor| accessor.expose().len()) + 80
            }
            Subject::Lease { lease } => lease.as_str().len(),
        };
        let place = self.place.path.len() + self.place.namespace.as_ref().map_or(0, |text| text.len());
        let body = self.kept.as_ref().map_or(0, |kept| kept.body.len());
        // A request that is to be sent again: its headers and its body.
        let again = self.again.as_ref().map_or(0, |request| 600 + request.body.len());
        OVERHEAD + texts + place + body + again
    }

    /// Who goes first: tokens that nobody has leases of, then leases, then tokens with what hangs below them; of
    /// each, those that were given out longest ago.
    fn worth(&self) -> Option<(u8, u32)> {
        let class = match &self.subject {
            Subject::Own { .. } => return None,
            Subject::Issued { .. } if self.children.is_empty() => 0,
            Subject::Lease { .. } => 1,
            Subject::Issued { .. } => 2,
        };
        Some((class, self.used))
    }
}

impl Store {
    /// Goes by other options from now on; says how many entries were let go for want of room.
    pub(crate) fn set_options(&mut self, options: Arc<Options>) -> usize {
        self.options = options;
        self.make_room(None)
    }

    /// Lets go of others until there is room; says how many entries were let go. `new` stays in any case.
    pub(super) fn make_room(&mut self, new: Option<Id>) -> usize {
        let before = self.live;
        while (self.live > self.options.max_entries || self.bytes > self.options.max_bytes) && self.live > 1 {
            let Some(victim) = self.victim(new) else { break };
            self.evict(victim);
        }
        before - self.live
    }

    fn victim(&self, new: Option<Id>) -> Option<Id> {
        let places = self.nodes.len();
        let above = new.and_then(|new| self.node(new)?.parent);
        let at = |place: usize| {
            let (round, node) = self.nodes.get(place)?;
            let id = Id { place: u32::try_from(place).ok()?, round: *round };
            let worth = node.as_ref()?.worth()?;
            (Some(id) != new && Some(id) != above).then_some((worth, id))
        };
        let sample = (0..SAMPLE).filter_map(|_| at(fastrand::usize(..places.max(1))));
        let found = sample.min_by_key(|(worth, _)| *worth);
        found.or_else(|| (0..places).find_map(at)).map(|(_, id)| id)
    }
}
