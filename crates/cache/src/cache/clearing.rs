//! `cache-clear`: what a person says is forgotten, and revoked where they want it.

use std::collections::HashSet;

use super::Cache;
use crate::clear::{Clear, ClearRequest, Cleared};
use crate::renewals::News;
use crate::store::Mark;

impl Cache {
    /// Forgets what `clear` names. Nothing is revoked. Returns how many answers went.
    pub fn clear(&self, clear: &Clear) -> usize {
        self.clear_as(&clear.clone().into()).answers
    }

    /// Forgets what a request names, and revokes it if it says so. What hangs below a token goes with it.
    pub fn clear_as(&self, request: &ClearRequest) -> Cleared {
        let now = self.0.shared.clock.now();
        let mut store = self.0.shared.store();
        let own = store.own_tokens();
        let mut found = request.what.find(&store);
        if let Some(age) = request.older_than {
            found.retain(|id| now.checked_sub(age).is_some_and(|moment| store.is_older(*id, moment)));
        }
        let (mut cleared, mut seen) = (Cleared::default(), HashSet::new());
        let mut revoked = Vec::new();
        for top in &found {
            if !seen.contains(top) && !own.iter().any(|(_, own)| store.managed(own.expose()) == Some(*top)) {
                revoked.push(*top);
            }
            for id in store.subtree(*top) {
                let Some((is_lease, has_answer)) = store.sort(id).filter(|_| seen.insert(id)) else {
                    continue;
                };
                cleared.answers += usize::from(has_answer);
                cleared.leases += usize::from(is_lease);
                cleared.tokens += usize::from(!is_lease && has_answer);
            }
        }
        if request.revoke {
            let handles: Vec<_> = revoked.into_iter().filter_map(|id| store.handle(id)).collect();
            cleared.revoking = handles.len();
            if !request.dry_run {
                handles.into_iter().for_each(|what| self.0.tell(Some(News::Revoke(what))));
            }
        }
        if request.dry_run {
            return cleared;
        }
        cleared.answers += self.0.shared.kv().map_or(0, |kv| kv.clear(&request.what));
        for id in found {
            store.evict(id);
        }
        store.marks.add(Mark::Everything);
        // Nor is anybody given what was asked for before.
        self.0.flights.overtake_all();
        // Without them everything below would be asked for anew, for ever.
        for (whose, token) in own {
            store.set_own(whose, token);
        }
        cleared
    }
}
