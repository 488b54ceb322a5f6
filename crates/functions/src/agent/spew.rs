//! Values shown with their types, as go-spew does.

use crate::Entry;

pub(crate) const ENTRIES: &[Entry<()>] = &[];
