//! The store as the disk sees it: what has changed since it was last written. What comes back at a start is in
//! `restore.rs`.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::time::Instant;
use vault::{Namespace, Token};

use super::{Id, MOST_LEVELS, Node, Renewable, Renewal, Store, Subject};
use crate::clock::Clock;
use crate::disk::{Kind, LeftOut, Record, StoredAnswer, StoredLife, StoredSubject, Wall};

/// What has changed since it was last written. Only names are kept here: what they stand for is read when its time has
/// come, so that many changes of one entry are one, and none costs memory.
#[derive(Default)]
pub(crate) struct Journal {
    /// Somebody writes it down; without, nothing is noted.
    on: bool,
    /// The last number that was given.
    pub(super) last: u64,
    changed: HashSet<Id>,
    /// What is on the disk with an answer and is not to be handed out any more.
    stripped: HashSet<Id>,
    /// Records that lie on the disk and should not.
    pub(super) gone: HashSet<(Kind, u64)>,
    /// Not only renewals.
    soon: bool,
    /// Restored tokens that the server has not been asked about.
    pub(super) unconfirmed: HashSet<Id>,
    news: Arc<Notify>,
}

/// Where an entry lies on the disk.
#[derive(Clone, Copy, Default)]
pub(super) struct OnDisk {
    pub(super) number: u64,
    /// It has been written, or is being written.
    pub(super) written: bool,
}

/// What the wall clock says.
pub(crate) fn wall_now() -> Wall {
    let since = system_time().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(not(test))]
fn system_time() -> SystemTime {
    SystemTime::now()
}

/// In step with a clock that a test has paused, or a machine that has slept.
#[cfg(test)]
fn system_time() -> SystemTime {
    static START: std::sync::OnceLock<(Instant, SystemTime)> = std::sync::OnceLock::new();
    let now = Instant::now() + crate::clock::SLEPT.get();
    let (start, then) = *START.get_or_init(|| (now, SystemTime::now()));
    then + now.saturating_duration_since(start) - start.saturating_duration_since(now)
}

/// One moment on both clocks: the one that entries live by, which means nothing to another process, and the wall clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    pub(crate) now: Instant,
    pub(crate) wall: Wall,
}

impl Clocks {
    pub(crate) fn read(clock: &Clock) -> Self {
        Self { now: clock.now(), wall: wall_now() }
    }

    pub(crate) fn wall_of(&self, moment: Instant) -> Wall {
        let back = u64::try_from(self.now.saturating_duration_since(moment).as_millis()).unwrap_or(u64::MAX);
        self.wall.saturating_sub(back)
    }

    /// The same for what lies in the future; what does not is now.
    pub(crate) fn wall_after(&self, moment: Instant) -> Wall {
        let ahead = u64::try_from(moment.saturating_duration_since(self.now).as_millis()).unwrap_or(u64::MAX);
        self.wall.saturating_add(ahead)
    }

    /// `None` for what does not lie in the future, or after all time.
    pub(crate) fn moment_after(&self, wall: Wall) -> Option<Instant> {
        let ahead = wall.checked_sub(self.wall).filter(|ahead| *ahead > 0)?;
        self.now.checked_add(Duration::from_millis(ahead))
    }

