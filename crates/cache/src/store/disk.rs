//! The store as the disk sees it: what has changed since it was last written, and what comes back at a start.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::time::Instant;
use vault::Token;

use super::{Id, Life, Node, Place, Store, Subject};
use crate::answer::Kept;
use crate::disk::{Kind, Record, StoredAnswer, StoredLife, StoredSubject, Wall};
use crate::key::Key;

/// What has changed since it was last written. Only names are kept here: what they stand for is read when its time has
/// come, so that many changes of one entry are one, and none costs memory.
#[derive(Default)]
pub(crate) struct Journal {
    /// Somebody writes it down; without, nothing is noted.
    on: bool,
    /// The last number that was given.
    last: u64,
    changed: HashSet<Id>,
    /// Records that lie on the disk and should not.
    gone: HashSet<(Kind, u64)>,
    /// Not only renewals.
    soon: bool,
    /// Restored tokens that the server has not been asked about.
    unconfirmed: HashSet<Id>,
    news: Arc<Notify>,
}

/// Where an entry lies on the disk.
#[derive(Clone, Copy, Default)]
pub(super) struct OnDisk {
    number: u64,
    /// It has been written, or is being written.
    written: bool,
}

/// One moment on both clocks: one that only runs on while the program does, and the wall clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    pub(crate) now: Instant,
    pub(crate) wall: Wall,
}

impl Clocks {
    pub(crate) fn read() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { now: Instant::now(), wall: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) }
    }

    fn wall_of(&self, moment: Instant) -> Wall {
        let back = u64::try_from(self.now.saturating_duration_since(moment).as_millis()).unwrap_or(u64::MAX);
        self.wall.saturating_sub(back)
    }

    /// `None` for what lies in the future, or before all time.
    fn moment_of(&self, wall: Wall) -> Option<Instant> {
        self.now.checked_sub(Duration::from_millis(self.wall.checked_sub(wall)?))
    }
}

/// What is to be written next.
#[derive(Default)]
pub(crate) struct Changes {
    pub(crate) gone: Vec<(Kind, u64)>,
    pub(crate) records: Vec<Record>,
    ids: Vec<Id>,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.records.is_empty()
    }
}

/// Records of one piece, and bytes of their bodies.
const AT_ONCE: (usize, usize) = (2048, 4 * 1024 * 1024);

impl Store {
    /// From here on changes are noted. Returns who is told of them.
    pub(crate) fn keep_journal(&mut self) -> Arc<Notify> {
        self.journal.on = true;
        Arc::clone(&self.journal.news)
    }

    /// An entry is new or not what it was.
    pub(super) fn note_changed(&mut self, id: Id, soon: bool) {
        if !self.journal.on {
            return;
        }
        if let Some((_, Some(node))) = self.nodes.get_mut(id.place as usize)
            && node.on_disk.number == 0
        {
            self.journal.last += 1;
            node.on_disk.number = self.journal.last;
        }
        self.journal.changed.insert(id);
        self.journal.soon |= soon;
        self.journal.news.notify_one();
    }

    /// An entry has been taken out.
    pub(super) fn note_gone(&mut self, id: Id, node: &Node) {
        self.journal.unconfirmed.remove(&id);
        if !self.journal.on {
            return;
        }
        self.journal.changed.remove(&id);
        if node.on_disk.written {
            self.journal.gone.insert((kind(&node.subject), node.on_disk.number));
            self.journal.soon = true;
            self.journal.news.notify_one();
        }
    }

    /// Whether something waits to be written that is more than a renewal.
    pub(crate) fn has_urgent_changes(&self) -> bool {
        self.journal.soon
    }

    /// What is to be written next; all that is to be removed, and some of the rest unless only that is wanted.
    pub(crate) fn take_changes(&mut self, only_gone: bool, clocks: Clocks) -> Changes {
        let gone = std::mem::take(&mut self.journal.gone).into_iter().collect();
        let mut changes = Changes { gone, ..Changes::default() };
        if only_gone {
            return changes;
        }
        let (mut room, mut bytes) = AT_ONCE;
        let ids: Vec<Id> = self.journal.changed.iter().copied().take(room).collect();
        for id in ids {
            if room == 0 || bytes == 0 {
                break;
            }
            self.journal.changed.remove(&id);
            let Some(record) = self.record(id, clocks) else { continue };
            room -= 1;
            bytes = bytes.saturating_sub(record.answer.as_ref().map_or(0, |answer| answer.body.len()));
            changes.records.push(record);
            changes.ids.push(id);
            if let Some(node) = self.node_mut(id) {
                node.on_disk.written = true;
            }
        }
        self.journal.soon = !self.journal.changed.is_empty() && self.journal.soon;
        changes
    }

