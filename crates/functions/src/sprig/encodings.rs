//! Base64 and base32.

use crate::Entry;

pub(crate) const ENTRIES: &[Entry<()>] = &[];
