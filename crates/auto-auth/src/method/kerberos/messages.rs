//! The messages of RFC 4120, as far as a client with a keytab goes: asking for tickets, and presenting one.

use aws_lc_rs::error::Unspecified;
use zeroize::Zeroizing;

use super::clock::Moment;
use super::crypto::{Enctype, Key};
use super::der::{self, Malformed, Reader, application, field, flags, integer, octets, sequence, text, time};
use super::principal::Principal;

/// Version of the protocol.
const VERSION: i64 = 5;

/// Bit of the request that allows a referral to another realm (RFC 6806): bit 15, the first being the highest.
const CANONICALIZE: u32 = 1 << (31 - 15);

/// Bit of a ticket whose answer confirms the request (RFC 6806 section 11).
pub(super) const ENC_PA_REP: u32 = 1 << (31 - 15);

/// Uses of keys, RFC 4120 section 7.5.1; the last is of RFC 6806.
pub(super) mod usage {
    pub(in super::super) const TIMESTAMP: u32 = 1;
    pub(in super::super) const AS_REPLY: u32 = 3;
    pub(in super::super) const TGS_REQUEST_CHECKSUM: u32 = 6;
    pub(in super::super) const TGS_REQUEST: u32 = 7;
    pub(in super::super) const TGS_REPLY: u32 = 8;
    pub(in super::super) const AP_REQUEST: u32 = 11;
    pub(in super::super) const AS_REQUEST: u32 = 56;
}

/// Kinds of data beside a request.
pub(super) mod padata {
    pub(in super::super) const TGS_REQUEST: i64 = 1;
    pub(in super::super) const TIMESTAMP: i64 = 2;
    pub(in super::super) const ETYPE_INFO2: i64 = 19;
    pub(in super::super) const CONFIRM_REQUEST: i64 = 149;
}

/// Which of two exchanges a message belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Exchange {
    /// The first ticket, with our own key.
    Initial,
    /// A further one, with the first.
    Ticket,
}

impl Exchange {
    fn request(self) -> u8 {
        match self {
            Self::Initial => 10,
            Self::Ticket => 12,
        }
    }

    fn reply(self) -> u8 {
        self.request() + 1
    }
}

/// What is asked for.
pub(super) struct Wish<'a> {
    /// Whose ticket: in the first exchange only.
    pub(super) client: Option<&'a Principal>,
    /// What it is for; its realm is the one asked.
    pub(super) service: &'a Principal,
    pub(super) until: &'a Moment,
    pub(super) nonce: u32,
    pub(super) enctypes: &'a [Enctype],
}

impl Wish<'_> {
    pub(super) fn body(&self) -> Vec<u8> {
        // Only services are looked for elsewhere; we know who we are.
        let options = if self.client.is_none() { CANONICALIZE } else { 0 };
        let enctypes: Vec<Vec<u8>> = self.enctypes.iter().map(|enctype| integer(enctype.number())).collect();
        let mut fields = vec![field(0, &flags(options))];
        fields.extend(self.client.map(|client| field(1, &name(client, PERSON))));
        fields.extend([
            field(2, &text(&self.service.realm)),
            field(3, &name(self.service, SERVICE)),
            field(5, &time(&self.until.text)),
            field(7, &integer(i64::from(self.nonce))),
            field(8, &sequence(&enctypes)),
        ]);
        sequence(&fields)
    }
}

/// A whole request.
pub(super) fn request(exchange: Exchange, padata: &[(i64, Vec<u8>)], body: &[u8]) -> Vec<u8> {
    let padata: Vec<Vec<u8>> = padata
        .iter()
        .map(|(kind, value)| sequence(&[field(1, &integer(*kind)), field(2, &octets(value))]))
        .collect();
    let number = exchange.request();
    let mut fields = vec![field(1, &integer(VERSION)), field(2, &integer(i64::from(number)))];
    if !padata.is_empty() {
        fields.push(field(3, &sequence(&padata)));
    }
    fields.push(field(4, body));
    application(number, &sequence(&fields))
}

