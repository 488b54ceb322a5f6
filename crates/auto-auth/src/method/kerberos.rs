//! `kerberos`: a ticket for the server, got with a key from a keytab.
//!
//! The client is our own: some hundred lines over aws-lc-rs. What else there is, weighed in 2026:
//! - The system's library by `dlopen` needs `unsafe`, does not exist on a machine or in an image without Kerberos, and
//!   takes the path of `krb5.conf` from the process's environment only, which must not change while threads run.
//! - The system's programs (`kinit`) put tickets into files, and none of them speaks SPNEGO.
//! - Crates: `kerberos_asn1`, `kerberos_crypto` and `kerberos_keytab` are under the AGPL; `sspi` brings 133 crates;
//!   `picky-krb` brings 16, a second stack of ciphers among them, and has neither keytabs nor a client.
//!
//! So each login is: a first ticket with the keytab's key (`client.rs`), a ticket for the service, and the latter
//! presented in a SPNEGO token in the header `Authorization`. All of it is dropped then. Messages are RFC 4120's
//! (`messages.rs` on `der.rs`), encryption RFC 3962's and 8009's (`crypto.rs`). KDCs are those of `krb5.conf` and no
//! others; DNS is not asked for them.
//!
//! What upstream calls "FAST negotiation" is RFC 6806's confirmation: the KDC signs the request as it saw it, so that
//! nobody on the way can weaken it. There is no armour around requests, here as there.

mod client;
mod clock;
mod crypto;
mod der;
mod kdc;
mod keytab;
mod krb5conf;
mod messages;
mod principal;
mod refusal;

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use serde_json::json;
use tokio::time::timeout;
use tracing::warn;
use vault::BoxFuture;

use super::credential::warn_if_world_readable;
use super::{Attempt, LoginError, Method, Scene};
use crate::watch::Watch;
use client::Client;
use keytab::{Keytab, MAX_KEYTAB, Wanted};
use krb5conf::Krb5Conf;
use principal::Principal;

/// All questions to KDCs of one login. The login as a whole has a minute.
const WITHIN: Duration = Duration::from_secs(30);

/// How often the keytab is looked at for new keys.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Whose ticket, for what, and the keys that were read last.
pub(super) struct Kerberos {
    keys: config::Kerberos,
    keytab: Option<Keytab>,
}

impl Kerberos {
    pub(super) fn new(keys: &config::Kerberos) -> Self {
        Self { keys: keys.clone(), keytab: None }
    }

    async fn prepare(&mut self, scene: &Scene<'_>) -> Result<Attempt, LoginError> {
        self.read_keytab()?;
        let Self { keys, keytab: Some(keytab), .. } = self else {
            return Err(LoginError::NoCredentials("no keytab was read".to_owned()));
        };
        let conf =
            Krb5Conf::load(&keys.krb5conf).map_err(|(path, reason)| unusable("krb5.conf", &path, reason))?;
        let principal = Principal::new(&keys.realm, &keys.username);
        let client = Client {
            conf: &conf,
            conf_path: &keys.krb5conf,
            keytab,
            keytab_path: &keys.keytab,
            wanted: Wanted { principal: &principal, without_instance: keys.remove_instance_name },
            confirmed: !keys.disable_fast_negotiation,
        };
        let token = match timeout(WITHIN, client.negotiate(&keys.service)).await {
            Ok(token) => token?,
            Err(_) => {
                let reason = format!("no ticket within {} seconds", WITHIN.as_secs());
                return Err(LoginError::Outside { what: kdc::WHAT, url: keys.realm.clone(), reason });
            }
        };
        let mut attempt = Attempt::login(scene.mount, json!({}));
        if let Attempt::Login(credentials) = &mut attempt {
            credentials.headers.push((AUTHORIZATION, format!("Negotiate {}", STANDARD.encode(token))));
        }
        Ok(attempt)
    }

    /// Reads the keytab. One that cannot be used is no failure once there was a good one: it may be being written.
    fn read_keytab(&mut self) -> Result<(), LoginError> {
        match self.load_keytab() {
            Ok(keytab) => self.keytab = Some(keytab),
            Err(error) if self.keytab.is_none() => return Err(error),
            Err(error) => {
                warn!(target: "auth.handler", %error, "the keytab cannot be read, going on with what was read before");
            }
        }
        warn_if_world_readable("keytab", &self.keys.keytab);
        Ok(())
    }

