//! What was written, revoked or permitted otherwise, and which answers to reads it has overtaken.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::reading::{self, Facts};

/// More names of written secrets are not kept apart: reads under way at that moment are not kept then.
const MOST: usize = 16_384;

/// A write without an answer may be carried out so much later: Vault and OpenBao give up a request after it
/// (`default_max_request_duration`, 90 s).
const DOUBT: Duration = Duration::from_secs(90);

/// The state of writes when a read was sent: an answer that a write has overtaken is not kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    pub(crate) seq: u64,
    pub(crate) sent_at: Instant,
}

#[derive(Default)]
struct Written {
    seq: u64,
    /// The version that was made.
    at_least: Option<(u64, String)>,
    doubt: Doubt,
}

/// Until when something may still be written of which no answer came.
#[derive(Clone, Copy, Default)]
struct Doubt(Option<Instant>);

impl Doubt {
    fn from(now: Instant) -> Self {
        Self(Some(now + DOUBT))
    }

    /// Whether what was asked then may be outdated later.
    fn concerns(self, ticket: Ticket) -> bool {
        self.0.is_some_and(|until| ticket.sent_at < until)
    }

    fn and(self, other: Self) -> Self {
        Self(self.0.max(other.0))
    }
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
    /// Of one name at least.
    some_doubt: Doubt,
    bodies_doubt: Doubt,
    grants_doubt: Doubt,
}

impl Writes {
    /// To be taken before a read is sent.
    pub(crate) fn ticket(&self, now: Instant) -> Ticket {
        Ticket { seq: self.seq, sent_at: now }
    }

    /// Whether something of these names was written since, or may still be.
    pub(crate) fn overtook(&self, ticket: Ticket, names: &[u64]) -> bool {
        let later = |written: &Written| written.seq > ticket.seq || written.doubt.concerns(ticket);
        ticket.seq < self.bodies_from
            || self.bodies_doubt.concerns(ticket)
            || names.iter().filter_map(|name| self.written.get(name)).any(later)
    }

    /// Whether permissions seen since still hold.
    pub(crate) fn permits(&self, ticket: Ticket) -> bool {
        ticket.seq >= self.grants_from && !self.grants_doubt.concerns(ticket)
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
            self.bodies_doubt = self.bodies_doubt.and(self.some_doubt);
        }
        for name in names {
            let written = self.written.entry(*name).or_default();
            (written.seq, written.at_least) = (self.seq, made.cloned());
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

    // === Without an answer ===

    /// Something of these names may be written any time now.
    pub(crate) fn may_write(&mut self, names: &[u64], now: Instant) {
        self.wrote(names, None);
        let doubt = Doubt::from(now);
        self.some_doubt = self.some_doubt.and(doubt);
        for name in names {
            let written = self.written.entry(*name).or_default();
            written.doubt = written.doubt.and(doubt);
        }
    }

    /// Anything may be written any time now.
    pub(crate) fn may_write_all(&mut self, now: Instant) {
        self.wrote_all();
        self.bodies_doubt = self.bodies_doubt.and(Doubt::from(now));
    }

    /// A token may be revoked any time now, or what one may do be changed.
    pub(crate) fn may_permit(&mut self, now: Instant) {
        self.permitted();
        self.grants_doubt = self.grants_doubt.and(Doubt::from(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_may_still_be_written_is_in_doubt_as_long_as_a_server_takes() {
        let (mut writes, now) = (Writes::default(), Instant::now());
        let at = |writes: &Writes, seconds| writes.ticket(now + Duration::from_secs(seconds));
        writes.may_write(&[1, 2], now);
        writes.may_write(&[2], now + Duration::from_secs(60));
        // An answered write ends no doubt about another.
        writes.wrote(&[1], Some(&(7, String::new())));
        for (name, seconds, doubted) in
            [(1, 89, true), (1, 90, false), (2, 149, true), (2, 150, false), (3, 1, false)]
        {
            assert_eq!(writes.overtook(at(&writes, seconds), &[name]), doubted, "{name} after {seconds} s");
        }
        assert!(writes.permits(at(&writes, 1)));
        writes.may_permit(now);
        assert!(!writes.permits(at(&writes, 89)) && writes.permits(at(&writes, 90)));
        writes.may_write_all(now);
        assert!(writes.overtook(at(&writes, 89), &[3]) && !writes.overtook(at(&writes, 90), &[3]));
    }

    /// More of them than are kept apart: then all are in doubt.
    #[tokio::test(start_paused = true)]
    async fn no_doubt_is_lost_for_want_of_room() {
        let (mut writes, now) = (Writes::default(), Instant::now());
        writes.may_write(&[0], now);
        for name in 1..=MOST as u64 {
            writes.wrote(&[name], None);
        }
        assert!(writes.written.len() < MOST);
        for (seconds, doubted) in [(89, true), (90, false)] {
            let ticket = writes.ticket(now + Duration::from_secs(seconds));
            assert_eq!(writes.overtook(ticket, &[0]), doubted, "after {seconds} s");
        }
    }
}
