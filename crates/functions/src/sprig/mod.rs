//! Sprig, each name with the prefix `sprig_`.

mod crypto;
mod dates;
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
    logic::ENTRIES,
    numbers::ENTRIES,
    paths::ENTRIES,
    reflection::ENTRIES,
    regexes::ENTRIES,
    semver::ENTRIES,
    texts::ENTRIES,
    urls::ENTRIES,
];
