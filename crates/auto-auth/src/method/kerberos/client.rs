//! From a key to a ticket for a service.

use std::path::Path;

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::{constant_time, rand};
use jiff::SignedDuration;

use super::super::LoginError;
use super::clock::Moment;
use super::crypto::{Enctype, Key};
use super::kdc::{Answer, Kdcs, WHAT};
use super::keytab::{Keytab, Wanted};
use super::krb5conf::Krb5Conf;
use super::messages::{
    self, ENC_PA_REP, Exchange, Note, Opened, Reply, Sealed, Ticket, Unusable, Wish, padata, usage,
};
use super::principal::Principal;
use super::refusal::{self, Asked};
use super::unusable;

/// How long a ticket is asked for; upstream's. The KDC's own limit is mostly lower, and ours is used at once.
const LIFETIME: SignedDuration = SignedDuration::from_hours(24);

/// From realm to realm at most so often: trusts are trees a few levels high.
const MAX_REALMS: usize = 8;

/// What a login has at hand.
pub(super) struct Client<'a> {
    pub(super) conf: &'a Krb5Conf,
    pub(super) conf_path: &'a Path,
    pub(super) keytab: &'a Keytab,
    pub(super) keytab_path: &'a Path,
    pub(super) wanted: Wanted<'a>,
    /// The KDC is asked to confirm the first request as it saw it.
    pub(super) confirmed: bool,
}

impl Client<'_> {
    /// The first token of a negotiation with a service.
    ///
    /// # Errors
    /// A keytab or `krb5.conf` that does not serve, KDCs that cannot be reached or refuse.
    pub(super) async fn negotiate(&self, service: &str) -> Result<Vec<u8>, LoginError> {
        let client = self.wanted.principal;
        let mut kdcs = self.kdcs(&client.realm)?;
        let first = self.first_ticket(&mut kdcs).await?;
        let ticket = self.service_ticket(kdcs, first, service).await?;
        let presented = messages::present(
            &ticket,
            client,
            &Moment::now(),
            usage::AP_REQUEST,
            &messages::gss_note(),
            random().map_err(own)?,
        );
        Ok(messages::negotiation(&presented.map_err(own)?))
    }

    fn kdcs(&self, realm: &str) -> Result<Kdcs, LoginError> {
        let addresses =
            self.conf.kdcs(realm).map_err(|reason| unusable("krb5.conf", self.conf_path, reason))?;
        Ok(Kdcs::new(addresses))
    }

    /// The ticket for getting tickets: first without proof of the key, so that the KDC says which kind it wants.
    async fn first_ticket(&self, kdcs: &mut Kdcs) -> Result<Ticket, LoginError> {
        let client = self.wanted.principal;
        let service = Principal::ticket_service(&client.realm, &client.realm);
        let asked = Asked { client, service: &service };
        let of_keytab = |reason| unusable("keytab", self.keytab_path, reason);
        let enctypes = self.keytab.enctypes(&self.wanted).map_err(of_keytab)?;
        let nonce = random().map_err(own)?;
        let until = Moment::later(LIFETIME);
        let wish =
            Wish { client: Some(client), service: &service, until: &until, nonce, enctypes: &enctypes };
        let body = wish.body();
        let mut beside = Vec::new();
        if self.confirmed {
            beside.push((padata::CONFIRM_REQUEST, Vec::new()));
        }
        let mut request = messages::request(Exchange::Initial, &beside, &body);
        let mut answer = kdcs.ask(&request).await?;
        let mut reply = read(Exchange::Initial, &answer)?;
        if let Reply::Refused(refusal) = &reply
            && refusal.code == refusal::PREAUTH_REQUIRED
        {
            let known = refusal.enctypes();
            let chosen = known.iter().filter_map(|number| Enctype::new(*number));
            let key = chosen
                .filter_map(|enctype| self.keytab.key(&self.wanted, enctype, None))
                .next()
                .ok_or_else(|| refused(&answer, refusal::words(refusal, &asked)))?;
            let proof = messages::timestamp(&key, &Moment::now()).map_err(own)?;
            beside.insert(0, (padata::TIMESTAMP, proof));
            request = messages::request(Exchange::Initial, &beside, &body);
            answer = kdcs.ask(&request).await?;
            reply = read(Exchange::Initial, &answer)?;
        }
        let sealed = granted(&answer, reply, &asked)?;
        let key = Enctype::new(sealed.enctype)
            .and_then(|enctype| self.keytab.key(&self.wanted, enctype, sealed.version))
            .ok_or_else(|| of_keytab(format!("it has no key of the kind the KDC used for {client}")))?;
        let not_ours = || {
            of_keytab(format!(
                "its key does not open what the KDC sent to {client}: its password was changed; write the keytab anew"
            ))
        };
        let opened = match sealed.open(&key, usage::AS_REPLY) {
            Err(Unusable::Sealed) => return Err(not_ours()),
            outcome => opened(&answer, outcome, nonce)?,
        };
        if opened.ticket.service != service {
            return Err(refused(&answer, format!("it gave a ticket for {}", opened.ticket.service)));
        }
        if self.confirmed && opened.flags & ENC_PA_REP != 0 {
            confirm(&key, &request, opened.confirmation).map_err(|Unspecified| {
                refused(
                    &answer,
                    "the request it answered is not the one that was sent: somebody changed it on its way; 'disable_fast_negotiation' does not look",
                )
            })?;
        }
        Ok(opened.ticket)
    }

    /// A ticket for the service, through as many realms as it takes.
    async fn service_ticket(
        &self,
        mut kdcs: Kdcs,
        mut ticket: Ticket,
        service: &str,
    ) -> Result<Ticket, LoginError> {
        let client = self.wanted.principal;
        let mut realm = client.realm.clone();
        let host = Principal::new(&realm, service);
        let mut home = self.conf.realm_of(host.host()).unwrap_or(&realm).to_owned();
        for _ in 0..MAX_REALMS {
            let wanted = if home == realm {
                Principal::new(&realm, service)
            } else {
                Principal::ticket_service(&realm, &home)
            };
            let asked = Asked { client, service: &wanted };
            let nonce = random().map_err(own)?;
            let until = Moment::later(LIFETIME);
            let wish = Wish { client: None, service: &wanted, until: &until, nonce, enctypes: &Enctype::ALL };
            let body = wish.body();
            let kind = ticket.key.enctype.checksum_number();
            let bytes = ticket.key.checksum(usage::TGS_REQUEST_CHECKSUM, &body).map_err(own)?;
            let note = Note { kind, bytes };
            let now = Moment::now();
            let number = random().map_err(own)?;
            let proof = messages::present(&ticket, client, &now, usage::TGS_REQUEST, &note, number);
            let beside = [(padata::TGS_REQUEST, proof.map_err(own)?)];
            let answer = kdcs.ask(&messages::request(Exchange::Ticket, &beside, &body)).await?;
            let sealed = granted(&answer, read(Exchange::Ticket, &answer)?, &asked)?;
            let opened = opened(&answer, sealed.open(&ticket.key, usage::TGS_REPLY), nonce)?;
            let Some(next) = opened.ticket.service.leads_to().map(str::to_owned) else {
                return Ok(opened.ticket);
            };
            // Asked for the service itself, the KDC says where it is; asked for the way, it gave a piece of it.
            if home == realm {
                home.clone_from(&next);
            }
            kdcs = self.kdcs(&next)?;
            realm = next;
            ticket = opened.ticket;
        }
        let reason = format!("the way to {service} leads through more than {MAX_REALMS} realms");
        Err(LoginError::Outside { what: WHAT, url: realm, reason })
    }
}

