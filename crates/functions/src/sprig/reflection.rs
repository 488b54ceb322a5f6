//! Types and kinds.

use crate::Entry;

pub(crate) const ENTRIES: &[Entry<()>] = &[];
