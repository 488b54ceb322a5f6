//! Where keys come from: the environment, the configuration, the instance.
//!
//! The environment comes first, other than at Amazon. A source that is meant to be used and fails is an error; the next
//! one may be somebody else.

use std::time::Duration;

use bytes::Bytes;
use config::{AliCloudSource, Environment};
use http::Method;
use http::header::HeaderName;
use jiff::Timestamp;
use vault::SecretString;

use super::rpc::{Keys, Secret, signed_target};
use super::sts_host;
use crate::method::LoginError;
use crate::method::instance::{Dialect, Instance, Tokenless, temporary_keys_in};
use crate::method::outside::{FAR, Outside};

/// Alibaba's words for its instance metadata.
const DIALECT: Dialect = Dialect {
    what: "ECS instance metadata",
    ttl: HeaderName::from_static("x-aliyun-ecs-metadata-token-ttl-seconds"),
    token: HeaderName::from_static("x-aliyun-ecs-metadata-token"),
    roles: "/latest/meta-data/ram/security-credentials/",
    fields: ["AccessKeyId", "AccessKeySecret", "SecurityToken"],
};

/// Where instance metadata usually are.
const METADATA: &str = "http://100.100.100.200";

/// Keys are fetched anew so long before they expire.
const EARLY: Duration = Duration::from_secs(300);

/// How long a session lasts when nothing is said: an hour, the SDK's.
const SESSION_SECONDS: u64 = 3600;

/// The one region that exchanges key pairs for a session's keys; the SDK asks it whatever the region.
const KEY_PAIR_REGION: &str = "ap-northeast-1";

pub(super) struct Sources {
    region: String,
    configured: AliCloudSource,
    metadata_endpoint: Option<String>,
    /// A session's keys, good while they last. Without remembering them, each look would make new keys and each would
    /// seem to be news.
    session: Option<Keys>,
}

/// What a source comes down to.
enum Found<'a> {
    Keys(Keys),
    Role { keys: Keys, arn: &'a str, session: &'a str, seconds: u64 },
    KeyPair { keys: Keys, seconds: u64 },
    Instance(Option<&'a str>),
}

impl Sources {
    pub(super) fn new(keys: &config::AliCloud) -> Self {
        Self {
            region: keys.region.clone(),
            configured: keys.source.clone(),
            metadata_endpoint: keys.metadata_endpoint.clone(),
            session: None,
        }
    }

    /// # Errors
    /// The source that counts gives no keys.
    pub(super) async fn keys(
        &mut self,
        environment: &Environment,
        now: Timestamp,
    ) -> Result<Keys, LoginError> {
        let from_environment = from_environment(environment)?;
        let found =
            found(&from_environment).or_else(|| found(&self.configured)).unwrap_or(Found::Instance(None));
        let lasts =
            |keys: &Keys| keys.expires.is_some_and(|end| now.checked_add(EARLY).is_ok_and(|soon| soon < end));
        let session = match (found, &self.session) {
            (Found::Keys(keys), _) => return Ok(keys),
            (Found::Instance(role), _) => return self.of_instance(environment, role).await,
            (_, Some(session)) if lasts(session) => return Ok(session.clone()),
            (Found::Role { keys, arn, session, seconds }, _) => {
                let seconds = seconds.to_string();
                let question = [
                    ("Action", "AssumeRole"),
                    ("DurationSeconds", &seconds),
                    ("RegionId", &self.region),
                    ("RoleArn", arn),
                    ("RoleSessionName", session),
                ];
                let asked = ("Credentials", ["AccessKeyId", "AccessKeySecret", "SecurityToken"]);
                exchange(environment, &self.region, &question, &keys, asked, now).await?
            }
            (Found::KeyPair { keys, seconds }, _) => {
                let seconds = seconds.to_string();
                let question = [
                    ("Action", "GenerateSessionAccessKey"),
                    ("DurationSeconds", &seconds),
                    ("PublicKeyId", &keys.id),
                    ("RegionId", KEY_PAIR_REGION),
                ];
                let fields = ["SessionAccessKeyId", "SessionAccessKeySecret", "SecurityToken"];
                exchange(environment, KEY_PAIR_REGION, &question, &keys, ("SessionAccessKey", fields), now)
                    .await?
            }
        };
        self.session = Some(session.clone());
        Ok(session)
    }

