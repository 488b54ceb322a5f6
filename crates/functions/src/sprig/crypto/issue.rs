//! Certificates as Go's `x509.CreateCertificate` writes them from sprig's template.
//!
//! Written here and not by a crate, because the issuer's name must be the parent's bytes: names with an
//! attribute twice, `DC=example,DC=com`, are lost where attributes are a map.

use std::net::{IpAddr, Ipv6Addr};

use aws_lc_rs::digest;
use gotemplate::{Value, quoted, sprintf};

use super::der::{BITS, CONTEXT_0, CONTEXT_3, INTEGER, OCTETS, OID, Reader, SEQUENCE, element, positive};
use super::key::Key;
use crate::go::duration::Duration;
use crate::go::time::{Time, Zone};

/// What a certificate shall say.
pub(super) struct Request {
    common_name: Vec<u8>,
    addresses: Vec<IpAddr>,
    names: Vec<Vec<u8>>,
    days: i64,
    authority: bool,
}

impl Request {
    /// A certificate for TLS servers and clients.
    ///
    /// # Errors
    /// Upstream's text for elements that are no addresses or no strings.
    pub(super) fn leaf(
        common_name: &[u8],
        ips: &[Value],
        names: &[Value],
        days: i64,
    ) -> Result<Self, String> {
        let addresses = ips.iter().map(address).collect::<Result<_, _>>()?;
        let names = names
            .iter()
            .map(|name| {
                let text = name.as_str().map(<[u8]>::to_vec);
                text.ok_or_else(|| {
                    format!("error processing alternate dns name: {} is not a string", shown(name))
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { common_name: common_name.to_vec(), addresses, names, days, authority: false })
    }

    /// A certificate that may sign others.
    pub(super) fn authority(common_name: &[u8], days: i64) -> Self {
        let common_name = common_name.to_vec();
        Self { common_name, addresses: Vec::new(), names: Vec::new(), days, authority: true }
    }
}

fn shown(value: &Value) -> String {
    sprintf(b"%v", std::slice::from_ref(value))
        .map_or_else(str::to_owned, |text| String::from_utf8_lossy(&text).into_owned())
}

fn address(value: &Value) -> Result<IpAddr, String> {
    let Some(text) = value.as_str() else {
        return Err(format!("error parsing ip: {} is not a string", shown(value)));
    };
    let text = String::from_utf8_lossy(text);
    text.parse().map_err(|_| format!("error parsing ip: {text}"))
}

/// What of a certificate its children need.
pub(super) struct Parent {
    subject: Vec<u8>,
    public_info: Vec<u8>,
    identifier: Option<Vec<u8>>,
}

impl Parent {
    /// Reads a certificate.
    ///
    /// # Errors
    /// Go's text, as far as it tells outer from inner faults.
    pub(super) fn read(der: &[u8]) -> Result<Self, String> {
        let mut reader = Reader(der);
        let mut certificate = reader.enter(SEQUENCE).ok_or("x509: malformed certificate")?;
        if !reader.0.is_empty() {
            return Err("x509: trailing data".into());
        }
        let mut inner = certificate.enter(SEQUENCE).ok_or("x509: malformed tbs certificate")?;
        let parent = Self::inner(&mut inner).ok_or("x509: malformed tbs certificate")?;
        certificate.expect(SEQUENCE).ok_or("x509: malformed signature algorithm identifier")?;
        certificate.expect(BITS).ok_or("x509: malformed signature")?;
        Ok(parent)
    }

    fn inner(inner: &mut Reader<'_>) -> Option<Self> {
        let _version = inner.expect(CONTEXT_0);
        let _serial = inner.expect(INTEGER)?;
        let (_algorithm, _issuer) = (inner.expect(SEQUENCE)?, inner.expect(SEQUENCE)?);
        let _validity = inner.expect(SEQUENCE)?;
        let subject = inner.expect(SEQUENCE)?.whole.to_vec();
        let public_info = inner.expect(SEQUENCE)?.whole.to_vec();
        let mut identifier = None;
        while let Some(element) = inner.next() {
            if element.tag == CONTEXT_3 {
                identifier = key_identifier(Reader(element.content));
            }
        }
        Some(Self { subject, public_info, identifier })
    }
}

/// The subject key identifier among a certificate's extensions.
fn key_identifier(mut extensions: Reader<'_>) -> Option<Vec<u8>> {
    let mut extensions = extensions.enter(SEQUENCE)?;
    while let Some(mut extension) = extensions.enter(SEQUENCE) {
        if extension.expect(OID).is_some_and(|id| id.content == SUBJECT_KEY) {
            let _critical = extension.expect(0x01);
            return extension.enter(OCTETS)?.expect(OCTETS).map(|id| id.content.to_vec());
        }
    }
    None
}

const COMMON_NAME: &[u8] = b"\x55\x04\x03";
const KEY_USAGE: &[u8] = b"\x55\x1d\x0f";
const EXTENDED_USAGE: &[u8] = b"\x55\x1d\x25";
const CONSTRAINTS: &[u8] = b"\x55\x1d\x13";
const SUBJECT_KEY: &[u8] = b"\x55\x1d\x0e";
const AUTHORITY_KEY: &[u8] = b"\x55\x1d\x23";
const ALTERNATIVE_NAMES: &[u8] = b"\x55\x1d\x11";
const SERVER_AND_CLIENT: [&[u8]; 2] =
    [b"\x2b\x06\x01\x05\x05\x07\x03\x01", b"\x2b\x06\x01\x05\x05\x07\x03\x02"];
const TRUE: &[u8] = &[0x01, 0x01, 0xff];

/// A certificate for `key`, signed by `signer`; without a parent it is its own.
///
/// # Errors
/// Go's text.
pub(super) fn issue(
    request: &Request,
    key: &Key,
    parent: Option<&Parent>,
    signer: &Key,
) -> Result<Vec<u8>, String> {
    let algorithm = signer.algorithm()?;
    let public_info = key.public_info()?;
    let subject = name(&request.common_name)?;
    let issuer = parent.map_or(&subject, |parent| &parent.subject);
    if parent.is_some_and(|parent| signer.public_info().is_ok_and(|own| own != parent.public_info)) {
        return Err("x509: provided PrivateKey doesn't match parent's PublicKey".into());
    }
    let authority_key =
        parent.filter(|parent| parent.subject != subject).and_then(|parent| parent.identifier.as_ref());
    let extensions = extensions(request, key, authority_key, request.common_name.is_empty())?;

    let serial: [u8; 16] = super::random().map_err(|why| why.to_string())?;
    let now = Time::now().in_zone(Zone::Utc);
    let lifetime = Duration((24 * Duration::HOUR.0).wrapping_mul(request.days));
    let end = now.clone().plus(lifetime);
    let inner = element(
        SEQUENCE,
        &[
            // Version 3, counted from 0.
            &element(CONTEXT_0, &[&element(INTEGER, &[&[2]])]),
            &positive(&serial),
            algorithm,
            issuer,
            &element(SEQUENCE, &[&moment(&now), &moment(&end)]),
            &subject,
            &public_info,
            &element(CONTEXT_3, &[&element(SEQUENCE, &[&extensions])]),
        ],
    );
    let signature = signer.sign(&inner)?;
    Ok(element(SEQUENCE, &[&inner, algorithm, &element(BITS, &[&[0], &signature])]))
}

/// A name of a common name alone, or of nothing.
fn name(common_name: &[u8]) -> Result<Vec<u8>, String> {
    if common_name.is_empty() {
        return Ok(element(SEQUENCE, &[]));
    }
    let printable = |byte: &u8| byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(byte);
    let tag = match common_name.iter().all(printable) {
        true => 0x13,
        false if std::str::from_utf8(common_name).is_ok() => 0x0c,
        false => return Err("asn1: string not valid UTF-8".into()),
    };
    let attribute = element(SEQUENCE, &[&element(OID, &[COMMON_NAME]), &element(tag, &[common_name])]);
    Ok(element(SEQUENCE, &[&element(0x31, &[&attribute])]))
}

/// A time in two digits of a year while those are enough.
fn moment(time: &Time) -> Vec<u8> {
    match time.civil().year {
        1950..=2049 => element(0x17, &[&time.format(b"060102150405"), b"Z"]),
        _ => element(0x18, &[&time.format(b"20060102150405"), b"Z"]),
    }
}

fn extensions(
    request: &Request,
    key: &Key,
    authority_key: Option<&Vec<u8>>,
    names_critical: bool,
) -> Result<Vec<u8>, String> {
    // Digital signature and key encipherment; authorities also sign certificates.
    let usage: &[u8] = if request.authority { &[2, 0xa4] } else { &[5, 0xa0] };
    let usages = SERVER_AND_CLIENT.map(|usage| element(OID, &[usage])).concat();
    let mut all = vec![
        extension(KEY_USAGE, true, &element(BITS, &[usage])),
        extension(EXTENDED_USAGE, false, &element(SEQUENCE, &[&usages])),
        extension(CONSTRAINTS, true, &element(SEQUENCE, &[if request.authority { TRUE } else { &[] }])),
    ];
    if request.authority {
        let hash = digest::digest(&digest::SHA256, key.public_bits());
        let id = hash.as_ref().get(..20).unwrap_or_default();
        all.push(extension(SUBJECT_KEY, false, &element(OCTETS, &[id])));
    }
    if let Some(id) = authority_key {
        all.push(extension(AUTHORITY_KEY, false, &element(SEQUENCE, &[&element(0x80, &[id])])));
    }
    if !request.names.is_empty() || !request.addresses.is_empty() {
        let mut names = Vec::new();
        for name in &request.names {
            if !name.is_ascii() {
                return Err(format!("x509: {} cannot be encoded as an IA5String", quoted(name)));
            }
            names.extend(element(0x82, &[name]));
        }
        for address in &request.addresses {
            names.extend(match address {
                IpAddr::V4(address) => element(0x87, &[&address.octets()]),
                IpAddr::V6(address) => v6(address),
            });
        }
        all.push(extension(ALTERNATIVE_NAMES, names_critical, &element(SEQUENCE, &[&names])));
    }
    Ok(all.concat())
}

/// An address that only wraps an old one is written as that.
fn v6(address: &Ipv6Addr) -> Vec<u8> {
    match address.to_ipv4_mapped() {
        Some(address) => element(0x87, &[&address.octets()]),
        None => element(0x87, &[&address.octets()]),
    }
}

fn extension(id: &[u8], critical: bool, content: &[u8]) -> Vec<u8> {
    let flag: &[u8] = if critical { TRUE } else { &[] };
    element(SEQUENCE, &[&element(OID, &[id]), flag, &element(OCTETS, &[content])])
}
