//! What comes back from the disk at a start.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::disk::{Clocks, OnDisk};
use super::keep::spread;
use super::{Id, Node, Place, Store, Subject, Whose};
use crate::answer::Kept;
use crate::disk::{Kind, Record, StoredSubject};
use crate::key::Key;
use crate::life::{Life, Stored};
use crate::policy::Span;

/// What came back.
#[derive(Default)]
pub(crate) struct Restored {
    /// When each is to be looked at.
    pub(crate) due: Vec<(Id, Instant)>,
    pub(crate) entries: usize,
    /// Over, or what they hung on is.
    pub(crate) ended: usize,
    /// There was no room for them.
    pub(crate) too_many: usize,
}

impl Store {
    /// Takes in what an earlier run wrote, parents before children, the oldest first, as far as there is room.
    pub(crate) fn restore(
        &mut self,
        mut records: Vec<Record>,
        clocks: Clocks,
        jitter: impl Fn() -> f64,
    ) -> Restored {
        records.sort_unstable_by_key(|record| record.id);
        let mut restored = Restored::default();
        let (mut places, mut own) = (HashMap::new(), Vec::new());
        for record in records {
            self.journal.last = self.journal.last.max(record.id);
            let (kind, number) = (record.kind(), record.id);
            let parent = match record.parent {
                None => Some(None),
                // One that gave way to another of the same token took all below it along.
                Some(parent) => {
                    places.get(&parent).filter(|id| self.node(**id).is_some()).map(|id| Some(*id))
                }
            };
            let node = parent.and_then(|parent| self.restored(record, parent, clocks, jitter()));
            let Some((mut node, whose)) = node else {
                self.journal.gone.insert((kind, number));
                restored.ended += 1;
                continue;
            };
            let options = &self.options;
            if self.live >= options.max_entries || self.bytes + node.weight() > options.max_bytes {
                self.journal.gone.insert((kind, number));
                restored.too_many += 1;
                continue;
            }
            let at = node.life.as_mut().map(|life| match options.verify_interval {
                Some(interval) => life.check_at(clocks.now + spread(interval)),
                None => life.due_at(),
            });
            let Some(id) = self.admit_alone(node) else {
                self.journal.gone.insert((kind, number));
                restored.ended += 1;
                continue;
            };
            if let Some(whose) = whose {
                self.own.insert(whose, id);
            }
            places.insert(number, id);
            restored.due.extend(at.map(|at| (id, at)));
            if kind == Kind::Own {
                own.push(id);
            } else {
                restored.entries += 1;
            }
            if kind != Kind::Lease {
                self.journal.unconfirmed.insert(id);
            }
        }
        for id in own {
            self.drop_if_idle(id);
        }
        restored
    }

    /// What stands under its token, lease or key goes. `None`: it hung on that.
    fn admit_alone(&mut self, node: Node) -> Option<Id> {
        let same = match &node.subject {
            Subject::Own { token } | Subject::Issued { token, .. } => self.managed(token.expose()),
            Subject::Lease { lease } => self.lease(lease.as_str()),
        };
        if let Some(same) = same {
            self.evict(same);
        }
        if node.parent.is_some_and(|parent| self.node(parent).is_none()) {
            return None;
        }
        if let Some(other) = node.key.and_then(|key| self.by_key.get(&key).copied()) {
            self.withhold(other);
        }
        Some(self.admit(node))
    }

    /// An entry as it was, unless it is over. A life that begins in the future tells of a clock that went backwards:
    /// nobody knows how much of it is left.
    fn restored(
        &mut self,
        record: Record,
        parent: Option<Id>,
        clocks: Clocks,
        jitter: f64,
    ) -> Option<(Node, Option<Whose>)> {
        let mut whose = None;
        let subject = match record.subject {
            StoredSubject::Own { token, whose: of } => {
                whose = of.and_then(|of| usize::try_from(of).ok());
                Subject::Own { token: Arc::new(StoredSubject::token(token)?) }
            }
            StoredSubject::Token { token, accessor } => Subject::Issued {
                token: Arc::new(StoredSubject::token(token)?),
                accessor: StoredSubject::accessor(accessor),
            },
            StoredSubject::Lease { lease } => Subject::Lease { lease: StoredSubject::lease(lease)? },
        };
        let life = match record.life {
            None if matches!(subject, Subject::Own { .. }) => None,
            None => return None,
            Some(life) => {
                let granted_at = clocks.moment_of(life.granted)?;
                let ttl = Duration::from_millis(life.ttl);
                let stored = Stored { granted_at, ttl, fading: life.fading, idle: life.idle };
                Some(Life::restored(stored, clocks.now, jitter)?)
            }
        };
        let (mut key, mut kept, mut told) = (None, None, Span::default());
        if let Some(answer) = record.answer {
            key = Some(Key::from_bytes(answer.key));
            told = answer.told;
            kept = Some(Kept {
                status: answer.status,
                headers: self.header_sets.share(&answer.headers),
                body: answer.body,
                since: clocks.moment_of(answer.since)?,
            });
        }
        let node = Node {
            subject,
            parent,
            children: Vec::new(),
            rank: 0,
            key,
            place: Place { namespace: record.namespace, path: record.path },
            kept,
            told,
            life,
            asker: record.asker,
            used: 0,
            again: None,
            on_disk: OnDisk { number: record.id, written: true },
        };
        Some((node, whose))
    }
}

#[cfg(test)]
mod tests;
