//! Secrets of KV mounts and who has read them, as they lie on disk, before they are sealed. A token is named by its
//! keyed hash alone, and so is what it has read. Pure.

use http::HeaderMap;
use vault::SecretString;
use zeroize::Zeroizing;

use super::bytes::{Reader, Writer};
use super::record::{Kind, Wall};

/// Which answer of a path it is. The numbers stand in files.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum StoredVariant {
    Latest,
    Version(u64),
    List,
}

/// A secret.
#[derive(PartialEq)]
pub(crate) struct StoredBody {
    pub(crate) id: u64,
    /// The namespace of the header.
    pub(crate) namespace: Option<Box<str>>,
    /// The path without `/v1/` and without that namespace.
    pub(crate) path: Box<str>,
    pub(crate) variant: StoredVariant,
    /// Number and time of its version.
    pub(crate) version: Option<(u64, String)>,
    /// Milliseconds that the server says it is good.
    pub(crate) at_most: Option<u64>,
    /// When it was asked for, or confirmed.
    pub(crate) since: Wall,
    pub(crate) headers: HeaderMap,
    pub(crate) text: Zeroizing<Box<[u8]>>,
}

impl std::fmt::Debug for StoredBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredBody").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A token, and what it has read.
#[derive(Debug, PartialEq)]
pub(crate) struct StoredReader {
    pub(crate) id: u64,
    pub(crate) hash: [u8; 16],
    /// When it ends; `None`: it does not.
    pub(crate) until: Option<Wall>,
    pub(crate) orphan: bool,
    pub(crate) accessor: Option<SecretString>,
    /// What, hashed, and when the request was sent that the server answered with a yes.
    pub(crate) grants: Vec<([u8; 16], Wall)>,
}

impl StoredBody {
    /// What it takes, about.
    pub(super) fn size(&self) -> usize {
        self.text.len()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut to = Writer::default();
        to.maybe(self.namespace.as_deref(), Writer::text);
        to.text(&self.path);
        let (sort, number) = match self.variant {
            StoredVariant::Latest => (0, 0),
            StoredVariant::Version(number) => (1, number),
            StoredVariant::List => (2, 0),
        };
        to.byte(sort);
        to.number(number);
        to.maybe(self.version.as_ref(), |to, (number, made)| {
            to.number(*number);
            to.text(made);
        });
        to.maybe(self.at_most, Writer::number);
        to.number(self.since);
        to.headers(&self.headers);
        to.bytes(&self.text);
        to.take()
    }

    /// `None` for bytes that are no secret.
    pub(super) fn decode(id: u64, bytes: &[u8]) -> Option<Self> {
        let from = &mut Reader(bytes);
        let namespace = from.maybe(Reader::text)?.map(Into::into);
        let path = from.text()?.into();
        let variant = match (from.byte()?, from.number()?) {
            (0, 0) => StoredVariant::Latest,
            (1, number) => StoredVariant::Version(number),
            (2, 0) => StoredVariant::List,
            _ => return None,
        };
        let version = from.maybe(|from| Some((from.number()?, from.text()?.to_owned())))?;
        let at_most = from.maybe(Reader::number)?;
        let since = from.number()?;
        let headers = from.headers()?;
        let text = Zeroizing::new(from.bytes()?.into());
        from.end()?;
        Some(Self { id, namespace, path, variant, version, at_most, since, headers, text })
    }
}

impl StoredReader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut to = Writer::default();
        to.bytes(&self.hash);
        to.maybe(self.until, Writer::number);
        to.byte(u8::from(self.orphan));
        to.maybe(self.accessor.as_ref(), |to, accessor| to.text(accessor.expose()));
        to.number(self.grants.len() as u64);
        for (what, since) in &self.grants {
            to.bytes(what);
            to.number(*since);
        }
        to.take()
    }

    /// `None` for bytes that are no reader.
    pub(super) fn decode(id: u64, bytes: &[u8]) -> Option<Self> {
        let from = &mut Reader(bytes);
        let hash = from.bytes()?.try_into().ok()?;
        let until = from.maybe(Reader::number)?;
        let orphan = from.flag()?;
        let accessor = from.maybe(Reader::text)?.map(SecretString::from);
        let mut grants = Vec::new();
        for _ in 0..from.number()? {
            grants.push((from.bytes()?.try_into().ok()?, from.number()?));
        }
        from.end()?;
        Some(Self { id, hash, until, orphan, accessor, grants })
    }
}

/// What of them is to be written next.
#[derive(Default)]
pub(crate) struct SecretChanges {
    pub(crate) gone: Vec<(Kind, u64)>,
    pub(crate) bodies: Vec<StoredBody>,
    pub(crate) readers: Vec<StoredReader>,
}

impl SecretChanges {
    pub(crate) fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.bodies.is_empty() && self.readers.is_empty()
    }

    /// How many are written.
    pub(super) fn len(&self) -> usize {
        self.bodies.len() + self.readers.len()
    }

    /// Each as it is to be sealed.
    pub(super) fn encoded(&self) -> impl Iterator<Item = (Kind, u64, Vec<u8>)> {
        let bodies = self.bodies.iter().map(|body| (Kind::Body, body.id, body.encode()));
        bodies.chain(self.readers.iter().map(|reader| (Kind::Reader, reader.id, reader.encode())))
    }
}

/// What an earlier run left of them.
#[derive(Debug, Default)]
pub(crate) struct StoredSecrets {
    pub(crate) bodies: Vec<StoredBody>,
    pub(crate) readers: Vec<StoredReader>,
    /// No number up to this one is given again.
    pub(crate) last: u64,
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_come_back_as_they_were() {
        let body = |variant, version, at_most| StoredBody {
            id: 7,
            namespace: Some("ns1/".into()),
            path: "secret/data/app".into(),
            variant,
            version,
            at_most,
            since: 1_000,
            headers: HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static("a/b"))]),
            text: Zeroizing::new(b"canary".as_slice().into()),
        };
        for body in [
            body(StoredVariant::Latest, Some((3, "2026".to_owned())), None),
            body(StoredVariant::Version(9), None, Some(5)),
            body(StoredVariant::List, None, None),
        ] {
            let bytes = body.encode();
            assert_eq!(StoredBody::decode(7, &bytes).as_ref(), Some(&body));
            for length in 0..bytes.len() {
                assert_eq!(StoredBody::decode(7, &bytes[..length]), None, "cut at {length}");
            }
            assert!(!format!("{body:?}").contains("canary"));
        }
        let grants = vec![([1; 16], 5), ([2; 16], 6)];
        let accessor = Some("canary".into());
        let reader = StoredReader { id: 3, hash: [9; 16], until: Some(4), orphan: true, accessor, grants };
        let bytes = reader.encode();
        assert_eq!(StoredReader::decode(3, &bytes).as_ref(), Some(&reader));
        for length in 0..bytes.len() {
            assert_eq!(StoredReader::decode(3, &bytes[..length]), None, "cut at {length}");
        }
        assert!(!format!("{reader:?}").contains("canary"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = (StoredBody::decode(1, &bytes), StoredReader::decode(1, &bytes));
        }
    }
}