    /// Takes over a keytab that is another one than the last.
    fn look(&mut self) -> bool {
        match self.load_keytab() {
            Ok(keytab) if self.keytab.as_ref() != Some(&keytab) => {
                self.keytab = Some(keytab);
                true
            }
            _ => false,
        }
    }

    fn load_keytab(&self) -> Result<Keytab, LoginError> {
        let path = &self.keys.keytab;
        let bytes = atomic_file::read_regular(path, MAX_KEYTAB).map_err(|error| error.reason());
        let bytes = zeroize::Zeroizing::new(bytes.map_err(|reason| unusable("keytab", path, reason))?);
        Keytab::parse(&bytes).map_err(|reason| unusable("keytab", path, reason))
    }
}

impl Method for Kerberos {
    fn prepare<'a>(&'a mut self, scene: &'a Scene<'a>) -> BoxFuture<'a, Result<Attempt, LoginError>> {
        Box::pin(self.prepare(scene))
    }

    fn watch(&self) -> Option<Watch> {
        Some(Watch { every: LOOK_AGAIN, files: vec![self.keys.keytab.clone()] })
    }

    fn has_new_credentials<'a>(&'a mut self, _: &'a Scene<'a>) -> BoxFuture<'a, bool> {
        Box::pin(std::future::ready(self.look()))
    }
}

fn unusable(what: &'static str, path: &Path, reason: String) -> LoginError {
    LoginError::Credential { what, path: path.display().to_string(), reason }
}

#[cfg(test)]
mod tests {
    use super::keytab::tests::{entry, keytab};
    use super::*;

    fn put(path: &Path, bytes: &[u8]) {
        atomic_file::write(path, bytes, &atomic_file::Attributes::new(0o600)).unwrap();
    }

    #[test]
    fn a_keytab_that_is_being_replaced_is_waited_for_and_a_new_one_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keytab");
        let mut method = Kerberos::new(&config::Kerberos {
            username: "app".into(),
            service: "HTTP/web".into(),
            realm: "EXAMPLE.COM".into(),
            keytab: path.clone(),
            krb5conf: folder.path().join("krb5.conf"),
            disable_fast_negotiation: false,
            remove_instance_name: false,
        });
        assert!(
            method.read_keytab().unwrap_err().to_string().starts_with("keytab file "),
            "there was none yet"
        );
        assert!(!method.look(), "what is not there is no news");
        let old = keytab(&[entry(&["app"], 1, 18, &[1; 32])]);
        put(&path, &old);
        assert!(method.look(), "the first");
        assert!(!method.look(), "the same");
        put(&path, &old[..old.len() - 1]);
        assert!(method.read_keytab().is_ok() && !method.look(), "half of it");
        put(&path, &keytab(&[entry(&["app"], 2, 18, &[2; 32])]));
        assert!(method.look(), "the next");
        assert_eq!(method.watch().unwrap().files, [path]);
    }

    #[tokio::test]
    async fn the_instance_of_the_keytabs_principal_counts_unless_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, conf) = (folder.path().join("keytab"), folder.path().join("krb5.conf"));
        put(&path, &keytab(&[entry(&["app", "host"], 1, 18, &[1; 32])]));
        put(&conf, b"[realms]\nEXAMPLE.COM = {\n kdc = 127.0.0.1:1\n}\n");
        for (remove_instance_name, said) in
            [(false, "it has no key for app@EXAMPLE.COM"), (true, "127.0.0.1:1 (Tcp): ")]
        {
            let mut method = Kerberos::new(&config::Kerberos {
                username: "app".into(),
                service: "HTTP/web".into(),
                realm: "EXAMPLE.COM".into(),
                keytab: path.clone(),
                krb5conf: conf.clone(),
                disable_fast_negotiation: false,
                remove_instance_name,
            });
            let error = super::super::loopback::prepared(&mut method, &[]).await.unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
