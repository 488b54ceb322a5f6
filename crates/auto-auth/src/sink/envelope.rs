//! The envelope of an encrypted sink: X25519, AES-256-GCM, and perhaps HKDF between them, as the agents of HashiCorp
//! and OpenBao make it.
//!
//! The reader makes a pair of keys and gives us the public one in a file. For each envelope we make a pair of our
//! own, and put its public key in. Both sides come to the same secret, and nobody else can.

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::agreement::{self, UnparsedPublicKey, X25519};
use aws_lc_rs::encoding::{AsBigEndian as _, Curve25519SeedBin};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use thiserror::Error;
use vault::SecretString;
use zeroize::{Zeroize as _, Zeroizing};

/// Length of every key here, in bytes.
const KEY: usize = 32;

/// Names in the files.
const PUBLIC: &str = "curve25519_public_key";
const PRIVATE: &str = "curve25519_private_key";

/// Why there is no envelope, or nothing came out of one. No text holds a key or a token.
#[derive(Debug, Error)]
pub enum EnvelopeError {
    /// A file of keys, or an envelope, that is none.
    #[error("it is no JSON object with {0}")]
    Json(&'static str),
    /// A field that is not base64.
    #[error("{0} is not base64 (the standard alphabet, padded)")]
    Base64(&'static str),
    /// A key or nonce of another length.
    #[error("{name} is {found} bytes long instead of {wanted}")]
    Length {
        /// The field.
        name: &'static str,
        /// Its length.
        found: usize,
        /// What it should be.
        wanted: usize,
    },
    /// A key of small order: everybody would know the secret.
    #[error("{PUBLIC} is no usable key: the shared secret would be known to everybody")]
    WeakKey,
    /// Our own key given back to us.
    #[error("{PUBLIC} is our own key")]
    SameKey,
    /// There is nothing to encrypt.
    #[error("there is nothing to encrypt")]
    Empty,
    /// The tag does not fit.
    #[error(
        "it cannot be decrypted: it was made for another key, or with other additional data (`aad`), or `derive_key` differs"
    )]
    Refused,
    /// The cryptographic library failed.
    #[error("the cryptographic library failed")]
    Crypto,
}

/// How the secret of both keys becomes a key, and what the envelope vouches for beside its content.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    /// HKDF-SHA256, with the smaller public key as salt and the larger one as info; else the secret is the key.
    pub derive_key: bool,
    /// Additional authenticated data.
    pub aad: &'a [u8],
}

/// A public key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PublicKey([u8; KEY]);

impl PublicKey {
    /// From `{"curve25519_public_key": "…"}`; other fields are passed over.
    ///
    /// # Errors
    /// It is no such object, or the key is no key or one of small order.
    pub fn parse(json: &[u8]) -> Result<Self, EnvelopeError> {
        let key = Self(Object::parse(json, PUBLIC)?.array(PUBLIC)?);
        // Tried out here, so that a key of no use is never taken for one.
        KeyPair::generate()?.shared_key(key, false)?;
        Ok(key)
    }

    /// As a file for `dh_path`.
    pub fn to_json(&self) -> String {
        format!("{{\"{PUBLIC}\":\"{}\"}}\n", BASE64.encode(self.0))
    }
}

/// A pair of keys.
pub struct KeyPair {
    private: agreement::PrivateKey,
    public: PublicKey,
}

impl KeyPair {
    /// A fresh pair.
    ///
    /// # Errors
    /// [`EnvelopeError::Crypto`].
    pub fn generate() -> Result<Self, EnvelopeError> {
        Self::new(agreement::PrivateKey::generate(&X25519).map_err(|_| EnvelopeError::Crypto)?)
    }

    /// From what [`KeyPair::to_json`] wrote.
    ///
    /// # Errors
    /// It is no such object, or the key is no key.
    pub fn parse(json: &[u8]) -> Result<Self, EnvelopeError> {
        let bytes = Zeroizing::new(Object::parse(json, PRIVATE)?.array::<KEY>(PRIVATE)?);
        Self::new(
            agreement::PrivateKey::from_private_key(&X25519, bytes.as_slice())
                .map_err(|_| EnvelopeError::Crypto)?,
        )
    }

