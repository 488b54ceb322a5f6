//! What was written, revoked or permitted otherwise, and which answers to reads it has overtaken.

use std::collections::HashMap;

use tokio::time::Instant;

use super::reading::{self, Facts};

/// More names of written secrets are not kept apart: reads under way at that moment are not kept then.
const MOST: usize = 16_384;

/// The state of writes when a read was sent: an answer that a write has overtaken is not kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    pub(crate) seq: u64,
    pub(crate) sent_at: Instant,
}

struct Written {
    seq: u64,
    /// The version that was made.
    at_least: Option<(u64, String)>,
}

/// All that counts.
#[derive(Default)]
pub(crate) struct Writes {
    written: HashMap<u64, Written>,
    /// Counts writes, revocations and changes of permissions.
    seq: u64,
    /// Answers to reads sent before this are not kept.
    bodies_from: u64,
    /// Nor do they tell any more who may read, or which token lives.
    grants_from: u64,
}

impl Writes {
    /// To be taken before a read is sent.
    pub(crate) fn ticket(&self, now: Instant) -> Ticket {
        Ticket { seq: self.seq, sent_at: now }
    }

    /// Whether something of these names was written since.
    pub(crate) fn overtook(&self, ticket: Ticket, names: &[u64]) -> bool {
        let later = |name| self.written.get(name).is_some_and(|written: &Written| written.seq > ticket.seq);
        ticket.seq < self.bodies_from || names.iter().any(later)
    }

    /// Whether permissions seen since still hold.
    pub(crate) fn permits(&self, ticket: Ticket) -> bool {
        ticket.seq >= self.grants_from
    }

    /// Whether an answer is older than what was written through here.
    pub(crate) fn is_behind(&self, names: &[u64], facts: &Facts) -> bool {
        let Some(new) = &facts.version else { return false };
        let mut made = names.iter().filter_map(|name| self.written.get(name)?.at_least.as_ref());
        made.any(|made| reading::is_older(new, made))
    }

    /// Something of these names was written.
    pub(crate) fn wrote(&mut self, names: &[u64], made: Option<&(u64, String)>) {
        self.seq += 1;
        if self.written.len() + names.len() > MOST {
            self.written.clear();
            self.bodies_from = self.seq;
        }
        for name in names {
            self.written.insert(*name, Written { seq: self.seq, at_least: made.cloned() });
        }
    }

    /// Anything may have been written.
    pub(crate) fn wrote_all(&mut self) {
        self.seq += 1;
        self.bodies_from = self.seq;
    }

    /// A token was revoked, or what one may do was changed.
    pub(crate) fn permitted(&mut self) {
        self.seq += 1;
        self.grants_from = self.seq;
    }
}
