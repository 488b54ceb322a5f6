//! What a KDC's refusal means, for the person who must act.

use super::clock;
use super::messages::Refusal;
use super::principal::Principal;

/// KDCs allow clocks to differ by five minutes, unless told otherwise.
const USUAL_SKEW: i64 = 300;

/// The KDC wants to see that we have the key.
pub(super) const PREAUTH_REQUIRED: i64 = 25;

/// Who asked for what.
pub(super) struct Asked<'a> {
    pub(super) client: &'a Principal,
    pub(super) service: &'a Principal,
}

/// The refusal in words: what, the KDC's own number and text, and whether the clocks differ.
pub(super) fn words(refusal: &Refusal, asked: &Asked<'_>) -> String {
    let Asked { client, service } = asked;
    // The names of the numbers are those of RFC 4120 section 7.5.9.
    let (name, meaning) = match refusal.code {
        1 => ("KDC_ERR_NAME_EXP", format!("the account of {client} has expired")),
        6 => (
            "KDC_ERR_C_PRINCIPAL_UNKNOWN",
            format!("it does not know {client}; see 'username' and 'realm', case counts"),
        ),
        7 => (
            "KDC_ERR_S_PRINCIPAL_UNKNOWN",
            format!("it does not know the service {service}; see 'service', and [domain_realm] in krb5.conf"),
        ),
        12 => ("KDC_ERR_POLICY", format!("its rules do not allow {client} a ticket for {service}")),
        14 => (
            "KDC_ERR_ETYPE_NOSUPP",
            format!("it has no key for {client} or {service} of a kind we have, AES with SHA-1 or SHA-2"),
        ),
        18 => ("KDC_ERR_CLIENT_REVOKED", format!("the account of {client} is disabled, locked or expired")),
        23 => ("KDC_ERR_KEY_EXPIRED", format!("the password of {client} has expired")),
        24 => (
            "KDC_ERR_PREAUTH_FAILED",
            format!(
                "the keytab's key is not the one of {client}: its password was changed; write the keytab anew"
            ),
        ),
        PREAUTH_REQUIRED => {
            ("KDC_ERR_PREAUTH_REQUIRED", format!("it wants another proof of {client} than an encrypted time"))
        }
        31 => ("KRB_AP_ERR_BAD_INTEGRITY", format!("the key of {client} or {service} is not the one it has")),
        32 => ("KRB_AP_ERR_TKT_EXPIRED", "the ticket is too old for it".to_owned()),
        33 => ("KRB_AP_ERR_TKT_NYV", "the ticket is not valid yet for it".to_owned()),
        37 => ("KRB_AP_ERR_SKEW", "its clock and ours differ by more than it allows".to_owned()),
        52 => (
            "KRB_ERR_RESPONSE_TOO_BIG",
            "its answer does not fit into UDP, and TCP cannot be reached".to_owned(),
        ),
        68 => ("KDC_ERR_WRONG_REALM", format!("{client} belongs to another realm")),
        60 => ("KRB_ERR_GENERIC", format!("it gives no ticket for {service} to {client}")),
        _ => ("error", format!("it gives no ticket for {service} to {client}")),
    };
    let mut words = format!("{meaning} ({name}, {}", refusal.code);
    let said = printable(&refusal.text);
    if !said.is_empty() {
        words.push_str(": ");
        words.push_str(&said);
    }
    words.push(')');
    if let Some(time) = refusal.time {
        let ahead = time.saturating_sub(clock::now());
        if ahead.saturating_abs() >= USUAL_SKEW {
            let side = if ahead > 0 { "ahead of" } else { "behind" };
            let seconds = ahead.saturating_abs();
            words.push_str(&format!("; its clock is {seconds} seconds {side} ours: set the time"));
        }
    }
    words
}

/// A KDC's text is not ours: it stays short and in one line.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::kerberos::der::{application, field, integer, sequence, text, time};
    use crate::method::kerberos::messages::{Exchange, Reply, reply};

    #[test]
    fn number_text_and_clock_of_a_refusal_are_told() {
        let client = Principal::new("A.COM", "app");
        let service = Principal::new("A.COM", "HTTP/web");
        let said = |code: i64, server_time: &str, words_of_it: &str| {
            let message = application(
                30,
                &sequence(&[
                    field(0, &integer(5)),
                    field(1, &integer(30)),
                    field(4, &time(server_time)),
                    field(5, &integer(0)),
                    field(6, &integer(code)),
                    field(9, &text("A.COM")),
                    field(11, &text(words_of_it)),
                ]),
            );
            let Ok(Reply::Refused(refusal)) = reply(Exchange::Initial, &message) else {
                panic!("no refusal")
            };
            words(&refusal, &Asked { client: &client, service: &service })
        };
        let now = clock::Moment::now().text;
        assert_eq!(
            said(68, &now, "WRONG\nREALM"),
            "app@A.COM belongs to another realm (KDC_ERR_WRONG_REALM, 68: WRONGREALM)"
        );
        let late = said(37, "20200101000000Z", "");
        assert!(
            late.starts_with(
                "its clock and ours differ by more than it allows (KRB_AP_ERR_SKEW, 37); its clock is "
            ),
            "{late}"
        );
        assert!(late.ends_with(" seconds behind ours: set the time"), "{late}");
        assert!(said(99, &now, &"x".repeat(9999)).len() < 400);
    }
}