    fn new(private: agreement::PrivateKey) -> Result<Self, EnvelopeError> {
        let public = private.compute_public_key().map_err(|_| EnvelopeError::Crypto)?;
        let public = public.as_ref().try_into().map_err(|_| EnvelopeError::Crypto)?;
        Ok(Self { private, public: PublicKey(public) })
    }

    /// The half that others may know.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// Both halves, for the reader's own file.
    ///
    /// # Errors
    /// [`EnvelopeError::Crypto`].
    pub fn to_json(&self) -> Result<SecretString, EnvelopeError> {
        let private: Curve25519SeedBin<'_> = self.private.as_be_bytes().map_err(|_| EnvelopeError::Crypto)?;
        let (public, private) =
            (BASE64.encode(self.public.0), Zeroizing::new(BASE64.encode(private.as_ref())));
        let json = format!("{{\"{PUBLIC}\":\"{public}\",\"{PRIVATE}\":\"{}\"}}\n", *private);
        Ok(SecretString::new(json))
    }

    /// The key that both sides come to.
    fn shared_key(&self, theirs: PublicKey, derive: bool) -> Result<RandomizedNonceKey, EnvelopeError> {
        let ours = self.public.0;
        let to_key =
            |key: &[u8]| RandomizedNonceKey::new(&AES_256_GCM, key).map_err(|_| EnvelopeError::Crypto);
        let theirs_unparsed = UnparsedPublicKey::new(&X25519, theirs.0);
        agreement::agree(&self.private, theirs_unparsed, EnvelopeError::WeakKey, |secret| {
            // The library refuses it already; here it must not depend on that.
            if secret.iter().all(|byte| *byte == 0) {
                return Err(EnvelopeError::WeakKey);
            }
            if !derive {
                return to_key(secret);
            }
            let (salt, info) = match ours.cmp(&theirs.0) {
                std::cmp::Ordering::Less => (ours, theirs.0),
                std::cmp::Ordering::Greater => (theirs.0, ours),
                std::cmp::Ordering::Equal => return Err(EnvelopeError::SameKey),
            };
            let mut key = Zeroizing::new([0; KEY]);
            let derived = Salt::new(HKDF_SHA256, &salt).extract(secret);
            let filled = derived.expand(&[&info], HKDF_SHA256).and_then(|okm| okm.fill(key.as_mut_slice()));
            filled.map_err(|_| EnvelopeError::Crypto)?;
            to_key(key.as_slice())
        })
    }
}

/// Encrypts for the owner of `theirs`, with a fresh key of our own: one line of JSON and a newline.
///
/// # Errors
/// A key that cannot be used, or nothing to encrypt.
pub fn seal(plain: &[u8], theirs: PublicKey, binding: Binding<'_>) -> Result<Vec<u8>, EnvelopeError> {
    if plain.is_empty() {
        return Err(EnvelopeError::Empty);
    }
    let ours = KeyPair::generate()?;
    let key = ours.shared_key(theirs, binding.derive_key)?;
    // With room for the tag, so that the plain text is not copied about when it is appended.
    let mut payload = Vec::with_capacity(plain.len() + AES_256_GCM.tag_len());
    payload.extend_from_slice(plain);
    let Ok(nonce) = key.seal_in_place_append_tag(Aad::from(binding.aad), &mut payload) else {
        payload.zeroize();
        return Err(EnvelopeError::Crypto);
    };
    let (ours, nonce, payload) =
        (BASE64.encode(ours.public.0), BASE64.encode(nonce.as_ref()), BASE64.encode(payload));
    let line =
        format!("{{\"{PUBLIC}\":\"{ours}\",\"nonce\":\"{nonce}\",\"encrypted_payload\":\"{payload}\"}}\n");
    Ok(line.into_bytes())
}

