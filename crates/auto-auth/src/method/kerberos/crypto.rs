//! The encryption types of RFC 3962 (AES with SHA-1) and RFC 8009 (AES with SHA-2). Older ones (DES, RC4) are broken
//! and are not offered.

use aws_lc_rs::cipher::{
    AES_128, AES_256, DecryptingKey, DecryptionContext, EncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::{constant_time, hmac, rand};
use zeroize::Zeroizing;

/// Bytes of an AES block, which is the length of a confounder too.
const BLOCK: usize = 16;

/// How a key encrypts and signs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Enctype {
    Aes128Sha1,
    Aes256Sha1,
    Aes128Sha256,
    Aes256Sha384,
}

/// What a derived key is for: the last byte of what it is derived from (RFC 3961 section 5.3).
#[derive(Clone, Copy)]
enum Purpose {
    Checksum = 0x99,
    Encryption = 0xaa,
    Integrity = 0x55,
}

impl Enctype {
    /// The best first.
    pub(super) const ALL: [Self; 4] =
        [Self::Aes256Sha384, Self::Aes256Sha1, Self::Aes128Sha256, Self::Aes128Sha1];

    /// By its number in messages and keytabs.
    pub(super) fn new(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|enctype| enctype.number() == number)
    }

    pub(super) fn number(self) -> i64 {
        match self {
            Self::Aes128Sha1 => 17,
            Self::Aes256Sha1 => 18,
            Self::Aes128Sha256 => 19,
            Self::Aes256Sha384 => 20,
        }
    }

    /// The number of its checksums.
    pub(super) fn checksum_number(self) -> i64 {
        match self {
            Self::Aes128Sha1 => 15,
            Self::Aes256Sha1 => 16,
            Self::Aes128Sha256 => 19,
            Self::Aes256Sha384 => 20,
        }
    }

    fn key_length(self) -> usize {
        match self {
            Self::Aes128Sha1 | Self::Aes128Sha256 => 16,
            Self::Aes256Sha1 | Self::Aes256Sha384 => 32,
        }
    }

    fn hash(self) -> hmac::Algorithm {
        match self {
            Self::Aes128Sha1 | Self::Aes256Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Aes128Sha256 => hmac::HMAC_SHA256,
            Self::Aes256Sha384 => hmac::HMAC_SHA384,
        }
    }

    /// Bytes of a checksum.
    fn tag_length(self) -> usize {
        match self {
            Self::Aes128Sha1 | Self::Aes256Sha1 => 12,
            Self::Aes128Sha256 => 16,
            Self::Aes256Sha384 => 24,
        }
    }

    /// RFC 8009 signs what was encrypted, the older types what is encrypted.
    fn signs_the_ciphertext(self) -> bool {
        matches!(self, Self::Aes128Sha256 | Self::Aes256Sha384)
    }
}

/// A key with its type.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) enctype: Enctype,
    bytes: Zeroizing<Vec<u8>>,
}

/// Not the key.
impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Key").field(&self.enctype).finish()
    }
}

impl Key {
    /// `None` for types we have not, and for keys of another length.
    pub(super) fn new(enctype: i64, bytes: &[u8]) -> Option<Self> {
        let enctype = Enctype::new(enctype).filter(|enctype| enctype.key_length() == bytes.len())?;
        Some(Self { enctype, bytes: Zeroizing::new(bytes.to_vec()) })
    }

    /// Encrypts and signs. `usage` tells one message's use of a key from another's (RFC 4120 section 7.5.1).
    ///
    /// # Errors
    /// The library's own.
    pub(super) fn encrypt(&self, usage: u32, plain: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let mut confounder = [0; BLOCK];
        rand::fill(&mut confounder)?;
        self.encrypt_with(confounder, usage, plain)
    }

    fn encrypt_with(
        &self,
        confounder: [u8; BLOCK],
        usage: u32,
        plain: &[u8],
    ) -> Result<Vec<u8>, Unspecified> {
        let text = Zeroizing::new([&confounder, plain].concat());
        let mut sealed = text.to_vec();
        cts_encrypt(&self.derived(usage, Purpose::Encryption)?, &mut sealed)?;
        let tag = self.tag(usage, &text, &sealed)?;
        sealed.extend(tag);
        Ok(sealed)
    }

    /// What [`Self::encrypt`] made.
    ///
    /// # Errors
    /// It was made with another key or for another use, or was changed on its way.
    pub(super) fn decrypt(&self, usage: u32, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
        let length = sealed.len().checked_sub(self.enctype.tag_length()).ok_or(Unspecified)?;
        let (sealed, tag) = sealed.split_at_checked(length).ok_or(Unspecified)?;
        let mut text = Zeroizing::new(sealed.to_vec());
        cts_decrypt(&self.derived(usage, Purpose::Encryption)?, &mut text)?;
        constant_time::verify_slices_are_equal(&self.tag(usage, &text, sealed)?, tag)?;
        // A text shorter than a block did not pass the decryption.
        let plain = text.get(BLOCK..).unwrap_or_default();
        Ok(Zeroizing::new(plain.to_vec()))
    }

    /// Signs.
    ///
    /// # Errors
    /// The library's own.
    pub(super) fn checksum(&self, usage: u32, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let key = self.derived(usage, Purpose::Checksum)?;
        Ok(self.signed(&key, message))
    }

    fn tag(&self, usage: u32, text: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let key = self.derived(usage, Purpose::Integrity)?;
        if self.enctype.signs_the_ciphertext() {
            // The initial vector, always zero here, belongs to what is signed.
            return Ok(self.signed(&key, &[&[0; BLOCK], sealed].concat()));
        }
        Ok(self.signed(&key, text))
    }

