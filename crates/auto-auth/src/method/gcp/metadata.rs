//! Google's metadata server, which knows the machine's service accounts.

use config::Environment;
use http::HeaderName;
use vault::SecretString;

use super::super::outside::{Answer, FAR, Outside};
use super::super::{LoginError, assertion, oauth, percent};
use super::credentials::SCOPE;

/// Its name inside Google's network; it resolves to 169.254.169.254.
const HOST: &str = "metadata.google.internal";

/// What Google's libraries read another address from: `host` or `host:port`.
const HOST_VARIABLE: &str = "GCE_METADATA_HOST";

/// Without it the server refuses: no browser can be tricked into asking.
const FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");

/// The metadata server.
pub(super) struct Metadata(Outside);

impl Metadata {
    pub(super) fn new(configured: Option<&str>, environment: &Environment) -> Result<Self, LoginError> {
        let from_environment = environment.exact(HOST_VARIABLE).filter(|host| !host.is_empty());
        let url = oauth::link_url(configured.or(from_environment).unwrap_or(HOST));
        // Tokens come from behind the link: it passes them on.
        Outside::new("metadata server", &url, FAR).map(Self)
    }

    /// A token that says who the machine is, for this audience.
    ///
    /// # Errors
    /// No answer, or none of use.
    pub(super) async fn identity(
        &self,
        account: Option<&str>,
        audience: &str,
    ) -> Result<SecretString, LoginError> {
        let path = format!("{}/identity", Self::path(account)?);
        let query = percent::form(&[("audience", audience), ("format", "full")]);
        let answer = self.get(&format!("{path}?{query}")).await?;
        match answer.text().map(str::trim) {
            Some(token) if assertion::is_token(token) => Ok(token.into()),
            _ => Err(self.0.refused(&path, "the answer is no signed JWT")),
        }
    }

    /// An access token of the machine's own account.
    ///
    /// # Errors
    /// No answer, or none of use.
    pub(super) async fn access_token(&self) -> Result<SecretString, LoginError> {
        let path = format!("{}/token", Self::path(None)?);
        let answer = self.get(&format!("{path}?{}", percent::form(&[("scopes", SCOPE)]))).await?;
        oauth::text(&self.0, &path, &answer, "access_token")
    }

    /// The e-mail address of the machine's own account.
    ///
    /// # Errors
    /// No answer, or none of use.
    pub(super) async fn email(&self) -> Result<String, LoginError> {
        let path = format!("{}/email", Self::path(None)?);
        let answer = self.get(&path).await?;
        match answer.text().map(str::trim) {
            Some(email) if email.len() < 256 && email.contains('@') && email.bytes().all(is_of_address) => {
                Ok(email.to_owned())
            }
            _ => Err(self.0.refused(&path, "the answer is no e-mail address")),
        }
    }

    fn path(account: Option<&str>) -> Result<String, LoginError> {
        let account = percent::segment("service_account", account.unwrap_or("default"))?;
        Ok(format!("/computeMetadata/v1/instance/service-accounts/{account}"))
    }

    async fn get(&self, target: &str) -> Result<Answer, LoginError> {
        self.0.get(target, &[(FLAVOR, "Google")]).await
    }
}

fn is_of_address(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"@.-_+".contains(&byte)
}
