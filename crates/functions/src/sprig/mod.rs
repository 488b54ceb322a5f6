//! Sprig, each name with the prefix `sprig_`.

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