/// The KDC's checksum over the request (RFC 6806 section 11).
fn confirm(key: &Key, request: &[u8], confirmation: Option<(i64, Vec<u8>)>) -> Result<(), Unspecified> {
    let (kind, checksum) = confirmation.ok_or(Unspecified)?;
    if kind != key.enctype.checksum_number() {
        return Err(Unspecified);
    }
    constant_time::verify_slices_are_equal(&key.checksum(usage::AS_REQUEST, request)?, &checksum)
}

fn read(exchange: Exchange, answer: &Answer) -> Result<Reply, LoginError> {
    messages::reply(exchange, &answer.bytes)
        .map_err(|error| refused(answer, format!("its answer is of no use: {error}")))
}

fn granted(answer: &Answer, reply: Reply, asked: &Asked<'_>) -> Result<Sealed, LoginError> {
    match reply {
        Reply::Ticket(sealed) => Ok(sealed),
        Reply::Refused(refusal) => Err(refused(answer, refusal::words(&refusal, asked))),
    }
}

fn opened(answer: &Answer, outcome: Result<Opened, Unusable>, nonce: u32) -> Result<Opened, LoginError> {
    let opened = outcome.map_err(|unusable| match unusable {
        Unusable::Sealed => refused(answer, "its answer does not open with the ticket's key"),
        Unusable::Malformed(error) => refused(answer, format!("its answer is of no use: {error}")),
    })?;
    if opened.nonce != i64::from(nonce) {
        return Err(refused(answer, "its answer belongs to another request"));
    }
    Ok(opened)
}

fn refused(answer: &Answer, reason: impl Into<String>) -> LoginError {
    LoginError::Outside { what: WHAT, url: answer.from.clone(), reason: reason.into() }
}

/// Nothing from outside makes these fail.
fn own(_: Unspecified) -> LoginError {
    LoginError::NoCredentials("the cryptographic library refused to work".to_owned())
}

/// Positive in 32 bits, as some KDCs read it as signed.
fn random() -> Result<u32, Unspecified> {
    let mut bytes = [0; 4];
    rand::fill(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes) >> 1)
}
