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

#[cfg(test)]
mod tests {
    use super::super::super::loopback::{Do, Loopback};
    use super::*;

    #[test]
    fn the_configuration_comes_before_the_environment() {
        let variable = [(HOST_VARIABLE, "e:1")];
        for (configured, variables, host) in [
            (Some("c:2"), &variable[..], "c:2"),
            (None, &variable, "e:1"),
            (None, &[(HOST_VARIABLE, "")], HOST),
            (None, &[], HOST),
        ] {
            let environment = Environment::new(variables.iter().copied());
            let metadata = Metadata::new(configured, &environment).unwrap_or_else(|error| panic!("{error}"));
            let said = metadata.0.refused("/", "x").to_string();
            assert_eq!(said, format!("metadata server at http://{host}/: x"));
        }
    }

    #[tokio::test]
    async fn an_account_is_an_address_and_no_page() {
        let long = format!("a@{}", "b".repeat(254));
        for (answer, good) in [
            ("a-b_c.d+e@f.g\n", true),
            ("", false),
            ("CANARY", false),
            ("CANARY@b c", false),
            ("<p>CANARY@b</p>", false),
            (long.as_str(), false),
        ] {
            let answered = answer.to_owned();
            let service = Loopback::start(move |_| Do::Answer(200, answered.clone())).await;
            let metadata = Metadata::new(Some(&service.address), &Environment::default());
            match metadata.unwrap_or_else(|error| panic!("{error}")).email().await {
                Ok(email) => assert!(good && email == answer.trim(), "{email}"),
                Err(error) => {
                    let error = error.to_string();
                    assert!(
                        !good && error.ends_with("/default/email: the answer is no e-mail address"),
                        "{error}"
                    );
                    assert!(!error.contains("CANARY"), "{error}");
                }
            }
        }
    }
}
