//! The head of the file: its version, whose it is, and its key, sealed with the operator's. Pure.

use aws_lc_rs::digest::{SHA256, digest};

use super::bytes::{Reader, Writer};
use super::seal::{DataKey, KeyKey, KeyMaterial, MOST_ROUNDS};

/// The file's version; others are not read.
const VERSION: u64 = 1;

const MAGIC: &[u8] = b"sidekey cache";

/// Where a file belongs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Home {
    /// The server that it holds answers of.
    pub server: String,
    /// The machine's id; empty where there is none.
    pub machine: String,
}

/// Why a header does not open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Misfit {
    Damaged,
    Version(u64),
    Key,
    Server,
    Machine,
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Damaged => f.write_str("it is damaged"),
            Self::Version(version) => {
                write!(
                    f,
                    "it was written by another version of Sidekey (format {version}; this one reads {VERSION})"
                )
            }
            Self::Key => f.write_str("it was sealed with another key"),
            Self::Server => f.write_str("it holds answers of another server (vault.address has changed)"),
            Self::Machine => f.write_str("it was written on another machine"),
        }
    }
}

/// Half of a SHA-256: these are no secrets, and the file need not show them.
fn hash(text: &str) -> Vec<u8> {
    digest(&SHA256, text.as_bytes()).as_ref().iter().copied().take(16).collect()
}

/// A header for a new key. Slow for a passphrase.
pub(super) fn make(key: &DataKey, material: &KeyMaterial, home: &Home) -> Option<Vec<u8>> {
    let mut salt = [0; 16];
    aws_lc_rs::rand::fill(&mut salt).ok()?;
    let rounds = material.rounds();
    let outer = KeyKey::new(material, &salt, rounds);
    let mut to = Writer::default();
    to.bytes(MAGIC);
    to.number(VERSION);
    to.bytes(&salt);
    to.number(rounds.into());
    to.bytes(&outer.fingerprint()?);
    to.bytes(&hash(&home.server));
    to.maybe((!home.machine.is_empty()).then(|| hash(&home.machine)), |to, id| to.bytes(&id));
    let mut header = to.take();
    let sealed = outer.seal(key, &header)?;
    header.extend_from_slice(&sealed);
    Some(header)
}

/// The file's key. Slow for a passphrase.
pub(super) fn open(header: &[u8], material: &KeyMaterial, home: &Home) -> Result<DataKey, Misfit> {
    let read = |from: &mut Reader<'_>| {
        let magic = from.bytes()? == MAGIC;
        let version = from.number()?;
        Some((magic, version))
    };
    let from = &mut Reader(header);
    match read(from) {
        Some((true, VERSION)) => {}
        Some((true, version)) => return Err(Misfit::Version(version)),
        _ => return Err(Misfit::Damaged),
    }
    let fields = |from: &mut Reader<'_>| {
        let salt = from.bytes()?.to_vec();
        let rounds = u32::try_from(from.number()?).ok().filter(|rounds| *rounds <= MOST_ROUNDS)?;
        let fingerprint = from.bytes()?.to_vec();
        let server = from.bytes()?.to_vec();
        let machine = from.maybe(Reader::bytes)?.map(<[u8]>::to_vec);
        Some((salt, rounds, fingerprint, server, machine))
    };
    let (salt, rounds, fingerprint, server, machine) = fields(from).ok_or(Misfit::Damaged)?;
    let (beside, sealed) = header.split_at(header.len() - from.0.len());
    // A key where a passphrase was, or the other way round.
    if (rounds == 0) != (material.rounds() == 0) {
        return Err(Misfit::Key);
    }
    let outer = KeyKey::new(material, &salt, rounds);
    if outer.fingerprint().is_none_or(|own| own.as_slice() != fingerprint) {
        return Err(Misfit::Key);
    }
    let key = outer.open(sealed, beside).ok_or(Misfit::Damaged)?;
    if server != hash(&home.server) {
        return Err(Misfit::Server);
    }
    // Where a machine has no id there is nothing to compare.
    if machine.is_some_and(|machine| !home.machine.is_empty() && machine != hash(&home.machine)) {
        return Err(Misfit::Machine);
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn home() -> Home {
        Home { server: "https://a:8200".into(), machine: "m1".into() }
    }

    fn key(byte: u8) -> KeyMaterial {
        KeyMaterial::key(vec![byte; 32])
    }

    fn header() -> Vec<u8> {
        make(&DataKey::random().unwrap(), &key(1), &home()).unwrap()
    }

    #[test]
    fn each_misfit_is_told_from_the_others() {
        let header = header();
        assert!(open(&header, &key(1), &home()).is_ok());
        let misfit = |material: &KeyMaterial, home: &Home| open(&header, material, home).err();
        assert_eq!(misfit(&key(2), &home()), Some(Misfit::Key));
        assert_eq!(misfit(&KeyMaterial::passphrase(vec![1; 32]), &home()), Some(Misfit::Key));
        assert_eq!(
            misfit(&key(1), &Home { server: "https://b:8200".into(), ..home() }),
            Some(Misfit::Server)
        );
        assert_eq!(misfit(&key(1), &Home { machine: "m2".into(), ..home() }), Some(Misfit::Machine));
        assert_eq!(misfit(&key(1), &Home { machine: String::new(), ..home() }), None);
        let mut later = header.clone();
        later[8 + MAGIC.len()] = 9;
        assert_eq!(open(&later, &key(1), &home()).err(), Some(Misfit::Version(9)));
        assert_eq!(open(b"", &key(1), &home()).err(), Some(Misfit::Damaged));
        assert_eq!(open(&header[..header.len() - 1], &key(1), &home()).err(), Some(Misfit::Damaged));
    }

    #[test]
    fn a_passphrase_opens_what_it_sealed_whatever_stands_around_it() {
        let header =
            make(&DataKey::random().unwrap(), &KeyMaterial::passphrase(b"correct horse\n".to_vec()), &home())
                .unwrap();
        assert!(open(&header, &KeyMaterial::passphrase(b"correct horse".to_vec()), &home()).is_ok());
        let wrong = KeyMaterial::passphrase(b"wrong horse".to_vec());
        assert_eq!(open(&header, &wrong, &home()).err(), Some(Misfit::Key));
    }

    proptest! {
        #[test]
        fn no_changed_header_opens(at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut header = header();
            let at = at.index(header.len());
            header[at] ^= 1 << bit;
            prop_assert!(open(&header, &key(1), &home()).is_err());
        }

        #[test]
        fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(open(&bytes, &key(1), &home()).is_err());
        }
    }
}