    async fn of_instance(&self, environment: &Environment, role: Option<&str>) -> Result<Keys, LoginError> {
        let filled = |name: &str| environment.exact(name).filter(|value| !value.is_empty());
        let base = self.metadata_endpoint.as_deref().or_else(|| filled("ALICLOUD_METADATA_ENDPOINT"));
        let is_true = |name: &str| filled(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let tokenless = match is_true("ALIBABA_CLOUD_IMDSV1_DISABLED") {
            true => Tokenless::Forbidden,
            false => Tokenless::Allowed,
        };
        let instance =
            Instance::open(base.unwrap_or(METADATA), DIALECT, tokenless).await.map_err(nothing_else)?;
        instance.role_keys(role).await.map(Keys::from).map_err(nothing_else)
    }
}

/// The instance is asked when nothing else is given, and often nobody meant that.
fn nothing_else(error: LoginError) -> LoginError {
    let text = "found no Alibaba Cloud credentials: neither the environment nor the configuration has any; ";
    LoginError::NoCredentials(format!("{text}{error}"))
}

/// What a source's parts make up, in the SDK's order.
fn found(source: &AliCloudSource) -> Option<Found<'_>> {
    let keys = |id: &str, secret: Secret, token: Option<&SecretString>| Keys {
        id: id.to_owned(),
        secret,
        token: token.cloned(),
        expires: None,
    };
    if let (Some(id), Some(secret)) = (&source.access_key, &source.access_secret) {
        let secret = Secret::AccessKey(secret.clone());
        if let (Some(arn), Some(session)) = (&source.role_arn, &source.role_session_name) {
            let seconds = source.role_session_expiration.unwrap_or(SESSION_SECONDS);
            return Some(Found::Role { keys: keys(id, secret, None), arn, session, seconds });
        }
        return Some(Found::Keys(keys(id, secret, source.access_token.as_ref())));
    }
    if let Some(role) = &source.role_name {
        return Some(Found::Instance(Some(role)));
    }
    if let (Some(key), Some(id)) = (&source.private_key, &source.public_key_id) {
        let seconds = source.session_expiration.unwrap_or(SESSION_SECONDS);
        return Some(Found::KeyPair { keys: keys(id, Secret::PrivateKey(key.clone()), None), seconds });
    }
    None
}

fn from_environment(environment: &Environment) -> Result<AliCloudSource, LoginError> {
    let filled = |name: &str| environment.exact(name).filter(|value| !value.is_empty());
    let text = |name: &str| filled(name).map(str::to_owned);
    let secret = |name: &str| filled(name).map(SecretString::from);
    let seconds = |name: &str| match filled(name).map(str::parse) {
        None | Some(Ok(0)) => Ok(None),
        Some(Ok(seconds)) => Ok(Some(seconds)),
        Some(Err(_)) => {
            Err(LoginError::NoCredentials(format!("error parsing {name}: it is no number of seconds")))
        }
    };
    Ok(AliCloudSource {
        access_key: text("ALICLOUD_ACCESS_KEY"),
        access_secret: secret("ALICLOUD_SECRET_KEY"),
        access_token: secret("ALICLOUD_ACCESS_KEY_STS_TOKEN"),
        role_arn: text("ALICLOUD_ROLE_ARN"),
        role_session_name: text("ALICLOUD_ROLE_SESSION_NAME"),
        role_session_expiration: seconds("ALICLOUD_ROLE_SESSION_EXPIRATION")?,
        private_key: secret("ALICLOUD_PRIVATE_KEY"),
        public_key_id: text("ALICLOUD_PUBLIC_KEY_ID"),
        session_expiration: seconds("ALICLOUD_SESSION_EXPIRATION")?,
        role_name: text("ALICLOUD_ROLE_NAME"),
    })
}

/// Asks STS for a session's keys; `asked` names the object and the fields of its answer.
async fn exchange(
    environment: &Environment,
    region: &str,
    question: &[(&str, &str)],
    keys: &Keys,
    asked: (&str, [&'static str; 3]),
    now: Timestamp,
) -> Result<Keys, LoginError> {
    let endpoint = match environment.exact("ALICLOUD_STS_ENDPOINT").filter(|url| !url.is_empty()) {
        Some(url) => url.to_owned(),
        None => format!("https://{}", sts_host(region)),
    };
    let sts = Outside::new("Alibaba Cloud STS", &endpoint, FAR)?;
    let target = signed_target(question, keys, now)?;
    let answer = sts.send(Method::POST, &target, &[], Bytes::new()).await?;
    let (object, fields) = asked;
    let json = answer.json();
    let inside = json.as_ref().and_then(|json| json.get(object));
    let inside = inside.ok_or_else(|| sts.refused("/", "what it answered holds no credentials"))?;
    temporary_keys_in(inside, fields).map(Keys::from).map_err(|reason| sts.refused("/", reason))
}
