//! Dates and durations.

use crate::Entry;

pub(crate) const ENTRIES: &[Entry<()>] = &[];
