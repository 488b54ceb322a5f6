//! S30: whom the client believes, and what it says to anybody else: nothing.

#![expect(clippy::unwrap_used, reason = "tests may be blunt")]

use std::path::Path;
use std::sync::{Arc, Mutex};

use http::Method;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use vault::{
    Client, ClientSettings, Request, RetryPolicy, Roots, SendError, TlsSettings, Token, Upstream as _, Verify,
};

/// Who signs servers' certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A server with a certificate for this name: its address, and what it was asked.
    async fn server(&self, name: &str) -> (String, Arc<Mutex<Vec<u8>>>) {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = format!("https://{}", listener.local_addr().unwrap());
        let heard = Arc::<Mutex<Vec<u8>>>::default();
        let ears = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut bytes = vec![0; 4096];
                let length = stream.read(&mut bytes).await.unwrap_or(0);
                ears.lock().unwrap().extend_from_slice(&bytes[..length]);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await;
                let _ = stream.shutdown().await;
            }
        });
        (address, heard)
    }
}

/// `None` when it was answered; else why not, in words.
async fn ask(address: &str, tls: TlsSettings) -> Option<String> {
    let mut settings = ClientSettings::new(address.parse().unwrap());
    settings.retry = RetryPolicy::Never;
    settings.tls = tls;
    let client = match Client::new(&settings) {
        Ok(client) => client,
        Err(why) => return Some(why.to_string()),
    };
    let request = Request::new(Method::GET, "secret/data/app").token(&Token::new("s.canary").unwrap());
    match client.send(request).await {
        Ok(answer) => {
            assert_eq!(answer.status, 200);
            None
        }
        Err(SendError::Tls { reason, .. }) => Some(reason),
        Err(other) => Some(format!("not TLS: {other}")),
    }
}

fn trusting(roots: Roots) -> TlsSettings {
    TlsSettings { roots, ..TlsSettings::default() }
}

fn put(path: &Path, text: &str) {
    let mut file = std::fs::File::create_new(path).unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
}

#[tokio::test]
async fn s30_the_certificate_is_verified_against_the_given_authorities() {
    let (right, wrong) = (Authority::new(), Authority::new());
    let (address, heard) = right.server("127.0.0.1").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("right.pem");
    put(&file, &right.pem);
    put(&folder.path().join("notes.txt"), "not a certificate");
    let bytes = |pem: &str| Roots::Bytes(pem.as_bytes().to_vec());
    // The system's authorities know neither; on a machine without any, that is the reason.
    let refused = [
        ask(&address, TlsSettings::default()).await,
        ask(&address, trusting(bytes(&wrong.pem))).await,
        // A name does not stand for an issuer.
        ask(
            &address,
            TlsSettings { server_name: Some("127.0.0.1".to_owned()), ..trusting(bytes(&wrong.pem)) },
        )
        .await,
    ];
    for why in refused {
        let why = why.unwrap_or_default();
        assert!(
            why.contains("invalid peer certificate") || why.contains("no trusted certificates"),
            "{why:?}"
        );
    }
    assert!(heard.lock().unwrap().is_empty(), "it was asked before it was known");
    for roots in [
        Roots::File(file),
        Roots::Folder(folder.path().to_owned()),
        bytes(&right.pem),
        bytes(&format!("{}{}", wrong.pem, right.pem)),
    ] {
        assert_eq!(ask(&address, trusting(roots)).await, None);
    }
    assert!(String::from_utf8_lossy(&heard.lock().unwrap()).contains("s.canary"));
}

#[tokio::test]
async fn s30_the_name_is_the_addresss_or_the_one_that_is_given() {
    let authority = Authority::new();
    let named = |name: Option<&str>| TlsSettings {
        server_name: name.map(str::to_owned),
        ..trusting(Roots::Bytes(authority.pem.clone().into_bytes()))
    };
    let (address, heard) = authority.server("vault.sidekey.test").await;
    for wrong in [None, Some("other.sidekey.test"), Some("sidekey.test"), Some("x.vault.sidekey.test")] {
        let why = ask(&address, named(wrong)).await.unwrap_or_default();
        assert!(why.contains("not valid for name"), "{wrong:?}: {why:?}");
    }
    assert!(heard.lock().unwrap().is_empty());
    assert_eq!(ask(&address, named(Some("vault.sidekey.test"))).await, None);
}

/// `tls_skip_verify`: neither the issuer nor the name counts.
#[tokio::test]
async fn s30_only_without_verification_is_anybody_believed() {
    let authority = Authority::new();
    let (address, heard) = authority.server("vault.sidekey.test").await;
    assert!(ask(&address, TlsSettings::default()).await.is_some());
    assert!(heard.lock().unwrap().is_empty());
    let skip = TlsSettings { verify: Verify::Skip, ..TlsSettings::default() };
    assert_eq!(ask(&address, skip).await, None);
}

/// TLS 1.3 and 1.2 are offered, and a server that speaks an older one is told nothing.
#[tokio::test]
async fn s30_nothing_below_tls_1_2_is_spoken() {
    for verify in [Verify::Yes, Verify::Skip] {
        for minor in [1, 2] {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let address = format!("https://{}", listener.local_addr().unwrap());
            let server = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut header = [0; 5];
                stream.read_exact(&mut header).await.unwrap();
                let mut hello = vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))];
                stream.read_exact(&mut hello).await.unwrap();
                // A ServerHello of TLS 1.0 or 1.1 with one of its ciphers.
                let mut answer = vec![2, 0, 0, 38, 3, minor];
                answer.extend([7; 32]);
                answer.extend([0, 0xc0, 0x13, 0]);
                let length = u8::try_from(answer.len()).unwrap();
                stream.write_all(&[22, 3, minor, 0, length]).await.unwrap();
                stream.write_all(&answer).await.unwrap();
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest).await;
                (hello, rest)
            });
            let pem = Authority::new().pem;
            let tls = TlsSettings { verify, ..trusting(Roots::Bytes(pem.into_bytes())) };
            let why = ask(&address, tls).await.unwrap_or_default();
            assert!(why.contains("ServerDoesNotSupportTls12Or13"), "{why:?}");
            let (hello, rest) = server.await.unwrap();
            // The extension of the versions: two of them, 1.3 and 1.2.
            let versions = [0, 43, 0, 5, 4, 3, 4, 3, 3];
            assert!(hello.windows(versions.len()).any(|window| window == versions), "{hello:?}");
            // An alert, and that is all.
            assert_eq!((rest.first(), rest.len()), (Some(&21), 7), "{rest:?}");
        }
    }
}