    /// `None` for what lies in the future, or before all time.
    pub(crate) fn moment_of(&self, wall: Wall) -> Option<Instant> {
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

    /// An entry's answer is handed out no more, or what it hung on is gone: its record may not come back as it is.
    pub(super) fn note_stripped(&mut self, id: Id) {
        self.note_changed(id, true);
        if self.journal.on && self.node(id).is_some_and(|node| node.on_disk.written) {
            self.journal.stripped.insert(id);
        }
    }

    /// An entry has been taken out.
    pub(super) fn note_gone(&mut self, id: Id, node: &Node) {
        self.journal.unconfirmed.remove(&id);
        if !self.journal.on {
            return;
        }
        self.journal.changed.remove(&id);
        self.journal.stripped.remove(&id);
        if node.on_disk.written {
            self.journal.gone.insert((kind(&node.subject), node.on_disk.number));
            self.journal.soon = true;
            self.journal.news.notify_one();
        }
    }

    /// Whether something lies on the disk that should not.
    pub(crate) fn has_gone(&self) -> bool {
        !self.journal.gone.is_empty() || !self.journal.stripped.is_empty()
    }

    /// Records that were not taken in go from the disk.
    pub(crate) fn leave_out(&mut self, left_out: &LeftOut) {
        self.journal.last = self.journal.last.max(left_out.last);
        self.journal.gone.extend(&left_out.records);
        self.journal.soon = true;
        self.journal.news.notify_one();
    }

    /// Whether something waits to be written that is more than a renewal.
    pub(crate) fn has_urgent_changes(&self) -> bool {
        self.journal.soon
    }

    /// What is to be written next: all that may not come back as it lies there, and some of the rest unless only that is
    /// wanted.
    pub(crate) fn take_changes(&mut self, only_gone: bool, clocks: Clocks) -> Changes {
        let gone = std::mem::take(&mut self.journal.gone).into_iter().collect();
        let mut changes = Changes { gone, ..Changes::default() };
        for id in std::mem::take(&mut self.journal.stripped) {
            self.take_record(id, clocks, &mut changes);
        }
        if only_gone {
            return changes;
        }
        let (most, mut bytes) = AT_ONCE;
        let ids: Vec<Id> = self.journal.changed.iter().copied().take(most).collect();
        for id in ids {
            bytes = bytes.saturating_sub(self.take_record(id, clocks, &mut changes));
            if bytes == 0 {
                break;
            }
        }
        self.journal.soon = !self.journal.changed.is_empty() && self.journal.soon;
        changes
    }

    /// Returns how long its body is.
    fn take_record(&mut self, id: Id, clocks: Clocks, changes: &mut Changes) -> usize {
        self.journal.changed.remove(&id);
        let Some(record) = self.record(id, clocks) else { return 0 };
        let length = record.answer.as_ref().map_or(0, |answer| answer.body.len());
        changes.records.push(record);
        changes.ids.push(id);
        if let Some(node) = self.node_mut(id) {
            node.on_disk.written = true;
        }
        length
    }

    /// They could not be written.
    pub(crate) fn put_back(&mut self, changes: Changes) {
        self.journal.gone.extend(changes.gone);
        for id in changes.ids {
            let Some(node) = self.node(id) else { continue };
            if node.key.is_none() {
                self.journal.stripped.insert(id);
            }
            self.journal.changed.insert(id);
        }
        self.journal.soon = true;
        self.journal.news.notify_one();
    }

    /// The file is another one: all is to be written. What was to be removed may stand in it all the same.
    pub(crate) fn nothing_is_written(&mut self) {
        for (place, (round, node)) in (0u32..).zip(&self.nodes) {
            if node.is_some() {
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
            told: node.told,
        });
        let life = node.life.map(|life| life.stored()).map(|life| StoredLife {
            granted: clocks.wall_of(life.granted_at),
            ttl: u64::try_from(life.ttl.as_millis()).unwrap_or(u64::MAX),
            fading: life.fading,
            idle: life.idle,
        });
        Some(Record {
            id: node.on_disk.number,
            parent,
            subject,
            namespace: node.place.namespace.clone(),
            path: node.place.path.clone(),
            asker: node.asker,
            life,
            answer,
        })
    }

    /// Restored tokens that the server has not been asked about, with their namespaces.
    pub(crate) fn unconfirmed(&self) -> Vec<(Id, Arc<Token>, Option<Namespace>)> {
        let token = |id: &Id| match self.handle(*id)? {
            Renewal { subject: Renewable::Token(token), namespace } => Some((*id, token, namespace)),
            Renewal { subject: Renewable::Lease(..), .. } => None,
        };
        self.journal.unconfirmed.iter().filter_map(token).collect()
    }

    /// The server knows this token.
    pub(crate) fn confirm(&mut self, id: Id) {
        self.journal.unconfirmed.remove(&id);
    }

    /// Whether an entry hangs on a token that the server has not been asked about since the start.
    pub(super) fn is_unconfirmed(&self, id: Id) -> bool {
        if self.journal.unconfirmed.is_empty() {
            return false;
        }
        let above = |id: Id| {
            let node = self.node(id)?;
            node.parent.or_else(|| self.by_token.get(&node.asker?).copied())
        };
        let chain = std::iter::successors(Some(id), |id| above(*id)).take(MOST_LEVELS);
        chain.into_iter().any(|id| self.journal.unconfirmed.contains(&id))
    }
}

fn kind(subject: &Subject) -> Kind {
    match subject {
        Subject::Own { .. } => Kind::Own,
        Subject::Issued { .. } => Kind::Token,
        Subject::Lease { .. } => Kind::Lease,
    }
}
