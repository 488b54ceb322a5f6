//! Defaults and choices.

use crate::Entry;

pub(crate) const ENTRIES: &[Entry<()>] = &[];
