//! One entry of the cache as it lies on disk, before it is sealed. Times are the wall clock's, in milliseconds since
//! 1970; nothing of the request is kept but where it asked and the hash that it is found by. Pure.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use vault::{Accessor, LeaseId, SecretString, Token};

use super::bytes::{Reader, Writer};
use crate::policy::Span;

/// Changes when the meaning of a record does.
pub(super) const FORMAT: u8 = 1;

/// What a record is about. The numbers stand in files.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Our own token: what hangs below it is renewed with it.
    Own = 1,
    /// A token that was handed out, with the answer that held it.
    Token = 2,
    /// A lease, with the answer that held it.
    Lease = 3,
    /// A secret of a KV mount.
    Body = 4,
    /// When the file was last written.
    Stamp = 5,
    /// A token, by its hash, and the secrets that it has read.
    Reader = 6,
}

pub(super) const KINDS: &[Kind] =
    &[Kind::Own, Kind::Token, Kind::Lease, Kind::Body, Kind::Stamp, Kind::Reader];

impl Kind {
    pub(super) fn of(number: u8) -> Option<Self> {
        KINDS.iter().copied().find(|kind| *kind as u8 == number)
    }
}

/// Milliseconds since 1970.
pub(crate) type Wall = u64;

/// One entry.
#[derive(Debug, PartialEq)]
pub(crate) struct Record {
    /// Its number; a parent's is lower than its children's.
    pub(crate) id: u64,
    pub(crate) parent: Option<u64>,
    pub(crate) subject: StoredSubject,
    /// The namespace header, verbatim, and the path.
    pub(crate) namespace: Option<Box<str>>,
    pub(crate) path: Box<str>,
    /// The token that asked for an orphan, hashed.
    pub(crate) asker: Option<u64>,
    pub(crate) life: Option<StoredLife>,
    /// The answer, and the hash of the requests that get it.
    pub(crate) answer: Option<StoredAnswer>,
}

/// What it is about.
#[derive(Debug, PartialEq)]
pub(crate) enum StoredSubject {
    Own { token: SecretString, whose: Option<u64> },
    Token { token: SecretString, accessor: Option<SecretString> },
    Lease { lease: Box<str> },
}

/// How long it lives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct StoredLife {
    pub(crate) granted: Wall,
    /// Milliseconds.
    pub(crate) ttl: u64,
    /// It is not renewed any more.
    pub(crate) fading: bool,
    /// Renewals since somebody was given it.
    pub(crate) idle: u16,
}

/// An answer.
#[derive(PartialEq)]
pub(crate) struct StoredAnswer {
    pub(crate) key: [u8; 16],
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) since: Wall,
    /// Where the body says how long it lives.
    pub(crate) told: Span,
}

impl std::fmt::Debug for StoredAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredAnswer").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Record {
    pub(crate) fn kind(&self) -> Kind {
        match self.subject {
            StoredSubject::Own { .. } => Kind::Own,
            StoredSubject::Token { .. } => Kind::Token,
            StoredSubject::Lease { .. } => Kind::Lease,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut to = Writer::default();
        to.maybe(self.parent, Writer::number);
        match &self.subject {
            StoredSubject::Own { token, whose } => {
                to.text(token.expose());
                to.maybe(*whose, Writer::number);
            }
            StoredSubject::Token { token, accessor } => {
                to.text(token.expose());
                to.maybe(accessor.as_ref(), |to, accessor| to.text(accessor.expose()));
            }
            StoredSubject::Lease { lease } => to.text(lease),
        }
        to.maybe(self.namespace.as_deref(), Writer::text);
        to.text(&self.path);
        to.maybe(self.asker, Writer::number);
        to.maybe(self.life, |to, life| {
            to.number(life.granted);
            to.number(life.ttl);
            to.byte(u8::from(life.fading));
            to.number(life.idle.into());
        });
        to.maybe(self.answer.as_ref(), |to, answer| {
            to.bytes(&answer.key);
            to.number(answer.status.as_u16().into());
            to.headers(&answer.headers);
            to.number(answer.since);
            to.number(answer.told.start.into());
            to.number(answer.told.length.into());
            to.bytes(&answer.body);
        });
        to.take()
    }

    /// `None` for bytes that are no record of this kind.
    pub(super) fn decode(kind: Kind, id: u64, bytes: &[u8]) -> Option<Self> {
        let from = &mut Reader(bytes);
        let secret = |text: &str| (!text.is_empty()).then(|| SecretString::from(text));
        let parent = from.maybe(Reader::number)?;
        let subject = match kind {
            Kind::Own => {
                StoredSubject::Own { token: secret(from.text()?)?, whose: from.maybe(Reader::number)? }
            }
            Kind::Token => {
                let token = secret(from.text()?)?;
                let accessor = from.maybe(Reader::text)?.and_then(secret);
                StoredSubject::Token { token, accessor }
            }
            Kind::Lease => StoredSubject::Lease { lease: from.text()?.into() },
            Kind::Body | Kind::Reader | Kind::Stamp => return None,
        };
        let namespace = from.maybe(Reader::text)?.map(Into::into);
        let path = from.text()?.into();
        let asker = from.maybe(Reader::number)?;
        let life = from.maybe(|from| {
            let (granted, ttl, fading) = (from.number()?, from.number()?, from.flag()?);
            Some(StoredLife { granted, ttl, fading, idle: u16::try_from(from.number()?).ok()? })
        })?;
        let answer = from.maybe(StoredAnswer::decode)?;
        from.end()?;
        Some(Self { id, parent, subject, namespace, path, asker, life, answer })
    }
}

