//! An instance's own identity: its certificate is changed into a token that names a key made here.

use std::time::{Duration, SystemTime};

use config::Environment;
use http::header;
use tracing::{debug, warn};
use vault::SecretString;

use super::super::outside::{NEAR, Outside};
use super::super::rsa::RsaKey;
use super::super::{LoginError, oauth};
use super::federation;

/// The same on every instance.
const ENDPOINT: &str = "http://169.254.169.254/opc/v2";

/// What Oracle's libraries read another address from.
const ENDPOINT_VARIABLE: &str = "OCI_METADATA_BASE_URL";

/// Versions of the metadata service, the newest first. Version 2 refuses whoever does not send [`AUTHORIZATION`];
/// some instances have version 1 alone.
const VERSIONS: &[&str] = &["/opc/v2", "/opc/v1"];

const AUTHORIZATION: &str = "Bearer Oracle";

/// A token this close to its end is replaced.
const MARGIN: Duration = Duration::from_secs(60);

/// Regions that the metadata service calls by their old names, from Oracle's libraries.
const OLD_REGIONS: &[(&str, &str)] =
    &[("fra", "eu-frankfurt-1"), ("iad", "us-ashburn-1"), ("lhr", "uk-london-1"), ("phx", "us-phoenix-1")];

/// The domain of Oracle's commercial regions.
const DOMAIN: &str = "oraclecloud.com";

/// Where to ask, and the session that came out.
pub(super) struct Instance {
    metadata_endpoint: Option<String>,
    federation_endpoint: Option<String>,
    session: Option<Session>,
}

/// A token, and the key that signs with it.
pub(super) struct Session {
    /// `ST$` and the token.
    pub(super) key_id: SecretString,
    pub(super) key: RsaKey,
    pub(super) expires_at: SystemTime,
}

/// What the metadata service says of the instance.
pub(super) struct Identity {
    /// Certificate of the instance, in PEM.
    pub(super) certificate: String,
    /// Its key, in PEM.
    pub(super) key: SecretString,
    /// Certificate that it is signed by, in PEM.
    pub(super) intermediate: String,
    /// Base URL of the service that takes them.
    pub(super) endpoint: String,
}

impl Session {
    fn lives(&self, margin: Duration) -> bool {
        self.expires_at > SystemTime::now() + margin
    }
}

impl Instance {
    pub(super) fn new(metadata_endpoint: Option<String>, federation_endpoint: Option<String>) -> Self {
        Self { metadata_endpoint, federation_endpoint, session: None }
    }

    /// The session, a new one if it is near its end.
    ///
    /// # Errors
    /// As [`Self::renewed`].
    pub(super) async fn current(&mut self, environment: &Environment) -> Result<&Session, LoginError> {
        match &self.session {
            Some(session) if session.lives(MARGIN) => self.session.as_ref().ok_or_else(lost),
            _ => self.renewed(environment).await,
        }
    }

    /// A new session; the old one serves on if there is none to be had and it still lives.
    ///
    /// # Errors
    /// The instance has no identity, or Oracle does not take it.
    pub(super) async fn renewed(&mut self, environment: &Environment) -> Result<&Session, LoginError> {
        match self.open(environment).await {
            Ok(session) => self.session = Some(session),
            Err(error) if self.session.as_ref().is_some_and(|session| session.lives(Duration::ZERO)) => {
                warn!(target: "auth.handler", error = %error, "the instance gets no new token, its last one serves on");
            }
            Err(error) => return Err(error),
        }
        self.session.as_ref().ok_or_else(lost)
    }

    async fn open(&self, environment: &Environment) -> Result<Session, LoginError> {
        let from_environment = environment.exact(ENDPOINT_VARIABLE).filter(|url| !url.is_empty());
        let given = self.metadata_endpoint.as_deref().or(from_environment).unwrap_or(ENDPOINT);
        let given = oauth::link_url(given.trim_end_matches('/'));
        let root = VERSIONS.iter().find_map(|version| given.strip_suffix(version)).unwrap_or(&given);
        let mut first = None;
        for version in VERSIONS {
            let service = Outside::new("instance metadata service", &format!("{root}{version}"), NEAR)?;
            match self.identity(&service).await {
                Ok(identity) => return federation::session(&identity).await,
                Err(error) => {
                    debug!(target: "auth.handler", error = %error, version, "no identity from the instance metadata service");
                    first.get_or_insert(error);
                }
            }
        }
        Err(first.unwrap_or_else(lost))
    }

