//! What makes records unreadable and unchangeable: one random data key for the file, sealed in its header with a key
//! of the operator's; from it a key for each kind of record. Pure.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use aws_lc_rs::pbkdf2;
use std::num::NonZeroU32;
use zeroize::Zeroizing;

use super::record::{KINDS, Kind};

/// Rounds of PBKDF2-HMAC-SHA256 for a passphrase: OWASP's recommendation of 2023.
pub(super) const PASSPHRASE_ROUNDS: u32 = 600_000;

/// Nobody is made to wait longer by a file that claims more (about ten seconds).
pub(super) const MOST_ROUNDS: u32 = 20_000_000;

const KEY_LEN: usize = 32;
/// What sealing adds: a nonce in front, a tag behind.
pub(super) const OVERHEAD: usize = NONCE_LEN + 16;

/// What the operator's key is made of; wiped when dropped.
pub struct KeyMaterial {
    bytes: Zeroizing<Vec<u8>>,
    /// A person made it up: guessing is to be slow.
    is_passphrase: bool,
}

impl KeyMaterial {
    /// Bytes that nobody can guess.
    pub fn key(bytes: Vec<u8>) -> Self {
        Self { bytes: Zeroizing::new(bytes), is_passphrase: false }
    }

    /// What a person made up. Spaces and line ends around it do not count.
    pub fn passphrase(bytes: Vec<u8>) -> Self {
        let bytes = Zeroizing::new(bytes);
        Self { bytes: Zeroizing::new(bytes.trim_ascii().to_vec()), is_passphrase: true }
    }

    /// How many bytes there are.
    #[expect(clippy::len_without_is_empty, reason = "it says how long a passphrase is")]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Rounds of hashing that a new file asks for; none for a key.
    pub(super) fn rounds(&self) -> u32 {
        if self.is_passphrase { PASSPHRASE_ROUNDS } else { 0 }
    }
}

impl std::fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// The key of the operator as it seals a file's data key.
pub(super) struct KeyKey(Prk);

impl KeyKey {
    /// With `rounds` of hashing, which takes its time, or none.
    pub(super) fn new(material: &KeyMaterial, salt: &[u8], rounds: u32) -> Self {
        let extract = |bytes: &[u8]| Self(Salt::new(HKDF_SHA256, salt).extract(bytes));
        match NonZeroU32::new(rounds) {
            None => extract(&material.bytes),
            Some(rounds) => {
                let mut slow = Zeroizing::new([0; KEY_LEN]);
                pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, &material.bytes, slow.as_mut());
                extract(slow.as_ref())
            }
        }
    }

    /// Tells two keys apart and tells nothing of either.
    pub(super) fn fingerprint(&self) -> Option<[u8; 8]> {
        let mut fingerprint = [0; 8];
        expand(&self.0, b"sidekey cache 1: fingerprint", &mut fingerprint)?;
        Some(fingerprint)
    }

    pub(super) fn seal(&self, key: &DataKey, beside: &[u8]) -> Option<Vec<u8>> {
        seal(&self.sealing()?, beside, key.0.to_vec())
    }

    pub(super) fn open(&self, sealed: &[u8], beside: &[u8]) -> Option<DataKey> {
        let opened = open(&self.sealing()?, beside, sealed)?;
        Some(DataKey(Zeroizing::new(opened.as_slice().try_into().ok()?)))
    }

    fn sealing(&self) -> Option<RandomizedNonceKey> {
        aead(&self.0, b"sidekey cache 1: data key")
    }
}

/// A file's own key.
pub(super) struct DataKey(Zeroizing<[u8; KEY_LEN]>);

impl DataKey {
    pub(super) fn random() -> Option<Self> {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        aws_lc_rs::rand::fill(key.as_mut()).ok()?;
        Some(Self(key))
    }
}

/// What the hashes of a file are made with: with another one nothing of it would ever be found.
pub(crate) struct Root(Prk);

impl Root {
    /// For requests, by the rules that tell them apart: no hash that was made by one set of rules is ever made by
    /// another. `None` only if the crypto itself fails.
    pub(crate) fn request_secret(&self, rules: &[u8]) -> Option<Zeroizing<[u8; KEY_LEN]>> {
        let mut secret = Zeroizing::new([0; KEY_LEN]);
        expand(&self.0, &[b"sidekey cache 1: requests ", rules].concat(), secret.as_mut())?;
        Some(secret)
    }

    /// For the tokens that read secrets. `None` only if the crypto itself fails.
    pub(crate) fn reader_secret(&self) -> Option<Zeroizing<[u8; KEY_LEN]>> {
        let mut secret = Zeroizing::new([0; KEY_LEN]);
        expand(&self.0, b"sidekey cache 1: readers", secret.as_mut())?;
        Some(secret)
    }

    /// For tokens. `None` only if the crypto itself fails.
    pub(crate) fn text_secret(&self) -> Option<Zeroizing<[u8; KEY_LEN]>> {
        let mut secret = Zeroizing::new([0; KEY_LEN]);
        expand(&self.0, b"sidekey cache 1: texts", secret.as_mut())?;
        Some(secret)
    }
}

