//! The `tls_*` keys of a listener.

use std::path::PathBuf;
use std::time::Duration;

use super::ciphers::{self, TlsChoice};
use crate::decode::Fields;
use crate::go_duration::GoDuration;
use crate::settings::auto_auth::Pattern;

/// Time between two looks at the files of a listener; upstream's, where it looks.
pub const DEFAULT_TLS_RELOAD: Duration = Duration::from_secs(30);

/// The `tls_*` keys of a listener.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerTls {
    /// Certificate chain.
    pub cert_file: PathBuf,
    /// Its key.
    pub key_file: PathBuf,
    /// TLS 1.3 alone (`tls_min_version = "tls13"`).
    pub only_tls13: bool,
    /// TLS 1.2 alone (`tls_max_version = "tls12"`).
    pub only_tls12: bool,
    /// What is agreed on in a handshake.
    pub choice: TlsChoice,
    /// CA that client certificates must be signed by.
    pub client_ca_file: Option<PathBuf>,
    /// Refuse clients without a certificate.
    pub require_client_cert: bool,
    /// Names of which a client's certificate must have one; any when there are none.
    pub allowed_client_names: Vec<Pattern>,
    /// The common name is none of them (`tls_allowed_client_san`).
    pub only_alternative_names: bool,
    /// Time between two looks at the files; `None` leaves it to SIGHUP.
    pub reload: Option<Duration>,
}

// === Reading ===

/// Versions by name, in order.
const TLS_VERSIONS: &[&str] = &["tls10", "tls11", "tls12", "tls13"];

pub(super) fn read(fields: &Fields<'_>) -> Option<ListenerTls> {
    let disabled = fields.lax_bool("tls_disable");
    // What it says cannot be read, which was told: nothing follows from it.
    let unclear = disabled.is_none() && fields.has("tls_disable");
    let disabled = disabled.unwrap_or(false);
    let cert_file = fields.file("tls_cert_file");
    let key_file = fields.file("tls_key_file");
    let reload = read_auto_reload(fields, cert_file.is_some());
    let required = fields.lax_bool("tls_require_and_verify_client_cert").unwrap_or(false);
    let ignored = fields.lax_bool("tls_disable_client_certs").unwrap_or(false);
    let client_ca_file = fields.file("tls_client_ca_file");
    fields.also_called("tls_allowed_client_names", "tls_allowed_client_san");
    let names = fields.strings("tls_allowed_client_names");
    let only_alternative_names = fields.has("tls_allowed_client_san");
    let (least, most) = (fields.filled("tls_min_version"), fields.filled("tls_max_version"));
    let asked = ciphers::read(fields);
    fields.ignore(&["tls_prefer_server_cipher_suites"]);
    read_acme(fields, disabled);
    if disabled {
        if names.is_some() {
            let span = fields.span_of("tls_allowed_client_names");
            fields.refuse(span, "`tls_allowed_client_names` has no effect with `tls_disable = true`");
        }
        return None;
    }
    if ignored && required {
        fields.refuse(
            fields.span_of("tls_disable_client_certs"),
            "'tls_disable_client_certs' and 'tls_require_and_verify_client_cert' are mutually exclusive",
        );
    } else if required && client_ca_file.is_none() {
        fields.refuse(
            fields.span_of("tls_require_and_verify_client_cert"),
            "`tls_require_and_verify_client_cert` needs `tls_client_ca_file`",
        );
    }
    if let Some(names) = &names {
        let span = fields.span_of("tls_allowed_client_names");
        if names.is_empty() || names.iter().any(String::is_empty) {
            let hint = "name certificates, or remove the key";
            fields.refuse_with(span, "`tls_allowed_client_names` names nobody", hint);
        } else if !required {
            // Without a certificate everybody would come in.
            let message = "`tls_allowed_client_names` needs `tls_require_and_verify_client_cert = true`";
            fields.refuse(span, message);
        }
    }
    let (only_tls13, only_tls12) = read_versions(fields, least.as_deref(), most.as_deref());
    let choice = asked.choose(fields, only_tls13);
    let (Some(cert_file), Some(key_file)) = (cert_file, key_file) else {
        if unclear {
            return None;
        }
        fields.refuse_with(
            fields.span,
            "TLS needs `tls_cert_file` and `tls_key_file`",
            "give both, or serve plain HTTP with tls_disable = true",
        );
        return None;
    };
    Some(ListenerTls {
        cert_file,
        key_file,
        only_tls13,
        only_tls12,
        choice,
        client_ca_file: client_ca_file.filter(|_| !ignored),
        require_client_cert: required,
        allowed_client_names: names.unwrap_or_default().iter().map(|name| Pattern::new(name)).collect(),
        only_alternative_names,
        reload,
    })
}

