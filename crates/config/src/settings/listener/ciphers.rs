//! `tls_cipher_suites` and `tls_key_exchange_preferences`: Go's names of what TLS agrees on, and what is spoken here.

use crate::decode::{Fields, Wording};

/// What a listener agrees on, in the names of the TLS registry. Where nothing is named, it is all that is spoken.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TlsChoice {
    /// Cipher suites of TLS 1.2. Those of TLS 1.3 are not chosen from, as upstream.
    pub suites: Vec<&'static str>,
    /// Key exchanges, the first one preferred.
    pub key_exchanges: Vec<&'static str>,
}

/// What one of Go's names is to us.
#[derive(Clone, Copy)]
enum Known {
    /// This, in TLS 1.2.
    Spoken(&'static str),
    /// Of TLS 1.3, where the list does not count.
    Newer,
    /// Nothing: too weak.
    Unspoken,
}

const SUITES: &[(&str, Known)] = {
    use Known::{Newer, Spoken, Unspoken};
    &[
        ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", Spoken("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")),
        ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", Spoken("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384")),
        (
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
            Spoken("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
        ),
        ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", Spoken("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256")),
        ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", Spoken("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")),
        ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", Spoken("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384")),
        (
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
            Spoken("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
        ),
        ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", Spoken("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256")),
        ("TLS_AES_128_GCM_SHA256", Newer),
        ("TLS_AES_256_GCM_SHA384", Newer),
        ("TLS_CHACHA20_POLY1305_SHA256", Newer),
        ("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", Unspoken),
        ("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", Unspoken),
        ("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", Unspoken),
        ("TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", Unspoken),
        ("TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", Unspoken),
        ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", Unspoken),
        ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", Unspoken),
        ("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", Unspoken),
        ("TLS_ECDHE_RSA_WITH_RC4_128_SHA", Unspoken),
        ("TLS_RSA_WITH_3DES_EDE_CBC_SHA", Unspoken),
        ("TLS_RSA_WITH_AES_128_CBC_SHA", Unspoken),
        ("TLS_RSA_WITH_AES_128_CBC_SHA256", Unspoken),
        ("TLS_RSA_WITH_AES_128_GCM_SHA256", Unspoken),
        ("TLS_RSA_WITH_AES_256_CBC_SHA", Unspoken),
        ("TLS_RSA_WITH_AES_256_GCM_SHA384", Unspoken),
        ("TLS_RSA_WITH_RC4_128_SHA", Unspoken),
    ]
};

/// In the order in which upstream names them.
const KEY_EXCHANGES: &[(&str, Known)] = &[
    ("CurveP256", Known::Spoken("secp256r1")),
    ("CurveP384", Known::Spoken("secp384r1")),
    ("CurveP521", Known::Unspoken),
    ("MLKEM1024", Known::Spoken("MLKEM1024")),
    ("SecP256r1MLKEM768", Known::Spoken("secp256r1MLKEM768")),
    ("SecP384r1MLKEM1024", Known::Unspoken),
    ("X25519", Known::Spoken("X25519")),
    ("X25519MLKEM768", Known::Spoken("X25519MLKEM768")),
];

impl TlsChoice {
    /// Each name that is spoken here, once: for those who speak it.
    pub fn all() -> Self {
        let of = |table: &[(&str, Known)]| {
            let mut names = Vec::new();
            for (_, known) in table {
                if let Known::Spoken(name) = known
                    && !names.contains(name)
                {
                    names.push(*name);
                }
            }
            names
        };
        Self { suites: of(SUITES), key_exchanges: of(KEY_EXCHANGES) }
    }
}

/// What was asked for. Names that nobody knows are refused whatever else the listener says.
pub(super) struct Asked {
    suites: Vec<(String, Known)>,
    key_exchanges: Vec<String>,
}

pub(super) fn read(fields: &Fields<'_>) -> Asked {
    const KEY: &str = "tls_cipher_suites";
    let mut suites = Vec::new();
    for name in fields.filled(KEY).iter().flat_map(|list| list.split(',')).map(str::trim) {
        match find(SUITES, name) {
            Some(known) => suites.push((name.to_owned(), known)),
            None => {
                let hint = "Go's names, with commas between them: \"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\"";
                fields.refuse_named(KEY, &format!("unsupported cipher {name:?}"), hint);
                break;
            }
        }
    }
    Asked { suites, key_exchanges: fields.strings("tls_key_exchange_preferences").unwrap_or_default() }
}

fn find(table: &[(&str, Known)], name: &str) -> Option<Known> {
    table.iter().find(|(known, _)| *known == name).map(|(_, known)| *known)
}

impl Asked {
    /// For a listener with TLS: what of it is spoken.
    pub(super) fn choose(self, fields: &Fields<'_>, only_tls13: bool) -> TlsChoice {
        let suites = match only_tls13 {
            true => Vec::new(),
            false => {
                let hint = "name one with ECDHE and GCM or CHACHA20, or write tls_min_version = \"tls13\"";
                usable(fields, "tls_cipher_suites", "cipher suites of TLS 1.2", hint, self.suites)
            }
        };
        const KEY: &str = "tls_key_exchange_preferences";
        let mut key_exchanges = Vec::new();
        for name in self.key_exchanges {
            let Some(known) = find(KEY_EXCHANGES, &name) else {
                let all: Vec<_> = KEY_EXCHANGES.iter().map(|(name, _)| *name).collect();
                let start =
                    fields.with_prefix("").worded(Wording::Plain).at_start("Error starting listener: ");
                start.refuse(
                    fields.span_of(KEY),
                    format!("'{KEY}' value {name:?} not supported, please select from [{}]", all.join(" ")),
                );
                return TlsChoice::default();
            };
            key_exchanges.push((name, known));
        }
        let hint = "name X25519MLKEM768, X25519, CurveP256 or CurveP384";
        TlsChoice { suites, key_exchanges: usable(fields, KEY, "key exchanges", hint, key_exchanges) }
    }
}

/// Those that are spoken; one warning for the others, one error when there is none.
fn usable(
    fields: &Fields<'_>,
    key: &'static str,
    kind: &str,
    hint: &str,
    names: Vec<(String, Known)>,
) -> Vec<&'static str> {
    let (mut usable, mut left_out) = (Vec::new(), Vec::new());
    for (name, known) in &names {
        match known {
            Known::Spoken(name) if !usable.contains(name) => usable.push(*name),
            Known::Spoken(_) | Known::Newer => {}
            Known::Unspoken => left_out.push(name.as_str()),
        }
    }
    if usable.is_empty() && !names.is_empty() {
        fields.refuse_with(
            fields.span_of(key),
            format!("`{key}` names no {kind} that are spoken here"),
            hint,
        );
    } else if !left_out.is_empty() {
        let message = format!("`{key}`: these are not spoken: {}", left_out.join(", "));
        fields.warn(
            fields.span_of(key),
            message,
            "the others are; clients that know none of them fail in the handshake",
        );
    }
    usable
}
