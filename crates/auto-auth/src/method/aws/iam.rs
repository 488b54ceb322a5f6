//! `type = "iam"`: the question "who am I" to AWS's STS, signed and given to the server, which asks it for us.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use config::Environment;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tracing::warn;
use vault::BoxFuture;

use super::Metadata;
use super::chain::Chain;
use super::keys::Keys;
use super::region::{signing, sts_host};
use super::sigv4::{Scope, Unsigned, sign};
use crate::method::{Attempt, LoginError, Method, Scene};
use crate::watch::Watch;

const BODY: &str = "Action=GetCallerIdentity&Version=2011-06-15";
const CONTENT_TYPE: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// Who asks AWS, as its own logs show it.
const USER_AGENT: &str = concat!("sidekey/", env!("CARGO_PKG_VERSION"));

/// What it signs with, and where that comes from.
pub(super) struct Iam {
    role: String,
    region: Option<String>,
    header_value: Option<String>,
    poll_interval: Duration,
    chain: Chain,
    /// Those of the last login, for comparison, and for when no source answers.
    last: Option<Keys>,
    /// Known once there was a login.
    files: Vec<PathBuf>,
}

impl Iam {
    pub(super) fn new(role: String, keys: &config::AwsIam, metadata: Metadata) -> Self {
        Self {
            role,
            region: keys.region.clone(),
            header_value: keys.header_value.clone(),
            poll_interval: keys.poll_interval,
            chain: Chain::new(keys.keys.as_ref(), metadata),
            last: None,
            files: Vec::new(),
        }
    }

    async fn keys(&mut self, environment: &Environment) -> Result<Keys, LoginError> {
        let region = signing(self.region.as_deref(), environment);
        self.chain.keys(environment, region).await
    }

    async fn prepare(&mut self, scene: &Scene<'_>) -> Result<Attempt, LoginError> {
        let environment = scene.environment;
        self.files = self.chain.files(environment);
        let now = Timestamp::now();
        let keys = match (self.keys(environment).await, &self.last) {
            (Ok(keys), _) => keys,
            (Err(error), Some(last)) if !last.is_expired(now) => {
                warn!(target: "auth.handler", error = %error, "unable to retrieve current creds, retaining last creds");
                last.clone()
            }
            (Err(error), _) => return Err(error),
        };
        let region = signing(self.region.as_deref(), environment);
        let mut body = login_data(&keys, region, self.header_value.as_deref(), now);
        body.insert("role".to_owned(), json!(self.role));
        self.last = Some(keys);
        Ok(Attempt::login(scene.mount, Value::Object(body)))
    }
}

impl Method for Iam {
    fn prepare<'a>(&'a mut self, scene: &'a Scene<'a>) -> BoxFuture<'a, Result<Attempt, LoginError>> {
        Box::pin(self.prepare(scene))
    }

    fn watch(&self) -> Option<Watch> {
        Some(Watch { every: self.poll_interval, files: self.files.clone() })
    }

    fn has_new_credentials<'a>(&'a mut self, scene: &'a Scene<'a>) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            match self.keys(scene.environment).await {
                // The same keys after their end are no news: a login with them would only be refused.
                Ok(keys) => self.last.as_ref() != Some(&keys),
                Err(error) => {
                    // Without a login yet, the next one tells why.
                    if self.last.is_some() {
                        warn!(target: "auth.handler", error = %error, "unable to retrieve current creds, retaining last creds");
                    }
                    false
                }
            }
        })
    }
}

/// The signed question, as the server wants it.
fn login_data(keys: &Keys, region: &str, header_value: Option<&str>, now: Timestamp) -> Map<String, Value> {
    let host = sts_host(region);
    let length = BODY.len().to_string();
    let mut signed = vec![
        ("content-length", length.clone()),
        ("content-type", CONTENT_TYPE.to_owned()),
        ("host", host.clone()),
    ];
    if let Some(value) = header_value {
        signed.push(("x-vault-aws-iam-server-id", value.to_owned()));
    }
    let request = Unsigned { method: "POST", headers: signed, body: BODY.as_bytes() };
    let signature = sign(request, Scope { region, service: "sts" }, keys, now);
    // The host is not among them: the server takes it from the URL.
    let mut headers = json!({
        "Authorization": [signature.authorization],
        "Content-Length": [length],
        "Content-Type": [CONTENT_TYPE],
        "User-Agent": [USER_AGENT],
        "X-Amz-Date": [signature.date],
    });
    if let Some(token) = &keys.session_token {
        headers["X-Amz-Security-Token"] = json!([token.expose()]);
    }
    if let Some(value) = header_value {
        headers["X-Vault-Aws-Iam-Server-Id"] = json!([value]);
    }
    let data = [
        ("iam_http_request_method", "POST".to_owned()),
        ("iam_request_url", STANDARD.encode(format!("https://{host}/"))),
        ("iam_request_body", STANDARD.encode(BODY)),
        ("iam_request_headers", STANDARD.encode(headers.to_string())),
    ];
    data.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect()
}