    /// They could not be written.
    pub(crate) fn put_back(&mut self, changes: Changes) {
        self.journal.gone.extend(changes.gone);
        let alive: Vec<Id> = changes.ids.into_iter().filter(|id| self.node(*id).is_some()).collect();
        self.journal.changed.extend(alive);
        self.journal.soon = true;
        self.journal.news.notify_one();
    }

    /// The file is not there any more: all is to be written, and nothing to be removed.
    pub(crate) fn nothing_is_written(&mut self) {
        self.journal.gone.clear();
        for (place, (round, node)) in (0u32..).zip(&mut self.nodes) {
            if let Some(node) = node {
                node.on_disk.written = false;
                self.journal.changed.insert(Id { place, round: *round });
            }
        }
        self.journal.soon = true;
        self.journal.news.notify_one();
    }

    fn record(&self, id: Id, clocks: Clocks) -> Option<Record> {
        let node = self.node(id)?;
        let parent = match node.parent {
            None => None,
            Some(parent) => Some(self.node(parent)?.on_disk.number),
        };
        let subject = match &node.subject {
            Subject::Own { token } => {
                let whose = self.own.iter().find(|(_, own)| **own == id).map(|(whose, _)| *whose as u64);
                StoredSubject::Own { token: token.expose().into(), whose }
            }
            Subject::Issued { token, accessor } => StoredSubject::Token {
                token: token.expose().into(),
                accessor: accessor.as_ref().map(|accessor| accessor.expose().into()),
            },
            Subject::Lease { lease } => StoredSubject::Lease { lease: lease.as_str().into() },
        };
        let answer = node.key.as_ref().zip(node.kept.as_ref()).map(|(key, kept)| StoredAnswer {
            key: key.to_bytes(),
            status: kept.status,
            headers: kept.headers.as_ref().clone(),
            body: kept.body.clone(),
            since: clocks.wall_of(kept.since),
        });
        let life = node.life.map(|life| StoredLife {
            granted: clocks.wall_of(life.granted_at),
            ttl: u64::try_from(life.ttl.as_millis()).unwrap_or(u64::MAX),
            fading: life.fading,
        });
        Some(Record {
            id: node.on_disk.number,
            parent,
            subject,
            namespace: node.place.namespace.clone(),
            path: node.place.path.clone(),
            life,
            answer,
        })
    }

    /// Takes in what an earlier run wrote, parents before children. Returns what is to be looked at when, and what was
    /// of no use any more: it ended, or what it hung on is not there.
    pub(crate) fn restore(
        &mut self,
        mut records: Vec<Record>,
        clocks: Clocks,
        jitter: impl Fn() -> f64,
    ) -> Restored {
        records.sort_unstable_by_key(|record| record.id);
        let mut restored = Restored::default();
        let mut places = std::collections::HashMap::new();
        for record in records {
            self.journal.last = self.journal.last.max(record.id);
            let (kind, number) = (record.kind(), record.id);
            let parent = match record.parent {
                None => Some(None),
                Some(parent) => places.get(&parent).map(|id| Some(*id)),
            };
            let node = parent.and_then(|parent| self.restored(record, parent, clocks, jitter()));
            let Some((node, whose)) = node else {
                self.journal.gone.insert((kind, number));
                restored.dropped += 1;
                continue;
            };
            let due = node.life.map(|life| life.due_at);
            let is_token = kind != Kind::Lease;
            let id = self.take_in(node);
            if let Some(whose) = whose {
                self.own.insert(whose, id);
            }
            places.insert(number, id);
            restored.due.extend(due.map(|at| (id, at)));
            restored.entries += 1;
            if is_token {
                self.journal.unconfirmed.insert(id);
            }
        }
        restored
    }

