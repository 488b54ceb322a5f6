//! How a child stands, for whoever reports it: plain numbers.

use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use crate::state::Ending;

/// One child.
#[derive(Debug, Default)]
pub struct Record {
    starts: AtomicU64,
    process_id: AtomicI32,
    ending: Mutex<Option<Ending>>,
}

impl Record {
    pub(crate) fn started(&self, process_id: i32) {
        self.starts.fetch_add(1, Relaxed);
        self.process_id.store(process_id, Relaxed);
    }

    pub(crate) fn ended(&self, ending: Ending) {
        self.process_id.store(0, Relaxed);
        *self.ending.lock().unwrap_or_else(PoisonError::into_inner) = Some(ending);
    }

    /// How often it was started.
    pub fn starts(&self) -> u64 {
        self.starts.load(Relaxed)
    }

    /// Its process id, while it runs.
    pub fn process_id(&self) -> Option<i32> {
        Some(self.process_id.load(Relaxed)).filter(|id| *id != 0)
    }

    /// How it ended last.
    pub fn last_ending(&self) -> Option<Ending> {
        *self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