    async fn identity(&self, service: &Outside) -> Result<Identity, LoginError> {
        let endpoint = match &self.federation_endpoint {
            Some(endpoint) => endpoint.clone(),
            None => federation_endpoint(service).await?,
        };
        Ok(Identity {
            endpoint,
            certificate: get(service, "/identity/cert.pem").await?,
            key: get(service, "/identity/key.pem").await?.into(),
            intermediate: get(service, "/identity/intermediate.pem").await?,
        })
    }
}

/// `https://auth.<region>.<domain>`. Both parts are checked: what is no name must not lead elsewhere.
async fn federation_endpoint(service: &Outside) -> Result<String, LoginError> {
    // First what every version has: a service that is not there is found out at once.
    let region = get(service, "/instance/region").await?.trim().to_ascii_lowercase();
    let old = OLD_REGIONS.iter().find(|(old, _)| *old == region);
    let region = old.map_or(region.as_str(), |(_, new)| new).to_owned();
    let info = service.get("/instance/regionInfo", &[(header::AUTHORIZATION, AUTHORIZATION)]).await.ok();
    let info = info.and_then(|answer| answer.json());
    let text = |name| info.as_ref().and_then(|info| info.get(name)?.as_str()).map(str::to_ascii_lowercase);
    let (region, domain) = match (text("regionIdentifier"), text("realmDomainComponent")) {
        (Some(region), Some(domain)) => (region, domain),
        _ => (region, DOMAIN.to_owned()),
    };
    let is_name = |text: &str, dots: bool| {
        let allowed =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || (dots && c == '.');
        !text.is_empty() && text.len() < 64 && text.chars().all(allowed)
    };
    if is_name(&region, false) && is_name(&domain, true) {
        return Ok(format!("https://auth.{region}.{domain}"));
    }
    Err(service.refused("/instance/region", "the answer is no name of a region"))
}

async fn get(service: &Outside, path: &str) -> Result<String, LoginError> {
    let answer = service.get(path, &[(header::AUTHORIZATION, AUTHORIZATION)]).await?;
    match answer.text() {
        Some(text) if !text.trim().is_empty() => Ok(text.to_owned()),
        _ => Err(service.refused(path, "the answer is no text")),
    }
}

fn lost() -> LoginError {
    LoginError::NoCredentials("the instance has no session".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::super::loopback::{Do, Loopback};
    use super::*;

    #[tokio::test]
    async fn oracle_is_asked_in_the_instances_region_and_realm() {
        let info = r#"{"regionIdentifier": "UK-Gov-London-1", "realmDomainComponent": "oraclegovcloud.uk"}"#;
        for (region, info, host) in [
            ("fra", "", "eu-frankfurt-1.oraclecloud.com"),
            ("iad", "", "us-ashburn-1.oraclecloud.com"),
            ("lhr", "", "uk-london-1.oraclecloud.com"),
            ("PHX\n", "{}", "us-phoenix-1.oraclecloud.com"),
            ("us-phoenix-1", "", "us-phoenix-1.oraclecloud.com"),
            ("lhr", info, "uk-gov-london-1.oraclegovcloud.uk"),
        ] {
            let service = Loopback::start(move |asked| match asked.line.as_str() {
                "GET /instance/region" => Do::Answer(200, region.to_owned()),
                _ if info.is_empty() => Do::Answer(404, String::new()),
                _ => Do::Answer(200, info.to_owned()),
            })
            .await;
            let service = Outside::new("metadata", &service.address, NEAR).unwrap();
            assert_eq!(federation_endpoint(&service).await.unwrap(), format!("https://auth.{host}"));
        }
    }

    #[tokio::test]
    async fn a_session_that_lives_serves_on_where_no_new_one_is_to_be_had() {
        let service = Loopback::start(|_| Do::Answer(404, String::new())).await;
        let environment = Environment::default();
        for (left, serves) in [(Some(30), true), (None, false)] {
            let mut instance = Instance::new(Some(service.address.clone()), None);
            let now = SystemTime::now();
            instance.session = Some(Session {
                key_id: "ST$x".into(),
                key: RsaKey::from_pem(include_str!("../testdata/rsa-pkcs8.pem")).unwrap(),
                expires_at: left.map_or(now, |left| now + Duration::from_secs(left)),
            });
            let renewed =
                instance.renewed(&environment).await.map(|session| session.key_id.expose().to_owned());
            match renewed {
                Ok(key_id) => assert!(serves && key_id == "ST$x"),
                Err(error) => {
                    assert!(!serves, "{error}");
                    assert!(error.to_string().contains("it answered 404"), "{error}");
                }
            }
        }
        assert!(!service.asked().is_empty());
    }
}
