//! Addresses of this machine, in go-sockaddr's little language.

use crate::Entry;

pub(crate) const ENTRIES: &[Entry<()>] = &[];
