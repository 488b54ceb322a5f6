//! S25: certificates of clients, and new ones of ours.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use config::{ListenerTls, Pattern, RateLimit};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::get;
use super::sockets::{Torn, any_port, eventually, start, start_both, tcp, try_hear_all};
use crate::breach::Breach;
use crate::client_name::names;

/// Who signs, and a folder with what was signed.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// A certificate and its key, in PEM.
struct Pair(String, String);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer, folder: tempfile::tempdir().unwrap() }
    }

    /// With these alternative names, and a common name unless it is empty.
    fn sign(&self, alternatives: Vec<SanType>, common: &str) -> Pair {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        if !common.is_empty() {
            params.distinguished_name.push(DnType::CommonName, common);
        }
        params.subject_alt_names = alternatives;
        let key = KeyPair::generate().unwrap();
        Pair(params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn server(&self) -> Pair {
        self.sign(vec![dns("localhost")], "")
    }

    /// A listener's settings, with the server's pair and the clients' CA in files.
    fn settings(&self, server: &Pair, names: &[&str]) -> ListenerTls {
        let path = |name: &str| self.folder.path().join(name);
        put(&path("cert"), &server.0);
        put(&path("key"), &server.1);
        put(&path("ca"), &self.issuer.pem());
        ListenerTls {
            cert_file: path("cert"),
            key_file: path("key"),
            only_tls13: false,
            only_tls12: false,
            choice: config::TlsChoice::default(),
            only_alternative_names: false,
            client_ca_file: Some(path("ca")),
            require_client_cert: true,
            allowed_client_names: names.iter().map(|name| Pattern::new(name)).collect(),
            reload: None,
        }
    }

    fn client(
        &self,
        pair: Option<&Pair>,
        version: &'static rustls::SupportedProtocolVersion,
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots);
        match pair {
            None => builder.with_no_client_auth(),
            Some(Pair(cert, key)) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()],
                    PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
                )
                .unwrap(),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "files of a test's own folder")]
fn put(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().unwrap())
}

/// Status of an answer, and how hands were shaken.
async fn ask(address: &str, config: &Arc<ClientConfig>) -> Option<(u16, HandshakeKind)> {
    let stream = TcpStream::connect(tcp(address)).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await.ok()?;
    stream.write_all(get("/v1/a").replace("Host", "Connection: close\r\nHost").as_bytes()).await.ok()?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await.ok()?;
    let status = String::from_utf8(text).unwrap().get(9..12)?.parse().unwrap();
    Some((status, stream.get_ref().1.handshake_kind().unwrap()))
}

const VERSIONS: [&rustls::SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

#[tokio::test]
async fn s25_only_those_with_the_right_name_come_in() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let allowed = ["app.example", "spiffe://example.org/ns/prod/*", "ops@example.org", "billing"];
    let settings = authority.settings(&authority.server(), &allowed);
    let (address, counters, stop) = start(|listener| {
        any_port(listener);
        listener.tls = Some(settings);
    })
    .await;
    let mail = |name: &str| SanType::Rfc822Name(name.try_into().unwrap());
    let app = || vec![dns("app.example")];
    for (what, pair, comes_in) in [
        ("host", Some(authority.sign(app(), "")), true),
        ("host in capitals", Some(authority.sign(vec![dns("App.Example")], "")), true),
        ("one of several", Some(authority.sign(vec![dns("x.example"), dns("app.example")], "x")), true),
        ("uri", Some(authority.sign(vec![uri("spiffe://example.org/ns/prod/sa/a")], "")), true),
        ("mail", Some(authority.sign(vec![mail("ops@example.org")], "")), true),
        ("common name", Some(authority.sign(vec![], "billing")), true),
        ("another host", Some(authority.sign(vec![dns("app.example.org")], "")), false),
        ("another uri", Some(authority.sign(vec![uri("spiffe://example.org/ns/dev/sa/a")], "")), false),
        ("no name at all", Some(authority.sign(vec![], "")), false),
        ("a stranger's", Some(stranger.sign(app(), "")), false),
        ("no certificate", None, false),
    ] {
        for version in VERSIONS {
            let config = Arc::new(authority.client(pair.as_ref(), version));
            let answer = ask(&address, &config).await;
            assert_eq!(answer.map(|(status, _)| status), comes_in.then_some(200), "{what} {version:?}");
        }
    }
    assert_eq!(counters.breaches(Breach::ClientName), 6);
    assert_eq!(counters.breaches(Breach::Handshake), 4);
    assert_eq!(counters.requests.load(Relaxed), 12);
    stop.cancel();
}