/// What is in an envelope that was made for `ours`.
///
/// # Errors
/// It is no envelope, or none for this key and binding.
pub fn open(
    envelope: &[u8],
    ours: &KeyPair,
    binding: Binding<'_>,
) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
    let envelope = Object::parse(envelope, PUBLIC)?;
    let theirs = PublicKey(envelope.array(PUBLIC)?);
    let nonce = Nonce::assume_unique_for_key(envelope.array("nonce")?);
    let mut payload = Zeroizing::new(envelope.bytes("encrypted_payload")?);
    let key = ours.shared_key(theirs, binding.derive_key)?;
    let length = key
        .open_in_place(nonce, Aad::from(binding.aad), payload.as_mut_slice())
        .map_err(|_| EnvelopeError::Refused)?
        .len();
    payload.truncate(length);
    Ok(payload)
}

/// A JSON object whose fields are base64.
struct Object(serde_json::Map<String, Value>);

impl Object {
    /// `wanted` is what it should hold, for the message.
    fn parse(json: &[u8], wanted: &'static str) -> Result<Self, EnvelopeError> {
        serde_json::from_slice(json).map(Self).map_err(|_| EnvelopeError::Json(wanted))
    }

    fn bytes(&self, name: &'static str) -> Result<Vec<u8>, EnvelopeError> {
        let text = self.0.get(name).and_then(Value::as_str).ok_or(EnvelopeError::Json(name))?;
        BASE64.decode(text).map_err(|_| EnvelopeError::Base64(name))
    }

    fn array<const N: usize>(&self, name: &'static str) -> Result<[u8; N], EnvelopeError> {
        let mut bytes = self.bytes(name)?;
        let array = bytes.as_slice().try_into();
        let found = bytes.len();
        bytes.zeroize();
        array.map_err(|_| EnvelopeError::Length { name, found, wanted: N })
    }
}

