//! What the `kubernetes` plugin asks of a cluster: whose token is this?

use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A cluster that knows every token.
pub(crate) struct Review {
    pub(crate) address: String,
    tokens: Arc<Mutex<Vec<String>>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Review {
    pub(crate) async fn start(certificate: &str, key: &str) -> Self {
        let chain = CertificateDer::pem_slice_iter(certificate.as_bytes()).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = format!("https://{}", listener.local_addr().unwrap());
        let tokens = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&tokens);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut asked = Vec::new();
                let body = loop {
                    let mut room = [0; 4096];
                    match stream.read(&mut room).await {
                        Ok(count) if count > 0 => asked.extend_from_slice(&room[..count]),
                        _ => break None,
                    }
                    if let Some(body) = body(&asked) {
                        break Some(body);
                    }
                };
                let Some(body) = body else { continue };
                assert!(asked.starts_with(b"POST /apis/authentication.k8s.io/v1/tokenreviews"));
                seen.lock().unwrap().push(body["spec"]["token"].as_str().unwrap_or_default().to_owned());
                let answer = json!({"status": {"authenticated": true, "audiences": ["vault"], "user": {
                    "username": "system:serviceaccount:ns:sa", "uid": "u-1", "groups": ["system:serviceaccounts"],
                }}})
                .to_string();
                let answer = format!(
                    "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{answer}",
                    answer.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Self { address, tokens, serving }
    }

    /// The tokens it was asked about.
    pub(crate) fn tokens(&self) -> Vec<String> {
        self.tokens.lock().unwrap().clone()
    }
}

impl Drop for Review {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// The request's body, once it is whole.
fn body(asked: &[u8]) -> Option<Value> {
    let at = asked.windows(4).position(|window| window == b"\r\n\r\n")?;
    serde_json::from_slice(&asked[at + 4..]).ok()
}
