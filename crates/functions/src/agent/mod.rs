//! The agents' own functions.

mod encodings;
mod hashes;
mod lists;
mod maths;
mod parsers;
pub(crate) mod sockaddr;
mod spew;
mod texts;
mod title;

use crate::Entry;

pub(crate) const TABLES: &[&[Entry<()>]] = &[
    encodings::ENTRIES,
    hashes::ENTRIES,
    lists::ENTRIES,
    maths::ENTRIES,
    parsers::ENTRIES,
    sockaddr::ENTRIES,
    spew::ENTRIES,
    texts::ENTRIES,
];
