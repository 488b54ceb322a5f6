//! Channels.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// A channel that yields a range of `int64` once; a second `range` over it finds it drained.
#[derive(Clone)]
pub struct Chan(Arc<Mutex<Range<i64>>>);

impl Chan {
    /// Yields `range`.
    pub fn new(range: Range<i64>) -> Self {
        Self(Arc::new(Mutex::new(range)))
    }

    pub(crate) fn receive(&self) -> Option<i64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next()
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
