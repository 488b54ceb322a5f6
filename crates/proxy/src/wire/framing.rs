//! Where requests begin and end in a stream of bytes: heads and bodies in turn.

use super::Limits;
use super::chunks::Chunks;
use super::head::{Body, HeadScan};
use crate::breach::Breach;

/// Follows one direction of an HTTP/1 connection. Pure: bytes in, verdict out.
#[derive(Clone, Debug)]
pub(crate) struct Framing {
    at: At,
    limits: Limits,
}

#[derive(Clone, Debug)]
enum At {
    Head(HeadScan),
    Length(u64),
    Chunked(Chunks),
    /// Behind a request that wants another protocol: nothing is read before it has its answer.
    Upgrade,
    Broken,
}

/// What a look at some bytes found.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Taken {
    /// So many bytes are in order and may be handed on. Bytes behind them are the beginning of a head; they have to
    /// be shown again, with what follows them.
    pub(crate) ready: usize,
    /// Heads among them.
    pub(crate) heads: u64,
    /// What is wrong behind them; nothing may be handed on from then on.
    pub(crate) breach: Option<Breach>,
    /// It is wrong with a head, which has not been handed on.
    pub(crate) in_head: bool,
}

impl Framing {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { at: At::Head(HeadScan::default()), limits }
    }

    /// Between two requests, or in a head.
    pub(crate) fn in_head(&self) -> bool {
        matches!(self.at, At::Head(_))
    }

    /// Inside a head of which something has been seen.
    pub(crate) fn head_has_begun(&self) -> bool {
        matches!(&self.at, At::Head(scan) if scan.has_begun())
    }

    /// Behind a request that asked for another protocol.
    pub(crate) fn awaits_upgrade(&self) -> bool {
        matches!(self.at, At::Upgrade)
    }

    /// The upgrade was declined: requests follow.
    pub(crate) fn decline_upgrade(&mut self) {
        self.at = At::Head(HeadScan::default());
    }

    /// Looks at `bytes`: all that were not handed on yet.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Taken {
        let mut taken = Taken::default();
        while taken.ready < bytes.len() {
            let rest = bytes.get(taken.ready..).unwrap_or_default();
            match &mut self.at {
                At::Head(scan) => match scan.scan(rest, &self.limits) {
                    Ok(None) => break,
                    Ok(Some(head)) => {
                        taken.ready += head.end;
                        taken.heads += 1;
                        self.at = match head.body {
                            Body::Length(0) if head.upgrade => At::Upgrade,
                            Body::Length(0) => At::Head(HeadScan::default()),
                            Body::Length(length) => At::Length(length),
                            Body::Chunked => At::Chunked(Chunks::new()),
                        };
                    }
                    Err(breach) => {
                        (taken.breach, taken.in_head) = (Some(breach), true);
                        self.at = At::Broken;
                        break;
                    }
                },
                At::Length(left) => {
                    let here = (*left).min(rest.len() as u64);
                    // No more than `rest` holds, so it fits.
                    taken.ready += here as usize;
                    *left -= here;
                    if *left == 0 {
                        self.at = At::Head(HeadScan::default());
                    }
                }
                At::Chunked(chunks) => {
                    let (read, breach) = chunks.take(rest, &self.limits);
                    taken.ready += read;
                    if breach.is_some() {
                        taken.breach = breach;
                        self.at = At::Broken;
                        break;
                    }
                    if chunks.is_over() {
                        self.at = At::Head(HeadScan::default());
                    }
                }
                At::Upgrade | At::Broken => break,
            }
        }
        taken
    }
}