/// The time, encrypted: proof that we have the key.
pub(super) fn timestamp(key: &Key, now: &Moment) -> Result<Vec<u8>, Unspecified> {
    let plain = sequence(&[field(0, &time(&now.text)), field(1, &integer(now.micros))]);
    Ok(encrypted(key.enctype, &key.encrypt(usage::TIMESTAMP, &plain)?))
}

/// A ticket with the key that proves it is ours.
pub(super) struct Ticket {
    /// As it came; nobody but its service can open it.
    pub(super) ticket: Vec<u8>,
    pub(super) key: Key,
    pub(super) service: Principal,
}

/// A signed note inside an authenticator.
pub(super) struct Note {
    pub(super) kind: i64,
    pub(super) bytes: Vec<u8>,
}

/// Presents a ticket.
pub(super) fn present(
    ticket: &Ticket,
    client: &Principal,
    now: &Moment,
    usage: u32,
    note: &Note,
    number: u32,
) -> Result<Vec<u8>, Unspecified> {
    let note = sequence(&[field(0, &integer(note.kind)), field(1, &octets(&note.bytes))]);
    let authenticator = application(
        2,
        &sequence(&[
            field(0, &integer(VERSION)),
            field(1, &text(&client.realm)),
            field(2, &name(client, PERSON)),
            field(3, &note),
            field(4, &integer(now.micros)),
            field(5, &time(&now.text)),
            field(7, &integer(i64::from(number))),
        ]),
    );
    let authenticator = encrypted(ticket.key.enctype, &ticket.key.encrypt(usage, &authenticator)?);
    Ok(application(
        14,
        &sequence(&[
            field(0, &integer(VERSION)),
            field(1, &integer(14)),
            field(2, &flags(0)),
            field(3, &ticket.ticket),
            field(4, &authenticator),
        ]),
    ))
}

fn encrypted(enctype: Enctype, cipher: &[u8]) -> Vec<u8> {
    sequence(&[field(0, &integer(enctype.number())), field(2, &octets(cipher))])
}

/// Kinds of names, RFC 4120 section 6.2. Only for a service's name does a KDC tell which realm it is in.
const PERSON: i64 = 1;
const SERVICE: i64 = 2;

fn name(principal: &Principal, kind: i64) -> Vec<u8> {
    let names: Vec<Vec<u8>> = principal.names.iter().map(|name| text(name)).collect();
    sequence(&[field(0, &integer(kind)), field(1, &sequence(&names))])
}

// === Answers ===

/// What came back.
pub(super) enum Reply {
    Ticket(Sealed),
    Refused(Refusal),
}

/// A ticket, and what is to be known of it, encrypted for us.
pub(super) struct Sealed {
    ticket: Vec<u8>,
    pub(super) enctype: i64,
    pub(super) version: Option<i64>,
    cipher: Vec<u8>,
}

/// A refusal.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: i64,
    /// The KDC's clock, in seconds since 1970.
    pub(super) time: Option<i64>,
    pub(super) text: String,
    data: Vec<u8>,
}

/// What was encrypted for us.
pub(super) struct Opened {
    pub(super) ticket: Ticket,
    pub(super) nonce: i64,
    pub(super) flags: u32,
    /// The confirmation of the request: kind and bytes of a checksum.
    pub(super) confirmation: Option<(i64, Vec<u8>)>,
}

/// Reads an answer.
pub(super) fn reply(exchange: Exchange, bytes: &[u8]) -> Result<Reply, Malformed> {
    let mut reader = Reader::new(bytes);
    if let Ok(error) = reader.application(30) {
        return refusal(error).map(Reply::Refused);
    }
    let mut inside = reader.application(exchange.reply())?.sequence()?;
    let ticket = inside.field(5)?.rest().to_vec();
    let mut sealed = inside.field(6)?.sequence()?;
    let enctype = sealed.field(0)?.integer()?;
    let version = sealed.optional(1)?.map(|mut version| version.integer()).transpose()?;
    let cipher = sealed.field(2)?.octets()?.to_vec();
    Ok(Reply::Ticket(Sealed { ticket, enctype, version, cipher }))
}

