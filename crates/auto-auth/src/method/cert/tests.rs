//! Certificate files as they should and should not be.

use std::path::PathBuf;
use std::time::Duration;

use config::Environment;
use vault::Mount;
use vault::api::Caller;

use super::*;

struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        atomic_file::write(&self.path(name), text.as_bytes(), &atomic_file::Attributes::new(0o600)).unwrap();
    }

    fn cert(&self, reload: bool) -> Cert {
        let keys = config::Cert {
            name: Some("web".to_owned()),
            ca_cert: None,
            identity: Some((self.path("cert"), self.path("key"))),
            reload: reload.then_some(Duration::from_secs(60)),
        };
        let mut cert = Cert::new(&keys);
        let mut settings = ClientSettings::new("https://127.0.0.1:1".parse().unwrap());
        settings.tls.verify = vault::Verify::Skip;
        cert.use_client(&settings);
        cert
    }
}

/// Certificate and key.
fn pair() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["client".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn prepare(cert: &mut Cert) -> Result<Attempt, LoginError> {
    let (mount, caller, environment) = (Mount::new("auth/cert"), Caller::default(), Environment::default());
    let server = vault::Client::new(&ClientSettings::new("http://127.0.0.1:1".parse().unwrap())).unwrap();
    let scene = Scene { mount: &mount, server: &server, caller: &caller, environment: &environment };
    cert.prepare(&scene)
}

#[test]
fn the_role_is_sent_if_there_is_one_and_huge_files_are_not_read() {
    let files = Files::new();
    let (cert, key) = pair();
    files.put("cert", &cert);
    files.put("key", &key);
    let mut method = files.cert(false);
    let sent = |method: &mut Cert| match prepare(method).unwrap() {
        Attempt::Login(sent) => (sent.path, sent.body),
        Attempt::Lookup(_) => panic!("no login"),
    };
    assert_eq!(sent(&mut method), ("auth/cert/login".to_owned(), json!({"name": "web"})));
    method.keys.name = None;
    assert_eq!(sent(&mut method).1, json!({}));
    files.put("cert", &format!("{}{cert}", " ".repeat(1 << 20)));
    let error = prepare(&mut files.cert(false)).unwrap_err().to_string();
    assert!(error.contains("larger than 1048576 bytes"), "{error}");
}

#[test]
fn each_fault_names_its_file() {
    let files = Files::new();
    let (cert, key) = pair();
    let (_, other) = pair();
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let older = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    for (cert, key, named, reason) in [
        (cert.as_str(), encrypted, "key", "it is encrypted"),
        (&cert, older, "key", "it is encrypted"),
        (&cert, "", "key", "it is empty"),
        (&cert, &key[..80], "key", "private key breaks off"),
        (&cert, &cert, "key", "holds no PEM private key"),
        (&cert, &other, "key", ""),
        ("", &key, "cert", "it is empty"),
        ("nonsense", &key, "cert", "holds no PEM certificate"),
        (&cert[..100], &key, "cert", "certificate breaks off"),
    ] {
        files.put("cert", cert);
        files.put("key", key);
        let error = prepare(&mut files.cert(false)).unwrap_err().to_string();
        assert!(
            error.contains(&files.path(named).display().to_string()) && error.contains(reason),
            "{error}"
        );
        assert!(!error.contains("-----BEGIN"), "{error}");
    }
    files.put("cert", &cert);
    let _ = atomic_file::remove(&files.path("key"));
    let error = prepare(&mut files.cert(false)).unwrap_err().to_string();
    assert!(error.contains("client key file") && error.contains("No such file"), "{error}");
}

#[test]
fn a_new_pair_is_news_once_it_fits_together_and_the_old_one_serves_meanwhile() {
    let files = Files::new();
    let (cert, key) = pair();
    files.put("cert", &cert);
    files.put("key", &key);
    let mut reloading = files.cert(true);
    prepare(&mut reloading).unwrap();
    assert!(!reloading.has_news());
    let first = reloading.own.as_ref().unwrap().made_from.clone();
    let (cert, key) = pair();
    files.put("cert", &cert);
    assert!(!reloading.has_news(), "the key does not fit");
    prepare(&mut reloading).unwrap();
    assert_eq!(reloading.own.as_ref().unwrap().made_from, first);
    files.put("key", &key);
    assert!(reloading.has_news() && !reloading.has_news());
    // Renewals still come with the certificate of the login.
    assert_eq!(reloading.own.as_ref().unwrap().made_from, first);
    prepare(&mut reloading).unwrap();
    assert_ne!(reloading.own.as_ref().unwrap().made_from, first);
    assert_eq!(reloading.watch().unwrap().files, [files.path("cert"), files.path("key")]);
}

#[test]
fn without_reload_the_first_pair_stays() {
    let files = Files::new();
    let (cert, key) = pair();
    files.put("cert", &cert);
    files.put("key", &key);
    let mut cert = files.cert(false);
    prepare(&mut cert).unwrap();
    let first = cert.own.as_ref().unwrap().made_from.clone();
    let (new_cert, new_key) = pair();
    files.put("cert", &new_cert);
    files.put("key", &new_key);
    prepare(&mut cert).unwrap();
    assert_eq!(cert.own.as_ref().unwrap().made_from, first);
    assert!(cert.watch().is_none());
}

#[tokio::test]
async fn the_methods_own_way_to_the_server_asks_once() {
    use crate::method::loopback::{Do, Loopback};
    let server = Loopback::start(|_| Do::Answer(503, "{}".to_owned())).await;
    let files = Files::new();
    let (certificate, key) = pair();
    files.put("cert", &certificate);
    files.put("key", &key);
    let mut cert = files.cert(false);
    let settings = ClientSettings::new(server.address.parse().unwrap());
    assert_eq!(settings.retry, RetryPolicy::Patient, "everybody else asks again");
    cert.use_client(&settings);
    let attempt = prepare(&mut cert).unwrap();
    let way = cert.server().unwrap();
    let caller = Caller::default();
    let asked = attempt.carry_out(way.as_ref(), &caller, None);
    let error = tokio::time::timeout(Duration::from_secs(20), asked).await.unwrap().unwrap_err().to_string();
    assert!(error.contains("503"), "{error}");
    assert_eq!(server.asked().len(), 1, "the back-off of logins is the only one");
}
