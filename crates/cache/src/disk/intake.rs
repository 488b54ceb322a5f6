//! What is taken in while the file is read: no more than there is room for, and nothing that is over.

use std::time::Duration;

use super::record::{Kind, Record, Wall};
use super::seal::{OVERHEAD, Sealer};
use super::secret::{StoredBody, StoredReader, StoredSecrets};
use crate::Options;
use crate::kv::{MOST_TOKENS, StaticSecrets, most_grants};

/// Room for leases and tokens.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// How many.
    pub entries: usize,
    /// Bytes of their answers.
    pub bytes: usize,
}

impl From<&Options> for Room {
    fn from(options: &Options) -> Self {
        Self { entries: options.max_entries, bytes: options.max_bytes }
    }
}

/// Room for secrets of KV mounts.
#[derive(Clone, Copy, Debug)]
pub struct SecretRoom {
    room: Room,
    /// Longer ones are not taken in.
    entry_bytes: usize,
    /// Nor are older ones.
    oldest: Duration,
}

impl From<&StaticSecrets> for SecretRoom {
    fn from(kept: &StaticSecrets) -> Self {
        Self {
            room: Room { entries: kept.max_entries, bytes: kept.max_bytes },
            entry_bytes: kept.max_entry_bytes,
            oldest: kept.ttl + kept.stale_if_error,
        }
    }
}

/// Beside a secret stand its path and its headers. A record that is longer than all of them may be is not opened.
const BESIDE: usize = 256 * 1024;

/// What was found so far.
pub(super) struct Intake<'a> {
    sealer: &'a Sealer,
    room: Room,
    secret_room: Option<SecretRoom>,
    now: Wall,
    pub(super) records: Vec<Record>,
    bytes: usize,
    pub(super) secrets: StoredSecrets,
    secret_bytes: usize,
    grants: usize,
    /// When the file was last written.
    pub(super) stamp: Wall,
    pub(super) damaged: Vec<(u8, u64)>,
    pub(super) left_out: LeftOut,
}

/// Records that are not taken in, and are to be removed.
#[derive(Debug, Default)]
pub(crate) struct LeftOut {
    pub(crate) records: Vec<(Kind, u64)>,
    /// They are over, or nobody wants them any more.
    pub(crate) ended: usize,
    /// There is no room for them.
    pub(crate) too_many: usize,
    /// The last number of a lease or a token.
    pub(crate) last: u64,
}

/// What becomes of a record.
enum Fate {
    Taken,
    Ended,
    TooMany,
    Damaged,
}

impl<'a> Intake<'a> {
    pub(super) fn new(sealer: &'a Sealer, room: Room, secret_room: Option<SecretRoom>, now: Wall) -> Self {
        let (secrets, damaged, left_out) = Default::default();
        let (records, bytes, secret_bytes, grants, stamp) = (Vec::new(), 0, 0, 0, 0);
        Self {
            sealer,
            room,
            secret_room,
            now,
            records,
            bytes,
            secrets,
            secret_bytes,
            grants,
            stamp,
            damaged,
            left_out,
        }
    }

    /// Looks at one record.
    pub(super) fn show(&mut self, number: u8, id: u64, sealed: &[u8]) {
        let Some(kind) = Kind::of(number) else { return self.damaged.push((number, id)) };
        let fate = match kind {
            Kind::Own | Kind::Token | Kind::Lease => {
                self.left_out.last = self.left_out.last.max(id);
                self.entry(kind, id, sealed)
            }
            Kind::Body | Kind::Reader => {
                self.secrets.last = self.secrets.last.max(id);
                match (kind, self.secret_room) {
                    (_, None) => Fate::Ended,
                    (Kind::Body, Some(room)) => self.body(room, id, sealed),
                    (_, Some(room)) => self.reader(room, id, sealed),
                }
            }
            Kind::Stamp => self.stamped(id, sealed),
        };
        match fate {
            Fate::Taken => return,
            Fate::Damaged => return self.damaged.push((number, id)),
            Fate::Ended => self.left_out.ended += 1,
            Fate::TooMany => self.left_out.too_many += 1,
        }
        self.left_out.records.push((kind, id));
    }

    fn entry(&mut self, kind: Kind, id: u64, sealed: &[u8]) -> Fate {
        // Not opened: what it holds would be held beside all the others.
        if self.records.len() >= self.room.entries {
            return Fate::TooMany;
        }
        let opened = self.sealer.open(kind, id, sealed);
        let Some(record) = opened.and_then(|bytes| Record::decode(kind, id, &bytes)) else {
            return Fate::Damaged;
        };
        if record.life.is_some_and(|life| life.granted.saturating_add(life.ttl) <= self.now) {
            return Fate::Ended;
        }
        let size = record.path.len() + record.answer.as_ref().map_or(0, |answer| answer.body.len());
        if self.bytes + size > self.room.bytes {
            return Fate::TooMany;
        }
        self.bytes += size;
        self.records.push(record);
        Fate::Taken
    }

    fn body(&mut self, SecretRoom { room, entry_bytes, oldest }: SecretRoom, id: u64, sealed: &[u8]) -> Fate {
        let most = entry_bytes.saturating_add(BESIDE + OVERHEAD);
        if self.secrets.bodies.len() >= room.entries || sealed.len() > most {
            return Fate::TooMany;
        }
        let opened = self.sealer.open(Kind::Body, id, sealed);
        let Some(body) = opened.and_then(|bytes| StoredBody::decode(id, &bytes)) else {
            return Fate::Damaged;
        };
        let oldest = u64::try_from(oldest.as_millis()).unwrap_or(u64::MAX);
        if body.since.saturating_add(oldest) <= self.now {
            return Fate::Ended;
        }
        if body.size() > entry_bytes || self.secret_bytes + body.size() > room.bytes {
            return Fate::TooMany;
        }
        self.secret_bytes += body.size();
        self.secrets.bodies.push(body);
        Fate::Taken
    }

    fn reader(&mut self, SecretRoom { room, .. }: SecretRoom, id: u64, sealed: &[u8]) -> Fate {
        if self.secrets.readers.len() >= MOST_TOKENS {
            return Fate::TooMany;
        }
        let opened = self.sealer.open(Kind::Reader, id, sealed);
        let Some(reader) = opened.and_then(|bytes| StoredReader::decode(id, &bytes)) else {
            return Fate::Damaged;
        };
        if reader.until.is_some_and(|until| until <= self.now) {
            return Fate::Ended;
        }
        if self.grants + reader.grants.len() > most_grants(room.entries) {
            return Fate::TooMany;
        }
        self.grants += reader.grants.len();
        self.secrets.readers.push(reader);
        Fate::Taken
    }

    fn stamped(&mut self, id: u64, sealed: &[u8]) -> Fate {
        let Some(bytes) = self.sealer.open(Kind::Stamp, id, sealed) else { return Fate::Damaged };
        self.stamp = bytes.first_chunk().map_or(0, |bytes| Wall::from_le_bytes(*bytes));
        Fate::Taken
    }
}
