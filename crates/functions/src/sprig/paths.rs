//! Paths, of the system and with slashes.

use crate::Entry;

pub(crate) const ENTRIES: &[Entry<()>] = &[];