    fn signed(&self, key: &[u8], message: &[u8]) -> Vec<u8> {
        let tag = hmac::sign(&hmac::Key::new(self.enctype.hash(), key), message);
        tag.as_ref().iter().take(self.enctype.tag_length()).copied().collect()
    }

    fn derived(&self, usage: u32, purpose: Purpose) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
        let [a, b, c, d] = usage.to_be_bytes();
        let label = [a, b, c, d, purpose as u8];
        if !self.enctype.signs_the_ciphertext() {
            return derive_sha1(&self.bytes, &label);
        }
        let length = match purpose {
            Purpose::Encryption => self.enctype.key_length(),
            _ => self.enctype.tag_length(),
        };
        // RFC 8009 section 3: the counter, the label, a zero, the length in bits.
        let bits = u32::try_from(length * 8).map_err(|_| Unspecified)?;
        let input = [&1_u32.to_be_bytes()[..], &label, &[0], &bits.to_be_bytes()].concat();
        let tag = hmac::sign(&hmac::Key::new(self.enctype.hash(), &self.bytes), &input);
        Ok(Zeroizing::new(tag.as_ref().iter().take(length).copied().collect()))
    }
}

/// DK of RFC 3961 section 5.1: the constant is encrypted again and again until there are bytes enough for a key.
fn derive_sha1(key: &[u8], constant: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
    let aes = encrypting(key)?;
    let mut block = fold(constant, BLOCK);
    let mut derived = Zeroizing::new(Vec::new());
    while derived.len() < key.len() {
        aes.encrypt(&mut block)?;
        derived.extend(&block);
    }
    Ok(derived)
}

/// n-fold of RFC 3961 section 5.1: copies of the input, each turned right by 13 bits more, are cut into pieces of
/// the output's length, and the pieces are added in ones' complement.
fn fold(input: &[u8], length: usize) -> Vec<u8> {
    let bits = input.len() * 8;
    let bit = |at: usize| input.get(at / 8).is_some_and(|byte| byte & (0x80 >> (at % 8)) != 0);
    let total = (1..=length).map(|times| times * input.len()).find(|total| total % length == 0).unwrap_or(0);
    let turned = (0..total).map(|nth| {
        let turn = 13 * (nth / input.len());
        (0..8).fold(0_u8, |byte, k| {
            let at = (nth % input.len() * 8 + k + turn * bits - turn) % bits;
            byte << 1 | u8::from(bit(at))
        })
    });
    let turned: Vec<u8> = turned.collect();
    let mut sum = vec![0; length];
    for piece in turned.chunks(length) {
        let mut carry = add(&mut sum, piece, 0);
        while carry > 0 {
            carry = add(&mut sum, &vec![0; length], carry);
        }
    }
    sum
}

/// Adds numbers of equal length; gives what is carried over their front.
fn add(sum: &mut [u8], other: &[u8], mut carry: u16) -> u16 {
    for (byte, other) in sum.iter_mut().zip(other).rev() {
        carry += u16::from(*byte) + u16::from(*other);
        *byte = (carry & 0xff) as u8;
        carry >>= 8;
    }
    carry
}

fn unbound(key: &[u8]) -> Result<UnboundCipherKey, Unspecified> {
    UnboundCipherKey::new(if key.len() == 16 { &AES_128 } else { &AES_256 }, key)
}

/// Single blocks: the chaining with a stolen text is ours.
fn encrypting(key: &[u8]) -> Result<EncryptingKey, Unspecified> {
    EncryptingKey::ecb(unbound(key)?)
}

/// CBC with ciphertext stealing and a zero initial vector (RFC 3962 section 5): the last two blocks change places,
/// and the padding is cut off.
fn cts_encrypt(key: &[u8], text: &mut Vec<u8>) -> Result<(), Unspecified> {
    let length = text.len();
    let aes = encrypting(key)?;
    text.resize(length.next_multiple_of(BLOCK), 0);
    let (blocks, _) = text.as_chunks_mut::<BLOCK>();
    let mut before = [0; BLOCK];
    for block in blocks.iter_mut() {
        xor(block, &before);
        aes.encrypt(block)?;
        before = *block;
    }
    if let [.., one, other] = blocks {
        std::mem::swap(one, other);
    }
    text.truncate(length);
    Ok(())
}

fn cts_decrypt(key: &[u8], text: &mut Vec<u8>) -> Result<(), Unspecified> {
    let length = text.len();
    if length < BLOCK {
        return Err(Unspecified);
    }
    let aes = DecryptingKey::ecb(unbound(key)?)?;
    text.resize(length.next_multiple_of(BLOCK), 0);
    let present = BLOCK - (text.len() - length);
    let (blocks, _) = text.as_chunks_mut::<BLOCK>();
    if let [.., one, cut] = blocks {
        // What was cut off stands in the other block: there the padding was zeros.
        let mut opened = *one;
        aes.decrypt(&mut opened, DecryptionContext::None)?;
        for (byte, missing) in cut.iter_mut().zip(opened).skip(present) {
            *byte = missing;
        }
        std::mem::swap(one, cut);
    }
    let mut before = [0; BLOCK];
    for block in blocks {
        let sealed = *block;
        aes.decrypt(block, DecryptionContext::None)?;
        xor(block, &before);
        before = sealed;
    }
    text.truncate(length);
    Ok(())
}

fn xor(block: &mut [u8; BLOCK], other: &[u8; BLOCK]) {
    for (byte, other) in block.iter_mut().zip(other) {
        *byte ^= other;
    }
}

#[cfg(test)]
mod tests;