/// Seals and opens records.
pub(super) struct Sealer {
    keys: Vec<(Kind, RandomizedNonceKey)>,
    root: Prk,
}

impl Sealer {
    pub(super) fn new(key: &DataKey) -> Option<Self> {
        let root = Salt::new(HKDF_SHA256, b"sidekey cache 1").extract(key.0.as_ref());
        let keys = KINDS
            .iter()
            .map(|kind| {
                Some((*kind, aead(&root, format!("sidekey cache 1: record {}", *kind as u8).as_bytes())?))
            })
            .collect::<Option<_>>()?;
        Some(Self { keys, root })
    }

    /// What this file's hashes are made with.
    pub(super) fn root(&self) -> Root {
        Root(self.root.clone())
    }

    /// `None` only if the crypto itself fails.
    pub(super) fn seal(&self, kind: Kind, id: u64, plain: Vec<u8>) -> Option<Vec<u8>> {
        seal(self.key(kind)?, &beside(kind, id), plain)
    }

    /// `None` for whatever was not sealed by this key for this place.
    pub(super) fn open(&self, kind: Kind, id: u64, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        open(self.key(kind)?, &beside(kind, id), sealed)
    }

    fn key(&self, kind: Kind) -> Option<&RandomizedNonceKey> {
        self.keys.iter().find(|(of, _)| *of == kind).map(|(_, key)| key)
    }
}

/// A record's place is sealed with it, so that none can be put in another's.
fn beside(kind: Kind, id: u64) -> [u8; 10] {
    let mut beside = [super::record::FORMAT, kind as u8, 0, 0, 0, 0, 0, 0, 0, 0];
    if let Some(place) = beside.last_chunk_mut() {
        *place = id.to_be_bytes();
    }
    beside
}

fn seal(key: &RandomizedNonceKey, beside: &[u8], plain: Vec<u8>) -> Option<Vec<u8>> {
    let mut plain = Zeroizing::new(plain);
    let mut sealed = Vec::with_capacity(plain.len() + OVERHEAD);
    let (nonce, tag) = key.seal_in_place_separate_tag(Aad::from(beside), &mut plain).ok()?;
    sealed.extend_from_slice(nonce.as_ref());
    sealed.extend_from_slice(&plain);
    sealed.extend_from_slice(tag.as_ref());
    Some(sealed)
}

fn open(key: &RandomizedNonceKey, beside: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut opened = Zeroizing::new(sealed.to_vec());
    let length = key.open_in_place(nonce, Aad::from(beside), &mut opened).ok()?.len();
    opened.truncate(length);
    Some(opened)
}

fn aead(root: &Prk, purpose: &[u8]) -> Option<RandomizedNonceKey> {
    let mut key = Zeroizing::new([0; KEY_LEN]);
    expand(root, purpose, key.as_mut())?;
    RandomizedNonceKey::new(&AES_256_GCM_SIV, key.as_ref()).ok()
}

fn expand(root: &Prk, purpose: &[u8], into: &mut [u8]) -> Option<()> {
    root.expand(&[purpose], Length(into.len())).and_then(|material| material.fill(into)).ok()
}

/// Bytes to derive.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sealer() -> Sealer {
        Sealer::new(&DataKey(Zeroizing::new([7; 32]))).unwrap()
    }

    #[test]
    fn a_record_opens_in_its_own_place_alone() {
        let sealer = sealer();
        let sealed = sealer.seal(Kind::Lease, 5, b"canary".to_vec()).unwrap();
        assert_eq!(sealer.open(Kind::Lease, 5, &sealed).unwrap().as_slice(), b"canary");
        assert!(sealer.open(Kind::Lease, 6, &sealed).is_none());
        assert!(sealer.open(Kind::Token, 5, &sealed).is_none());
        assert!(!sealed.windows(6).any(|part| part == b"canary"));
        assert_ne!(sealer.seal(Kind::Lease, 5, b"canary".to_vec()).unwrap(), sealed, "a nonce twice");
        let other = Sealer::new(&DataKey(Zeroizing::new([8; 32]))).unwrap();
        assert!(other.open(Kind::Lease, 5, &sealed).is_none());
        let secret = |sealer: &Sealer, rules: &[u8]| sealer.root().request_secret(rules).unwrap();
        assert_eq!(secret(&sealer, b"a"), secret(&self::sealer(), b"a"));
        assert_ne!(secret(&sealer, b"a"), secret(&sealer, b"b"));
        assert_ne!(secret(&sealer, b"a"), secret(&other, b"a"));
        assert_ne!(sealer.root().text_secret(), other.root().text_secret());
    }

    proptest! {
        #[test]
        fn every_flipped_bit_is_seen(plain in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let sealer = sealer();
            let mut sealed = sealer.seal(Kind::Token, 1, plain).unwrap();
            let at = at.index(sealed.len());
            sealed[at] ^= 1 << bit;
            prop_assert!(sealer.open(Kind::Token, 1, &sealed).is_none());
        }

        #[test]
        fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(sealer().open(Kind::Token, 1, &bytes).is_none());
        }
    }
}