/// A session that goes on where an older one ended would not be asked for its certificate.
#[tokio::test]
async fn s25_no_session_is_resumed_where_certificates_count() {
    let authority = Authority::new();
    let pair = authority.sign(vec![dns("app.example")], "");
    for (with_clients, version) in
        [(true, VERSIONS[0]), (true, VERSIONS[1]), (false, VERSIONS[0]), (false, VERSIONS[1])]
    {
        let mut settings = authority.settings(&authority.server(), &[]);
        if !with_clients {
            (settings.client_ca_file, settings.require_client_cert) = (None, false);
        }
        let (address, _, stop) = start(|listener| {
            any_port(listener);
            listener.tls = Some(settings);
        })
        .await;
        let config = Arc::new(authority.client(Some(&pair), version));
        let mut kinds = Vec::new();
        for _ in 0..3 {
            kinds.push(ask(&address, &config).await.unwrap().1);
        }
        let again = if with_clients { HandshakeKind::Full } else { HandshakeKind::Resumed };
        assert_eq!(kinds, [HandshakeKind::Full, again, again], "{with_clients} {version:?}");
        stop.cancel();
    }
}

#[tokio::test]
async fn s25_new_files_are_taken_up_and_bad_ones_are_not() {
    let (authority, other) = (Authority::new(), Authority::new());
    let client = authority.sign(vec![dns("app.example")], "");
    let first = authority.server();
    let settings = ListenerTls { reload: Some(Duration::from_millis(20)), ..authority.settings(&first, &[]) };
    let files = settings.clone();
    let (address, _, stop) = start(|listener| {
        any_port(listener);
        listener.tls = Some(settings);
    })
    .await;
    let served = async || {
        let stream = TcpStream::connect(tcp(&address)).await.unwrap();
        let config = Arc::new(authority.client(Some(&client), VERSIONS[1]));
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(config).connect(name, stream).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let der = |pair: &Pair| CertificateDer::from_pem_slice(pair.0.as_bytes()).unwrap().to_vec();
    assert_eq!(served().await, der(&first));
    // The key of another certificate, garbage, nothing at all.
    let second = authority.server();
    put(&files.cert_file, &second.0);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(served().await, der(&first));
    put(&files.key_file, "garbage");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(served().await, der(&first));
    atomic_file::remove(&files.key_file).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(served().await, der(&first));
    put(&files.key_file, &second.1);
    tokio::time::timeout(Duration::from_secs(10), async {
        while served().await != der(&second) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the new one");
    // Whose CA is trusted no more stays outside.
    let config = Arc::new(authority.client(Some(&client), VERSIONS[1]));
    assert!(ask(&address, &config).await.is_some());
    put(files.client_ca_file.as_ref().unwrap(), &other.issuer.pem());
    tokio::time::timeout(Duration::from_secs(10), async {
        while ask(&address, &config).await.is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("turned away");
    stop.cancel();
}

#[tokio::test]
async fn s26_a_certificates_name_is_a_caller() {
    let authority = Authority::new();
    let settings = authority.settings(&authority.server(), &[]);
    let (address, counters, stop) = start(|listener| {
        any_port(listener);
        listener.tls = Some(settings);
        // One, and none again while this test runs.
        listener.access.rate = Some(RateLimit { per_second: 1, burst: 1 });
    })
    .await;
    let named =
        |name: &str| Arc::new(authority.client(Some(&authority.sign(vec![dns(name)], "")), VERSIONS[1]));
    let (a, b) = (named("a.example"), named("b.example"));
    let status = async |config| ask(&address, config).await.unwrap().0;
    assert_eq!((status(&a).await, status(&b).await), (200, 200), "one address, two names");
    let mut again = Vec::new();
    for _ in 0..3 {
        again.push(status(&a).await);
    }
    assert!(again.contains(&429), "{again:?}");
    assert!(counters.breaches(Breach::Rate) >= 1);
    eventually(|| counters.connections.load(Relaxed) == 0).await;
    stop.cancel();
}

#[test]
fn what_is_no_certificate_has_no_name() {
    for bytes in [&b""[..], b"garbage", &[0x30, 0x82, 0xff, 0xff]] {
        assert!(names(&CertificateDer::from(bytes.to_vec())).is_empty());
    }
}

/// Over TLS a proper end is said (close_notify), to HTTP/1.0 as well: without it an answer is known as torn.
#[tokio::test]
async fn s06_a_torn_answer_over_tls_has_no_proper_end() {
    let authority = Authority::new();
    let pair = authority.server();
    let mut settings = authority.settings(&pair, &[]);
    settings.require_client_cert = false;
    settings.client_ca_file = None;
    for version in VERSIONS {
        let config = Arc::new(authority.client(None, version));
        let hear = async |address: &str| {
            let stream = TcpStream::connect(tcp(address)).await.unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let mut stream = TlsConnector::from(Arc::clone(&config)).connect(name, stream).await.unwrap();
            stream.write_all(b"GET /v1/a HTTP/1.0\r\nHost: localhost\r\n\r\n").await.unwrap();
            try_hear_all(&mut stream).await
        };
        let tls = |listener: &mut config::Listener| {
            any_port(listener);
            listener.tls = Some(settings.clone());
        };
        let (address, stop) = start_both(Torn, tls).await;
        let torn = hear(&address).await.map_err(|why| why.kind());
        assert_eq!(torn, Err(std::io::ErrorKind::UnexpectedEof), "{version:?}");
        stop.cancel();
        let (address, _, stop) = start(tls).await;
        assert!(hear(&address).await.unwrap().starts_with("HTTP/1.0 200"), "{version:?}");
        stop.cancel();
    }
}

/// How hands were shaken: with which suite and key exchange. `None` when they were not.
async fn shaken(
    address: &str,
    authority: &Authority,
    version: &'static rustls::SupportedProtocolVersion,
    offer: impl Fn(&mut CryptoProvider),
) -> Option<(String, String)> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    offer(&mut provider);
    let mut roots = RootCertStore::empty();
    roots.add(authority.issuer.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(tcp(address)).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
    let connection = stream.get_ref().1;
    let suite = connection.negotiated_cipher_suite()?.suite().as_str()?.to_owned();
    let group = connection.negotiated_key_exchange_group()?.name().as_str()?.to_owned();
    Some((suite, group))
}

#[tokio::test]
async fn only_what_was_chosen_is_agreed_on() {
    let authority = Authority::new();
    let chosen = config::TlsChoice {
        suites: vec!["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"],
        key_exchanges: vec!["secp384r1", "X25519"],
    };
    let settings = ListenerTls {
        client_ca_file: None,
        require_client_cert: false,
        choice: chosen,
        ..authority.settings(&authority.server(), &[])
    };
    let (address, _, _stop) = start(|listener| {
        any_port(listener);
        listener.tls = Some(settings);
    })
    .await;
    let only = |wanted: &'static str| {
        move |provider: &mut CryptoProvider| {
            provider.cipher_suites.retain(|suite| suite.suite().as_str() == Some(wanted));
        }
    };
    let offering = |wanted: &'static str| {
        move |provider: &mut CryptoProvider| {
            provider.kx_groups.retain(|group| group.name().as_str() == Some(wanted));
        }
    };
    let [older, newer] = VERSIONS;
    let agreed = |shaken: Option<(String, String)>| shaken.map(|(suite, _)| suite);
    let strong = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384";
    assert_eq!(agreed(shaken(&address, &authority, older, only(strong)).await).as_deref(), Some(strong));
    let other = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
    assert_eq!(shaken(&address, &authority, older, only(other)).await, None);
    // The list says nothing of TLS 1.3.
    for name in ["TLS13_AES_128_GCM_SHA256", "TLS13_CHACHA20_POLY1305_SHA256"] {
        assert_eq!(agreed(shaken(&address, &authority, newer, only(name)).await).as_deref(), Some(name));
    }
    for (group, fits) in
        [("secp384r1", true), ("X25519", true), ("secp256r1", false), ("X25519MLKEM768", false)]
    {
        let shaken = shaken(&address, &authority, newer, offering(group)).await;
        assert_eq!(shaken.map(|(_, group)| group).as_deref(), fits.then_some(group), "{group}");
    }
}

/// `tls_allowed_client_san` does not look at the common name.
#[tokio::test]
async fn s25_a_common_name_is_no_alternative_name() {
    let authority = Authority::new();
    let (by_name, by_common) = (authority.sign(vec![dns("billing")], ""), authority.sign(vec![], "billing"));
    for (only_alternative_names, comes_in) in [(false, [true, true]), (true, [true, false])] {
        let settings =
            ListenerTls { only_alternative_names, ..authority.settings(&authority.server(), &["billing"]) };
        let (address, _, _stop) = start(|listener| {
            any_port(listener);
            listener.tls = Some(settings);
        })
        .await;
        for (pair, comes_in) in [&by_name, &by_common].into_iter().zip(comes_in) {
            let config = Arc::new(authority.client(Some(pair), VERSIONS[1]));
            assert_eq!(ask(&address, &config).await.is_some(), comes_in, "{only_alternative_names}");
        }
    }
}