    /// An entry as it was, unless it is over. A life that begins in the future tells of a clock that went backwards:
    /// nobody knows how much of it is left.
    fn restored(
        &mut self,
        record: Record,
        parent: Option<Id>,
        clocks: Clocks,
        jitter: f64,
    ) -> Option<(Node, Option<usize>)> {
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
            None => None,
            Some(life) => {
                let granted_at = clocks.moment_of(life.granted)?;
                let ttl = Duration::from_millis(life.ttl);
                granted_at.checked_add(ttl)?;
                let life = Life::restored(ttl, granted_at, life.fading, jitter);
                if life.served_until() <= clocks.now {
                    return None;
                }
                Some(life)
            }
        };
        if life.is_none() && !matches!(subject, Subject::Own { .. }) {
            return None;
        }
        let mut key = None;
        let mut kept = None;
        if let Some(answer) = record.answer {
            key = Some(Key::from_bytes(answer.key));
            kept = Some(Kept {
                status: answer.status,
                headers: self.header_sets.share(&answer.headers),
                body: answer.body,
                since: clocks.moment_of(answer.since)?,
            });
        }
        let place = Place { namespace: record.namespace, path: record.path };
        let on_disk = OnDisk { number: record.id, written: true };
        Some((Node { subject, parent, children: Vec::new(), key, place, kept, life, on_disk }, whose))
    }

    /// Puts an entry into all indexes; what stood there goes.
    fn take_in(&mut self, node: Node) -> Id {
        let same = match &node.subject {
            Subject::Own { token } | Subject::Issued { token, .. } => self.managed(token.expose()),
            Subject::Lease { lease } => self.lease(lease.as_str()),
        };
        if let Some(same) = same {
            self.evict(same);
        }
        let hash = match &node.subject {
            Subject::Own { token } | Subject::Issued { token, .. } => self.hash(token.expose()),
            Subject::Lease { lease } => self.hash(lease.as_str()),
        };
        let accessor = match &node.subject {
            Subject::Issued { accessor: Some(accessor), .. } => Some(self.hash(accessor.expose())),
            _ => None,
        };
        let (is_lease, key, parent) = (matches!(node.subject, Subject::Lease { .. }), node.key, node.parent);
        let id = self.place(node);
        if is_lease { &mut self.by_lease } else { &mut self.by_token }.insert(hash, id);
        if let Some(accessor) = accessor {
            self.by_accessor.insert(accessor, id);
        }
        if let Some(other) = key.and_then(|key| self.by_key.insert(key, id)).and_then(|id| self.node_mut(id))
        {
            other.key = None;
            other.kept = None;
        }
        if let Some(parent) = parent.and_then(|parent| self.node_mut(parent)) {
            parent.children.push(id);
        }
        id
    }

    /// Restored tokens that the server has not been asked about, with their namespaces.
    pub(crate) fn unconfirmed(&self) -> Vec<(Id, Arc<Token>, Option<Box<str>>)> {
        let token = |id: &Id| {
            let node = self.node(*id)?;
            match &node.subject {
                Subject::Own { token } | Subject::Issued { token, .. } => {
                    Some((*id, Arc::clone(token), node.place.namespace.clone()))
                }
                Subject::Lease { .. } => None,
            }
        };
        self.journal.unconfirmed.iter().filter_map(token).collect()
    }

    /// The server knows this token.
    pub(crate) fn confirm(&mut self, id: Id) {
        self.journal.unconfirmed.remove(&id);
    }

    /// Whether the answer for a key hangs on a token that the server has not been asked about since the start.
    pub(crate) fn is_unconfirmed(&self, key: &Key) -> bool {
        if self.journal.unconfirmed.is_empty() {
            return false;
        }
        let mut next = self.by_key.get(key).copied();
        while let Some(id) = next {
            if self.journal.unconfirmed.contains(&id) {
                return true;
            }
            next = self.node(id).and_then(|node| node.parent);
        }
        false
    }
}

/// What came back.
#[derive(Default)]
pub(crate) struct Restored {
    /// When each is to be looked at.
    pub(crate) due: Vec<(Id, Instant)>,
    pub(crate) entries: usize,
    pub(crate) dropped: usize,
}

fn kind(subject: &Subject) -> Kind {
    match subject {
        Subject::Own { .. } => Kind::Own,
        Subject::Issued { .. } => Kind::Token,
        Subject::Lease { .. } => Kind::Lease,
    }
}