impl StoredAnswer {
    fn decode(from: &mut Reader<'_>) -> Option<Self> {
        let key = from.bytes()?.try_into().ok()?;
        let status = StatusCode::from_u16(u16::try_from(from.number()?).ok()?).ok()?;
        let headers = from.headers()?;
        let since = from.number()?;
        let mut place = || u32::try_from(from.number()?).ok();
        let told = Span { start: place()?, length: place()? };
        let body = Bytes::copy_from_slice(from.bytes()?);
        Some(Self { key, status, headers, body, since, told })
    }
}

/// The nouns, checked again: they will be put into requests.
impl StoredSubject {
    pub(crate) fn token(text: SecretString) -> Option<Token> {
        Token::new(text).ok()
    }

    pub(crate) fn accessor(text: Option<SecretString>) -> Option<Accessor> {
        text.and_then(Accessor::new)
    }

    pub(crate) fn lease(text: Box<str>) -> Option<LeaseId> {
        LeaseId::new(text)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    pub(in crate::disk) fn lease(id: u64, parent: u64) -> Record {
        let mut headers = HeaderMap::new();
        headers.append("x-one", HeaderValue::from_static("1"));
        headers.append("x-one", HeaderValue::from_static("2"));
        Record {
            id,
            parent: Some(parent),
            subject: StoredSubject::Lease { lease: format!("database/creds/app/{id}").into() },
            namespace: Some("ns1/".into()),
            path: "/v1/database/creds/app".into(),
            asker: Some(u64::MAX),
            life: Some(StoredLife { granted: 1_000, ttl: 60_000, fading: true, idle: 7 }),
            answer: Some(StoredAnswer {
                key: [id as u8; 16],
                status: StatusCode::OK,
                headers,
                body: Bytes::from(format!("{{\"password\":\"canary-{id}\"}}")),
                since: 2_000,
                told: Span { start: 3, length: 4 },
            }),
        }
    }

    #[test]
    fn every_kind_comes_back_as_it_was() {
        let bare = |subject| Record {
            id: 9,
            parent: None,
            subject,
            namespace: None,
            path: "".into(),
            asker: None,
            life: None,
            answer: None,
        };
        let records = [
            lease(1, 0),
            bare(StoredSubject::Own { token: "s.own".into(), whose: Some(3) }),
            bare(StoredSubject::Token { token: "s.t".into(), accessor: Some("a".into()) }),
            bare(StoredSubject::Token { token: "s.t".into(), accessor: None }),
        ];
        for record in records {
            let bytes = record.encode();
            assert_eq!(Record::decode(record.kind(), record.id, &bytes).as_ref(), Some(&record));
            for length in 0..bytes.len() {
                assert_eq!(
                    Record::decode(record.kind(), record.id, &bytes[..length]),
                    None,
                    "cut at {length}"
                );
            }
            assert_eq!(Record::decode(record.kind(), record.id, &[bytes.as_slice(), b"x"].concat()), None);
            assert!(!format!("{record:?}").contains("canary"));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(kind in 0u8..8, bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Some(kind) = Kind::of(kind) {
                let _ = Record::decode(kind, 1, &bytes);
            }
        }
    }
}
