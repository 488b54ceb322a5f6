//! Names of tokens, and of what they read, that tell neither.

use aws_lc_rs::hmac;

use super::meaning::{BodyKey, Variant};
use crate::disk::Root;

/// A token by its keyed hash: comparing and finding need no token.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct TokenHash([u8; 16]);

impl TokenHash {
    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

/// Makes them.
pub(crate) struct Hasher(hmac::Key);

impl Hasher {
    /// With a secret of this process, or with one that outlives it, so that who has read is known again.
    pub(crate) fn new(root: Option<&Root>) -> Self {
        let secret = root.and_then(Root::reader_secret).unwrap_or_else(|| {
            let mut secret = zeroize::Zeroizing::new([0; 32]);
            if aws_lc_rs::rand::fill(&mut *secret).is_err() {
                // The system's randomness does not fail once it has started; without it nothing here could run.
                fastrand::fill(&mut *secret);
            }
            secret
        });
        Self(hmac::Key::new(hmac::HMAC_SHA256, &*secret))
    }

    pub(crate) fn hash(&self, token: &str) -> TokenHash {
        self.tag(token.as_bytes())
    }

    /// Of what is asked for; no token has a line end in it.
    pub(crate) fn name(&self, key: &BodyKey) -> TokenHash {
        let variant = match key.variant {
            Variant::Latest => "latest".to_owned(),
            Variant::Version(number) => number.to_string(),
            Variant::List => "list".to_owned(),
        };
        self.tag(format!("secret\n{variant}\n{}", key.place).as_bytes())
    }

    fn tag(&self, of: &[u8]) -> TokenHash {
        let tag = hmac::sign(&self.0, of);
        let mut hash = [0; 16];
        for (to, from) in hash.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        TokenHash(hash)
    }
}