fn refusal(mut error: Reader<'_>) -> Result<Refusal, Malformed> {
    let mut inside = error.sequence()?;
    let time = super::clock::seconds(inside.field(4)?.time()?);
    let code = inside.field(6)?.integer()?;
    let text = inside.optional(11)?.map(|mut text| text.text()).transpose()?.unwrap_or_default();
    let data = inside.optional(12)?.map(|mut data| data.octets()).transpose()?.unwrap_or_default().to_vec();
    Ok(Refusal { code, time, text, data })
}

impl Refusal {
    /// The kinds of keys the KDC has for us, as a request for pre-authentication tells them.
    pub(super) fn enctypes(&self) -> Vec<i64> {
        let read = || -> Result<Vec<i64>, Malformed> {
            let mut found = Vec::new();
            for mut item in Reader::new(&self.data).list()? {
                let mut item = item.sequence()?;
                if item.field(1)?.integer()? != padata::ETYPE_INFO2 {
                    continue;
                }
                for mut entry in Reader::new(item.field(2)?.octets()?).list()? {
                    found.push(entry.sequence()?.field(0)?.integer()?);
                }
            }
            Ok(found)
        };
        read().unwrap_or_default()
    }
}

/// Why an answer is of no use.
#[derive(Debug)]
pub(super) enum Unusable {
    /// It does not open with the key.
    Sealed,
    Malformed(Malformed),
}

impl From<Malformed> for Unusable {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl Sealed {
    pub(super) fn open(self, key: &Key, usage: u32) -> Result<Opened, Unusable> {
        let plain: Zeroizing<Vec<u8>> =
            key.decrypt(usage, &self.cipher).map_err(|Unspecified| Unusable::Sealed)?;
        let mut reader = Reader::new(&plain);
        // Some KDCs use the other exchange's number here; RFC 4120 section 5.4.2 says to take both.
        let mut message = reader.application(25).or_else(|_| reader.application(26))?;
        let mut inside = message.sequence()?;
        let mut key = inside.field(0)?.sequence()?;
        let enctype = key.field(0)?.integer()?;
        let key = Key::new(enctype, key.field(1)?.octets()?).ok_or(Malformed)?;
        let nonce = inside.field(2)?.integer()?;
        let flags = inside.field(4)?.flags()?;
        let realm = inside.field(9)?.text()?;
        let names = inside.field(10)?.sequence()?.field(1)?.list()?;
        let names = names.into_iter().map(|mut name| name.text()).collect::<Result<_, _>>()?;
        let mut confirmation = None;
        if let Some(mut items) = inside.optional(12)? {
            for mut item in items.list()? {
                let mut item = item.sequence()?;
                if item.field(1)?.integer()? == padata::CONFIRM_REQUEST {
                    let mut checksum = Reader::new(item.field(2)?.octets()?).sequence()?;
                    confirmation =
                        Some((checksum.field(0)?.integer()?, checksum.field(1)?.octets()?.to_vec()));
                }
            }
        }
        let service = Principal { realm, names };
        Ok(Opened { ticket: Ticket { ticket: self.ticket, key, service }, nonce, flags, confirmation })
    }
}

// === For HTTP ===

/// OID 1.2.840.113554.1.2.2: Kerberos 5 (RFC 4121), with tag and length.
const KERBEROS: [u8; 11] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02];

/// OID 1.3.6.1.5.5.2: SPNEGO (RFC 4178), with tag and length.
const SPNEGO: [u8; 8] = [0x06, 0x06, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x02];

/// The kind of note that GSS-API wants in an authenticator (RFC 4121 section 4.1.1): no channel, and the flags that
/// upstream sends: confidentiality and integrity.
pub(super) fn gss_note() -> Note {
    let bytes = [&16_u32.to_le_bytes()[..], &[0; 16], &0x30_u32.to_le_bytes()].concat();
    Note { kind: 0x8003, bytes }
}

/// A presented ticket as the first token of a negotiation.
pub(super) fn negotiation(presented: &[u8]) -> Vec<u8> {
    // Two bytes say that an AP-REQ follows (RFC 4121 section 4.1).
    let token = application(0, &[&KERBEROS[..], &[1, 0], presented].concat());
    let init = sequence(&[field(0, &sequence(&[KERBEROS.to_vec()])), field(2, &der::octets(&token))]);
    application(0, &[&SPNEGO[..], &field(0, &init)].concat())
}
