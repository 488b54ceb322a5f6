//! The server: where it is, how it is known, how long it is waited for, and how often it is asked again.

use std::time::Duration;

use vault::{Address, Namespace, Pem, Proxies, RateLimit, RetryPolicy, Roots, TlsSettings, Verify};

use super::{Chosen, Compiler, Origin, bad_variable};
use crate::go_duration::GoDuration;
use crate::go_scalar::{parse_bool, parse_integer};
use crate::problem::Problem;
use crate::settings::vault::RawVault;
use crate::settings::{DEFAULT_ADDRESS, DEFAULT_TIMEOUT, Vault};

impl Compiler<'_> {
    pub(super) fn vault(&mut self, raw: Option<&RawVault>) -> Option<Vault> {
        let flags = self.flags;
        let address =
            self.choose(("-address", &flags.address), "ADDR", raw.and_then(|raw| raw.address.as_ref()));
        let chosen_elsewhere = flags.address.is_some() || self.environment.filled("ADDR").is_some();
        let mut others = self.addresses(raw);
        let address = match address {
            // The list alone will do.
            None if !others.is_empty() => {
                let first = others.remove(0).to_string();
                raw.and_then(|raw| raw.addresses.as_ref())
                    .map(|listed| Chosen { value: first, origin: Origin::File(listed.place.clone()) })
            }
            address => address,
        };
        if let Some(address) = address.as_ref().and_then(|chosen| chosen.value.parse::<Address>().ok()) {
            others.retain(|other| *other != address);
        }
        let namespace = self.choose(
            ("-namespace", &flags.namespace),
            "NAMESPACE",
            raw.and_then(|raw| raw.namespace.as_ref()),
        );
        let tls = self.tls(raw);
        // Whoever names a server by flag or variable means that one.
        let others = if chosen_elsewhere { Vec::new() } else { others };
        let address = self.address(address);
        let servers: Vec<&Address> = address.iter().chain(&others).collect();
        let proxies = crate::proxies::read(self.environment, &servers).unwrap_or_else(|problem| {
            self.refuse(*problem);
            Proxies::default()
        });
        Some(Vault {
            tls,
            proxies,
            redirect_hosts: raw.map(|raw| raw.redirect_hosts.clone()).unwrap_or_default(),
            namespace: namespace.and_then(|chosen| Namespace::new(&chosen.value)),
            retry: self.retry(raw),
            timeout: self.timeout(),
            rate_limit: self.rate_limit(),
            others,
            address: address?,
        })
    }

    /// `addresses` beside `address`, or in its place: the first one is asked first.
    fn addresses(&mut self, raw: Option<&RawVault>) -> Vec<Address> {
        let Some(listed) = raw.and_then(|raw| raw.addresses.as_ref()) else { return Vec::new() };
        let mut addresses = Vec::new();
        for text in &listed.value {
            match text.parse::<Address>() {
                Ok(address) if addresses.contains(&address) => {}
                Ok(address) => addresses.push(address),
                Err(why) => {
                    let message = format!("invalid address {:?} in `addresses`: {why}", without_user(text));
                    self.refuse(Problem::whole(message, Some(&listed.place)));
                }
            }
        }
        addresses
    }

    fn address(&mut self, chosen: Option<Chosen>) -> Option<Address> {
        let text = chosen.as_ref().map_or(DEFAULT_ADDRESS, |chosen| chosen.value.as_str());
        match text.parse() {
            Ok(address) => Some(address),
            Err(why) => {
                let message = format!("invalid address {:?}: {why}", without_user(text));
                self.refuse(match &chosen {
                    Some(chosen) => chosen.refuse(message),
                    None => Problem::at_start(message, None),
                });
                None
            }
        }
    }

    fn tls(&mut self, raw: Option<&RawVault>) -> TlsSettings {
        let flags = self.flags;
        let ca_file =
            self.choose(("-ca-cert", &flags.ca_cert), "CACERT", raw.and_then(|raw| raw.ca_cert.as_ref()));
        let ca_folder =
            self.choose(("-ca-path", &flags.ca_path), "CAPATH", raw.and_then(|raw| raw.ca_path.as_ref()));
        let roots = match (ca_file, self.environment.filled("CACERT_BYTES"), ca_folder) {
            (Some(file), ..) => Roots::File(file.value.into()),
            (None, Some(bytes), _) => Roots::Bytes(bytes.value.as_bytes().to_vec()),
            (None, None, Some(folder)) => Roots::Folder(folder.value.into()),
            (None, None, None) => Roots::System,
        };
        let cert = self.choose(
            ("-client-cert", &flags.client_cert),
            "CLIENT_CERT",
            raw.and_then(|raw| raw.client_cert.as_ref()),
        );
        let key = self.choose(
            ("-client-key", &flags.client_key),
            "CLIENT_KEY",
            raw.and_then(|raw| raw.client_key.as_ref()),
        );
        let server_name = self.choose(
            ("-tls-server-name", &flags.tls_server_name),
            "TLS_SERVER_NAME",
            raw.and_then(|raw| raw.tls_server_name.as_ref()),
        );
        TlsSettings {
            roots,
            identity: self.identity(cert, key),
            server_name: server_name.map(|chosen| chosen.value),
            verify: self.verify(raw.and_then(|raw| raw.tls_skip_verify)),
        }
    }

    /// A client certificate and its key: both, or neither.
    fn identity(&mut self, cert: Option<Chosen>, key: Option<Chosen>) -> Option<(Pem, Pem)> {
        let bytes = |name| {
            let variable = self.environment.filled(name);
            variable.map(|variable| Pem::Bytes(variable.value.as_bytes().to_vec()))
        };
        let cert_pem = cert.as_ref().map(|chosen| Pem::File(chosen.value.clone().into()));
        let key_pem = key.as_ref().map(|chosen| Pem::File(chosen.value.clone().into()));
        let pair =
            (cert_pem.or_else(|| bytes("CLIENT_CERT_BYTES")), key_pem.or_else(|| bytes("CLIENT_KEY_BYTES")));
        match pair {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => {
                let message = "both client cert and client key must be provided";
                self.refuse(match cert.or(key) {
                    Some(chosen) => chosen.refuse(message),
                    None => Problem::at_start(message, None),
                });
                None
            }
        }
    }

    /// Upstream takes any text in the variable, `false` included, for true.
    fn verify(&mut self, file: Option<bool>) -> Verify {
        let skip = if let Some(flag) = self.flags.tls_skip_verify {
            flag
        } else if let Some(variable) = self.environment.variable("SKIP_VERIFY") {
            match variable.value {
                "" => false,
                text => parse_bool(text).unwrap_or_else(|_| {
                    self.refuse(bad_variable(&variable, &format!("could not parse {}", variable.name)));
                    false
                }),
            }
        } else {
            file.unwrap_or(false)
        };
        if skip { Verify::Skip } else { Verify::Yes }
    }

    fn retry(&mut self, raw: Option<&RawVault>) -> RetryPolicy {
        if let Some(variable) = self.environment.filled("MAX_RETRIES") {
            match parse_integer(variable.value) {
                // Unlike the key, the variable means what it says: 0 is none.
                Ok(0) => return RetryPolicy::Never,
                Ok(retries) if retries > 0 => return RetryPolicy::from_config(retries),
                Ok(_) => {
                    let why = format!("{} must not be negative", variable.name);
                    self.refuse(bad_variable(&variable, &why));
                }
                Err(why) => self.refuse(bad_variable(&variable, &why)),
            }
        }
        RetryPolicy::from_config(raw.and_then(|raw| raw.num_retries).unwrap_or(0))
    }

    /// `rate`, or `rate:burst`; without a burst it is as many as in a second.
    fn rate_limit(&mut self) -> Option<RateLimit> {
        let variable = self.environment.filled("RATE_LIMIT")?;
        let (rate, burst) = match variable.value.split_once(':') {
            Some((rate, burst)) => (rate, Some(burst)),
            None => (variable.value, None),
        };
        let limit = rate.parse().ok().and_then(|rate: f64| {
            let burst = burst.map_or(Ok(rate as u32), str::parse).ok()?;
            RateLimit::new(rate, burst)
        });
        if limit.is_none() {
            self.refuse(
                bad_variable(&variable, &format!("{} was provided but incorrectly formatted", variable.name))
                    .hint("requests a second, and how many at once: \"10\", \"0.5\", \"10:50\"; more than 0"),
            );
        }
        limit
    }

    fn timeout(&mut self) -> Duration {
        let Some(variable) = self.environment.filled("CLIENT_TIMEOUT") else { return DEFAULT_TIMEOUT };
        match GoDuration::parse_lax(variable.value).ok().and_then(GoDuration::positive) {
            Some(timeout) => timeout,
            None => {
                self.refuse(
                    bad_variable(&variable, &format!("could not parse {:?}", variable.name))
                        .hint("a number of seconds, or text like \"90s\", \"5m\"; more than 0"),
                );
                DEFAULT_TIMEOUT
            }
        }
    }
}

/// The address without the user and password somebody may have put before the host.
fn without_user(address: &str) -> String {
    match (address.find("://"), address.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => format!("{}***{}", &address[..scheme + 3], &address[at..]),
        _ => address.to_owned(),
    }
}
