//! Lists and maps: membership, splitting, merging, loops.

use crate::Entry;

pub(crate) const ENTRIES: &[Entry<()>] = &[];
