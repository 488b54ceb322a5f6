//! Sprig, each name with the prefix `sprig_`: version 3.2.3, of which Vault's profile has what is the same wherever it
//! runs.
//!
//! A file is a part of sprig's own documentation. What such a part shares with the agents' functions is in `go` and
//! `formats`; here are sprig's names, parameters and oddities, which are kept: a `must…` function fails where its
//! plain sibling gives something empty. What the environment or a name server answers is in the crate `template`.
//! To add a function: an entry in its part's table; a new table goes into the list below.

mod chance;
mod convert;
mod crypto;
mod dates;
mod deep;
mod dicts;
mod encodings;
mod hashes;
mod json;
mod lists;
mod logic;
mod numbers;
mod paths;
mod reflection;
mod regexes;
mod semver;
mod texts;
mod urls;

use crate::Entry;

pub(crate) const TABLES: &[&[Entry<()>]] = &[
    crypto::certificates::ENTRIES,
    crypto::ciphers::ENTRIES,
    crypto::passwords::ENTRIES,
    dates::ENTRIES,
    dicts::ENTRIES,
    encodings::ENTRIES,
    hashes::ENTRIES,
    json::ENTRIES,
    lists::ENTRIES,
    lists::PARTS,
    logic::ENTRIES,
    numbers::DECIMALS,
    numbers::ENTRIES,
    numbers::FLOATS,
    numbers::RANGES,
    paths::ENTRIES,
    reflection::ENTRIES,
    regexes::ENTRIES,
    semver::ENTRIES,
    texts::CASES,
    texts::CHANCES,
    texts::JOINING,
    texts::LAYOUT,
    texts::PARTS,
    urls::ENTRIES,
];
