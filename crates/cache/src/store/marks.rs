//! What was forgotten lately: an answer that was under way meanwhile may speak of what is gone by now.

use std::collections::VecDeque;

use super::{Place, Subject};
use crate::observe::Observation;

/// So many are kept; an answer that was under way during more of them is not remembered.
const MOST: usize = 256;

/// Something was forgotten.
pub(crate) enum Mark {
    /// What somebody asked for.
    Everything,
    /// What an observation was about.
    Seen(Observation),
}

/// What was forgotten, counted from the start.
#[derive(Default)]
pub(crate) struct Marks {
    last: VecDeque<Mark>,
    count: u64,
}

impl Marks {
    /// How many there were.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn add(&mut self, mark: Mark) {
        if self.last.len() == MOST {
            self.last.pop_front();
        }
        self.last.push_back(mark);
        self.count += 1;
    }

    /// Whether an answer that was asked for when there were `began` of them, with the token `asker`, is outdated.
    pub(crate) fn outdate(&self, began: u64, subject: &Subject, place: &Place, asker: Option<&str>) -> bool {
        let missed = usize::try_from(self.count - began.min(self.count)).unwrap_or(usize::MAX);
        if missed > self.last.len() {
            return true;
        }
        self.last.iter().rev().take(missed).any(|mark| match mark {
            Mark::Everything => true,
            Mark::Seen(Observation::Token(gone) | Observation::TokenOnly(gone)) => {
                asker == Some(gone.expose()) || subject.token() == Some(gone.expose())
            }
            Mark::Seen(Observation::Accessor(gone)) => subject.accessor() == Some(gone.expose()),
            Mark::Seen(Observation::Lease(gone)) => {
                matches!(subject, Subject::Lease { lease } if lease.as_str() == gone)
            }
            Mark::Seen(Observation::Area(area)) => area.holds(subject, place),
            Mark::Seen(Observation::LeaseRenewed(_) | Observation::TokenRenewed(_)) => false,
        })
    }
}
