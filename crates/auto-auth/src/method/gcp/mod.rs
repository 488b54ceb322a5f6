//! `gcp`: a Google service account, proven by a token of the metadata server or a JWT that Google signs.

mod credentials;
mod external;
mod metadata;

use serde_json::{Value, json};
use vault::{BoxFuture, SecretString};

use self::credentials::Credentials;
use self::metadata::Metadata;
use super::outside::{FAR, Outside};
use super::{Attempt, LoginError, Method, Scene, assertion, oauth, percent};

/// Google's own.
const IAM_ENDPOINT: &str = "https://iamcredentials.googleapis.com";

/// What the tools of Google read another address of that service from.
const IAM_ENDPOINT_VARIABLE: &str = "CLOUDSDK_API_ENDPOINT_OVERRIDES_IAMCREDENTIALS";

/// What the configuration says; credentials are looked for at each login.
pub(super) struct Gcp(config::Gcp);

impl Gcp {
    pub(super) fn new(keys: &config::Gcp) -> Self {
        Self(keys.clone())
    }

    async fn prepare(&self, scene: &Scene<'_>) -> Result<Attempt, LoginError> {
        let jwt = match &self.0.kind {
            config::GcpKind::Gce => {
                let audience = format!("{}/vault/{}", scene.short_address(), self.0.role);
                self.metadata(scene)?.identity(self.0.service_account.as_deref(), &audience).await?
            }
            config::GcpKind::Iam(iam) => self.signed(iam, scene).await?,
        };
        Ok(Attempt::login(scene.mount, json!({"role": self.0.role, "jwt": jwt.expose()})))
    }

    fn metadata(&self, scene: &Scene<'_>) -> Result<Metadata, LoginError> {
        Metadata::new(self.0.metadata_endpoint.as_deref(), scene.environment)
    }

    /// A JWT of the service account, signed by Google or, if that is wished, by the account's own key.
    async fn signed(&self, iam: &config::GcpIam, scene: &Scene<'_>) -> Result<SecretString, LoginError> {
        let credentials = Credentials::find(iam.credentials.as_ref(), scene.environment)?;
        let account = self.account(&credentials, scene).await?;
        let claims = json!({
            "aud": format!("http://vault/{}", self.0.role),
            "exp": assertion::unix_time(iam.jwt_lifetime),
            "sub": account,
        });
        if iam.sign_locally {
            return credentials.sign(&account, &claims);
        }
        let token = credentials.access_token(|| self.metadata(scene)).await?;
        let from_environment = scene.environment.exact(IAM_ENDPOINT_VARIABLE).filter(|url| !url.is_empty());
        let endpoint = iam.iam_endpoint.as_deref().or(from_environment).unwrap_or(IAM_ENDPOINT);
        let service = Outside::new("IAM credentials service", endpoint, FAR)?;
        // A slash in it must not lead to another account.
        let segment = percent::segment("service_account", &account)?;
        let target = format!("/v1/projects/-/serviceAccounts/{segment}:signJwt");
        let body = json!({"payload": Value::to_string(&claims)});
        let answer = oauth::post_json(&service, &target, Some(&token), &body).await?;
        oauth::token(&service, &target, &answer, "signedJwt")
    }

    /// Whose JWT it is: as configured, else the account of the credentials.
    async fn account(&self, credentials: &Credentials, scene: &Scene<'_>) -> Result<String, LoginError> {
        if let Some(account) = self.0.service_account.as_deref().or(credentials.email()) {
            return Ok(account.to_owned());
        }
        if let Credentials::Metadata = credentials {
            return self.metadata(scene)?.email().await;
        }
        Err(LoginError::NoCredentials(
            "could not obtain service account from credentials; set service_account to the e-mail address of \
             the account to authenticate as"
                .to_owned(),
        ))
    }
}

impl Method for Gcp {
    fn prepare<'a>(&'a mut self, scene: &'a Scene<'a>) -> BoxFuture<'a, Result<Attempt, LoginError>> {
        Box::pin(Self::prepare(self, scene))
    }
}

#[cfg(test)]
mod tests {
    use super::super::loopback::{Do, Loopback, prepared};
    use super::*;

    #[tokio::test]
    async fn an_account_is_one_piece_of_the_metadata_servers_path() {
        let metadata = Loopback::start(|_| Do::Answer(200, "a.b.c\n".to_owned())).await;
        let gce = |account: Option<&str>| {
            Gcp::new(&config::Gcp {
                role: "r".to_owned(),
                service_account: account.map(str::to_owned),
                metadata_endpoint: Some(metadata.address.clone()),
                kind: config::GcpKind::Gce,
            })
        };
        for (account, part) in [(None, "default"), (Some("a@b.c"), "a@b.c"), (Some("../x"), "..%2Fx")] {
            let (path, body) = prepared(&mut gce(account), &[]).await.unwrap();
            assert_eq!((path.as_str(), body), ("auth/here/login", json!({"role": "r", "jwt": "a.b.c"})));
            let line = metadata.lines().pop().unwrap();
            let start =
                format!("GET /computeMetadata/v1/instance/service-accounts/{part}/identity?audience=");
            assert!(line.starts_with(&start) && line.ends_with("%2Fvault%2Fr&format=full"), "{line}");
        }
        let error = prepared(&mut gce(Some("..")), &[]).await.unwrap_err().to_string();
        assert_eq!(error, "the service_account \"..\" cannot stand in a path");
    }

    #[tokio::test]
    async fn the_signer_is_asked_for_this_account_and_must_give_a_jwt() {
        for (account, part, signed) in [
            ("a@b.c", "a@b.c", "a.b.c"),
            ("x/../a?b", "x%2F..%2Fa%3Fb", "a.b.c"),
            ("a@b.c", "a@b.c", "<html>CANARY</html>"),
        ] {
            let google = Loopback::start(move |asked| match asked.line.as_str() {
                "POST /token" => Do::Answer(200, json!({"access_token": "at"}).to_string()),
                _ => Do::Answer(200, json!({"signedJwt": signed}).to_string()),
            })
            .await;
            let user = json!({
                "type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r",
                "token_uri": format!("{}/token", google.address),
            });
            let mut iam = Gcp::new(&config::Gcp {
                role: "r".to_owned(),
                service_account: Some(account.to_owned()),
                metadata_endpoint: None,
                kind: config::GcpKind::Iam(config::GcpIam {
                    credentials: Some(user.to_string().into()),
                    jwt_lifetime: config::DEFAULT_JWT_LIFETIME,
                    sign_locally: false,
                    iam_endpoint: Some(google.address.clone()),
                }),
            });
            let done = prepared(&mut iam, &[]).await.map_err(|error| error.to_string());
            let path = format!("/v1/projects/-/serviceAccounts/{part}:signJwt");
            assert_eq!(google.lines(), ["POST /token".to_owned(), format!("POST {path}")]);
            let refused = format!(
                "IAM credentials service at {}{path}: the answer's signedJwt is no signed JWT",
                google.address
            );
            match signed {
                "a.b.c" => assert_eq!(done.unwrap().1["jwt"], "a.b.c"),
                _ => assert_eq!(done.unwrap_err(), refused),
            }
        }
    }
}