/// Private keys were in it.
impl Drop for Object {
    fn drop(&mut self) {
        for value in self.0.values_mut() {
            if let Value::String(text) = value {
                text.zeroize();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Binding<'static> = Binding { derive_key: false, aad: b"" };

    #[test]
    fn what_was_sealed_opens_with_the_same_key_and_binding_alone() {
        let reader = KeyPair::generate().unwrap();
        let theirs = PublicKey::parse(reader.public().to_json().as_bytes()).unwrap();
        let reader = KeyPair::parse(reader.to_json().unwrap().expose().as_bytes()).unwrap();
        assert_eq!(reader.public(), theirs);
        let bindings = [
            PLAIN,
            Binding { derive_key: true, aad: b"" },
            Binding { derive_key: false, aad: b"aad" },
            Binding { derive_key: true, aad: b"aad" },
        ];
        // Both orders of the keys come up.
        for _ in 0..8 {
            for (i, made) in bindings.iter().enumerate() {
                let envelope = seal(b"s.token", theirs, *made).unwrap();
                assert_eq!(envelope.last(), Some(&b'\n'));
                for (j, tried) in bindings.iter().enumerate() {
                    match open(&envelope, &reader, *tried) {
                        Ok(plain) => assert_eq!((i, plain.as_slice()), (j, &b"s.token"[..])),
                        Err(error) => assert!(i != j && matches!(error, EnvelopeError::Refused), "{error}"),
                    }
                }
                assert!(open(&envelope, &KeyPair::generate().unwrap(), *made).is_err());
            }
        }
    }

    #[test]
    fn each_envelope_has_a_key_of_its_own() {
        let theirs = KeyPair::generate().unwrap().public();
        let key = |envelope: Vec<u8>| PublicKey::parse(&envelope).unwrap();
        let (one, two) = (seal(b"s.t", theirs, PLAIN).unwrap(), seal(b"s.t", theirs, PLAIN).unwrap());
        assert_ne!(key(one), key(two));
        assert!(matches!(seal(b"", theirs, PLAIN), Err(EnvelopeError::Empty)));
    }

    /// Made by Python's `cryptography` from fixed keys.
    #[test]
    fn envelopes_of_others_open() {
        let key =
            KeyPair::parse(br#"{"curve25519_private_key":"AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="}"#);
        let key = key.unwrap();
        assert_eq!(
            key.public().to_json(),
            "{\"curve25519_public_key\":\"B6N8vBQgk8i3VdwbEOhstCY3StFqqFPtC9/AsrhtHHw=\"}\n"
        );
        for (derive_key, payload) in
            [(false, "r4l16qNvLMCkPU5xNJG1w8x1vI5G3xmg"), (true, "N9UrKYsQ9G8w+AEYWgMlBikjb5sla4i/")]
        {
            let envelope = format!(
                "{{\"{PUBLIC}\":\"VxR2nRFr92Q2rnS8eT0sMK0ZA8WaxSc4BcfiaYtBDDY=\",\"nonce\":\"AAECAwQFBgcICQoL\",\"encrypted_payload\":\"{payload}\"}}\n"
            );
            let plain = open(envelope.as_bytes(), &key, Binding { derive_key, aad: b"aad" }).unwrap();
            assert_eq!(plain.as_slice(), b"s.vector");
        }
    }

    #[test]
    fn bad_keys_are_told_apart() {
        let file = |key: &str| format!("{{\"{PUBLIC}\":\"{key}\"}}");
        for (json, says) in [
            (String::new(), "no JSON object"),
            ("[]".to_owned(), "no JSON object"),
            ("{}".to_owned(), "no JSON object with curve25519_public_key"),
            (file("???"), "is not base64"),
            (file(&BASE64.encode([1; 31])), "is 31 bytes long instead of 32"),
            (file(""), "is 0 bytes long instead of 32"),
        ] {
            let error = PublicKey::parse(json.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(says), "{json}: {error}");
        }
        // Points of small order: zero, one, and the others of RFC 7748's security considerations.
        let mut one = [0; KEY];
        one[0] = 1;
        let mut minus_one = [0xff; KEY];
        (minus_one[0], minus_one[31]) = (0xec, 0x7f);
        for weak in [[0; KEY], one, minus_one] {
            for derive_key in [false, true] {
                let sealed = seal(b"s.t", PublicKey(weak), Binding { derive_key, aad: b"" });
                assert!(matches!(sealed, Err(EnvelopeError::WeakKey)), "{weak:?}");
            }
            let parsed = PublicKey::parse(PublicKey(weak).to_json().as_bytes());
            assert!(matches!(parsed, Err(EnvelopeError::WeakKey)), "{weak:?}");
        }
    }

    #[test]
    fn damaged_envelopes_are_errors() {
        let reader = KeyPair::generate().unwrap();
        let envelope = String::from_utf8(seal(b"s.token", reader.public(), PLAIN).unwrap()).unwrap();
        for damaged in [
            String::new(),
            "{}".to_owned(),
            envelope.replace("nonce", "once"),
            envelope.replace("encrypted_payload\":\"", "encrypted_payload\":\"AAAA"),
            format!(
                "{{\"{PUBLIC}\":\"{}\",\"nonce\":\"AAAA\",\"encrypted_payload\":\"\"}}",
                BASE64.encode([9; 32])
            ),
            format!(
                "{{\"{PUBLIC}\":\"{}\",\"nonce\":\"AAAAAAAAAAAAAAAA\",\"encrypted_payload\":\"\"}}",
                BASE64.encode([9; 32])
            ),
        ] {
            assert!(open(damaged.as_bytes(), &reader, PLAIN).is_err(), "{damaged}");
        }
    }

    #[test]
    fn a_reader_is_no_writer() {
        let reader = KeyPair::generate().unwrap();
        let theirs = reader.public();
        assert!(matches!(reader.shared_key(theirs, true), Err(EnvelopeError::SameKey)));
    }
}