/// On unless it is turned off: a certificate that nobody reads ends the service when it expires.
fn read_auto_reload(fields: &Fields<'_>, has_cert: bool) -> Option<Duration> {
    let reload = fields.lax_bool("tls_auto_reload");
    let interval = fields.duration("tls_auto_reload_interval");
    if interval.is_some_and(|interval| interval < GoDuration::from_seconds(5)) {
        fields.refuse_beside(
            fields.span_of("tls_auto_reload_interval"),
            "tls_auto_reload_interval must be at least 5s",
        );
    }
    if reload == Some(true) && !has_cert {
        fields.refuse_beside(fields.span_of("tls_auto_reload"), "tls_auto_reload requires tls_cert_file");
    }
    let interval = interval.and_then(GoDuration::positive).unwrap_or(DEFAULT_TLS_RELOAD);
    reload.unwrap_or(true).then_some(interval)
}

fn read_acme(fields: &Fields<'_>, disabled: bool) {
    for key in [
        "tls_acme_ca_directory",
        "tls_acme_ca_root",
        "tls_acme_cache_path",
        "tls_acme_disable_alpn_challenge",
        "tls_acme_disable_http_challenge",
        "tls_acme_domains",
        "tls_acme_eab_key_id",
        "tls_acme_eab_mac_key",
        "tls_acme_email",
        "tls_acme_test_alpn_challenge_port",
        "tls_acme_test_http_challenge_port",
    ] {
        match disabled {
            true => fields.ignore(&[key]),
            false => fields.not_built(key),
        }
    }
}

/// Whether TLS 1.3 alone, or TLS 1.2 alone, is spoken.
fn read_versions(fields: &Fields<'_>, least: Option<&str>, most: Option<&str>) -> (bool, bool) {
    let index = |key: &'static str, name: Option<&str>, default: usize| {
        let Some(name) = name else { return Some(default) };
        let index = TLS_VERSIONS.iter().position(|version| *version == name);
        if index.is_none() {
            let all = TLS_VERSIONS.join(",");
            let message = format!("'{key}' value {name:?} not supported, please specify one of [{all}]");
            fields.refuse(fields.span_of(key), message);
        }
        index
    };
    const TLS12: usize = 2;
    const TLS13: usize = 3;
    let min = index("tls_min_version", least, TLS12);
    let max = index("tls_max_version", most, TLS13);
    let (Some(min), Some(max)) = (min, max) else { return (false, false) };
    if max < min {
        fields.refuse(
            fields.span_of("tls_max_version"),
            "'tls_max_version' must be greater than or equal to 'tls_min_version'",
        );
    } else if max < TLS12 {
        fields.refuse_with(
            fields.span_of("tls_max_version"),
            "TLS before 1.2 is not spoken",
            "use tls12 or tls13",
        );
    } else if min < TLS12 {
        let old = if min == 0 { "TLS 1.0 and 1.1 are" } else { "TLS 1.1 is" };
        fields.warn(
            fields.span_of("tls_min_version"),
            format!("{old} not spoken: clients that know nothing newer than that fail in the handshake"),
            "write what holds, tls12 (the default) or tls13",
        );
    }
    (min == TLS13, max == TLS12)
}
