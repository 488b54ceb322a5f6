//! Passwords, keys, certificates, ciphers, chance.

use crate::Entry;

pub(crate) const ENTRIES: &[Entry<()>] = &[];
