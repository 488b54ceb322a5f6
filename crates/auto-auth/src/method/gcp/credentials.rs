//! Whose word Google takes for asking it to sign: credentials from the configuration, the environment, files, the
//! machine. The first place that has some counts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use config::Environment;
use serde_json::{Value, json};
use vault::SecretString;

use super::super::credential::warn_if_world_readable;
use super::super::rsa::RsaKey;
use super::super::{LoginError, assertion, oauth};
use super::external::External;
use super::metadata::Metadata;

/// What an access token is asked for.
pub(super) const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Where keys and refresh tokens are changed into access tokens, unless the credentials say otherwise.
const TOKEN_URL: &str = "https://oauth2.googleapis.com/token";

/// How long an assertion is good for; the longest that Google takes.
const ASSERTION_LIFETIME: Duration = Duration::from_secs(3600);

/// Variables with credentials in JSON, or the path of a file with them.
const VARIABLES: &[&str] = &["GOOGLE_CREDENTIALS", "GOOGLE_CLOUD_KEYFILE_JSON"];

/// The same, but always a path.
const FILE_VARIABLE: &str = "GOOGLE_APPLICATION_CREDENTIALS";

/// HashiCorp's own place below the home folder.
const HASHICORP_FILE: &str = ".gcp/credentials";

/// Where Google's command line puts them below the home folder.
const GCLOUD_FILE: &str = ".config/gcloud/application_default_credentials.json";

/// What such a file is called in messages.
const WHAT: &str = "Google Cloud credentials";

/// Credentials of one kind or another.
pub(super) enum Credentials {
    /// A service account's own key.
    Key(AccountKey),
    /// A user's, from `gcloud auth application-default login`.
    User(User),
    /// Of another cloud or identity provider, which Google trusts.
    External(External),
    /// None are given: the machine's own account.
    Metadata,
}

/// A service account's key.
pub(super) struct AccountKey {
    place: String,
    email: String,
    key: SecretString,
    key_id: Option<String>,
    token_url: String,
}

/// A user's refresh token.
pub(super) struct User {
    client_id: String,
    client_secret: SecretString,
    refresh_token: SecretString,
    token_url: String,
}

impl Credentials {
    /// Looks in the places that upstream and Google's libraries look in, in their order.
    ///
    /// # Errors
    /// A place holds something that is of no use: the next one is not tried, as it would be another identity.
    pub(super) fn find(
        configured: Option<&SecretString>,
        environment: &Environment,
    ) -> Result<Self, LoginError> {
        if let Some(json) = configured {
            return Self::parse(json.expose(), "the key credentials");
        }
        let variable = |name| environment.exact(name).map(str::trim).filter(|text| !text.is_empty());
        for name in VARIABLES {
            match variable(name) {
                Some(json) if json.starts_with('{') => return Self::parse(json, name),
                Some(path) => return Self::read(PathBuf::from(path), name),
                None => {}
            }
        }
        let below_home = |file: &str| variable("HOME").map(|home| PathBuf::from(home).join(file));
        if let Some(found) = below_home(HASHICORP_FILE).and_then(|path| Self::try_file(&path)) {
            return found;
        }
        if let Some(path) = variable(FILE_VARIABLE) {
            return Self::read(PathBuf::from(path), FILE_VARIABLE);
        }
        if let Some(found) = below_home(GCLOUD_FILE).and_then(|path| Self::try_file(&path)) {
            return found;
        }
        Ok(Self::Metadata)
    }

    /// A file that a variable names.
    fn read(path: PathBuf, variable: &str) -> Result<Self, LoginError> {
        let place = format!("{} (from {variable})", path.display());
        match atomic_file::read_small(&path) {
            Ok(bytes) => {
                warn_if_world_readable(WHAT, &path);
                Self::from_bytes(bytes, &place)
            }
            Err(error) => Err(unusable(&place, &error.reason())),
        }
    }

    /// A file that may be there or not.
    fn try_file(path: &Path) -> Option<Result<Self, LoginError>> {
        let place = path.display().to_string();
        match atomic_file::read_small(path) {
            Ok(bytes) => {
                warn_if_world_readable(WHAT, path);
                Some(Self::from_bytes(bytes, &place))
            }
            Err(error) if error.is_missing() => None,
            Err(error) => Some(Err(unusable(&place, &error.reason()))),
        }
    }

    fn from_bytes(bytes: Vec<u8>, place: &str) -> Result<Self, LoginError> {
        let text = String::from_utf8(bytes).map_err(|_| unusable(place, "it is not text"))?;
        Self::parse(&text, place)
    }

    fn parse(json: &str, place: &str) -> Result<Self, LoginError> {
        // Line and column only: the message of an error may quote a key.
        let json: Value = serde_json::from_str(json).map_err(|error| {
            let at = format!("it is no JSON: line {} column {}", error.line(), error.column());
            unusable(place, &at)
        })?;
        let text = |name: &str| {
            json.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let needed = |name: &str| text(name).ok_or_else(|| unusable(place, &format!("it has no {name}")));
        let token_url = text("token_uri").unwrap_or_else(|| TOKEN_URL.to_owned());
        match text("type").as_deref().unwrap_or("service_account") {
            "service_account" => Ok(Self::Key(AccountKey {
                place: place.to_owned(),
                email: needed("client_email")?,
                key: needed("private_key")?.into(),
                key_id: text("private_key_id"),
                token_url,
            })),
            "authorized_user" => Ok(Self::User(User {
                client_id: needed("client_id")?,
                client_secret: needed("client_secret")?.into(),
                refresh_token: needed("refresh_token")?.into(),
                token_url,
            })),
            "external_account" => External::new(&json, place).map(Self::External),
            other => {
                let known = "service_account, authorized_user and external_account can be used";
                Err(unusable(place, &format!("its type is {other:?}; {known}")))
            }
        }
    }

    /// The account that a key belongs to.
    pub(super) fn email(&self) -> Option<&str> {
        match self {
            Self::Key(key) => Some(&key.email),
            Self::External(external) => external.email(),
            Self::User(_) | Self::Metadata => None,
        }
    }

    /// A token to ask Google with.
    ///
    /// # Errors
    /// A key that cannot be used, an endpoint that gives none.
    pub(super) async fn access_token(
        &self,
        metadata: impl FnOnce() -> Result<Metadata, LoginError>,
    ) -> Result<SecretString, LoginError> {
        const ENDPOINT: &str = "token endpoint";
        match self {
            Self::Metadata => metadata()?.access_token().await,
            Self::External(external) => external.access_token().await,
            Self::User(user) => {
                let form = [
                    ("client_id", user.client_id.as_str()),
                    ("client_secret", user.client_secret.expose()),
                    ("grant_type", "refresh_token"),
                    ("refresh_token", user.refresh_token.expose()),
                ];
                oauth::access_token(ENDPOINT, &user.token_url, &form).await
            }
            Self::Key(key) => {
                let assertion = key.sign(&json!({
                    "iss": key.email,
                    "scope": SCOPE,
                    "aud": key.token_url,
                    "iat": assertion::unix_time(Duration::ZERO),
                    "exp": assertion::unix_time(ASSERTION_LIFETIME),
                }))?;
                let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
                let form = [("assertion", assertion.expose()), ("grant_type", grant)];
                oauth::access_token(ENDPOINT, &key.token_url, &form).await
            }
        }
    }

    /// Signs the claims with the account's own key.
    ///
    /// # Errors
    /// There is no such key here, or it is another account's.
    pub(super) fn sign(&self, account: &str, claims: &Value) -> Result<SecretString, LoginError> {
        match self {
            Self::Key(key) if key.email == account => key.sign(claims),
            Self::Key(key) => {
                let why = format!("sign_locally: the key is that of {}, not of {account}", key.email);
                Err(unusable(&key.place, &why))
            }
            _ => Err(LoginError::NoCredentials(
                "sign_locally needs the key of a service account among the credentials".to_owned(),
            )),
        }
    }
}

impl AccountKey {
    fn sign(&self, claims: &Value) -> Result<SecretString, LoginError> {
        let key = RsaKey::from_pem(self.key.expose());
        let header: Vec<_> = self.key_id.iter().map(|id| ("kid", Value::from(id.as_str()))).collect();
        let signed = key.and_then(|key| assertion::sign(&key, &header, claims));
        signed.map(SecretString::from).map_err(|why| unusable(&self.place, why))
    }
}

pub(super) fn unusable(place: &str, why: &str) -> LoginError {
    LoginError::NoCredentials(format!("credentials of Google Cloud in {place}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = include_str!("../testdata/rsa-pkcs8.pem");

    #[test]
    fn a_place_that_cannot_be_read_is_not_passed_over() {
        let home = tempfile::tempdir().unwrap();
        let elsewhere = home.path().join("key.json");
        let key = json!({"client_email": "other@b.c", "private_key": PEM}).to_string();
        atomic_file::write(&elsewhere, key.as_bytes(), &atomic_file::Attributes::new(0o600)).unwrap();
        let find = |more: &[(&str, &str)]| {
            let variables = [&[("HOME", home.path().to_str().unwrap())], more].concat();
            Credentials::find(None, &Environment::new(variables)).map_err(|error| error.to_string())
        };
        let next = [(FILE_VARIABLE, elsewhere.to_str().unwrap())];
        assert!(matches!(find(&[]), Ok(Credentials::Metadata)));
        assert_eq!(find(&next).unwrap_or(Credentials::Metadata).email(), Some("other@b.c"));
        for (place, more) in [(GCLOUD_FILE, &[][..]), (HASHICORP_FILE, &next)] {
            let place = home.path().join(place);
            atomic_file::create_folders(&place).unwrap();
            let error = find(more).err().unwrap();
            let start = format!("credentials of Google Cloud in {}: it is a directory", place.display());
            assert!(error.starts_with(&start), "{error}");
        }
    }

    #[test]
    fn a_key_signs_for_its_own_account_alone() {
        let key = json!({"client_email": "a@b.c", "private_key": PEM}).to_string();
        let credentials = Credentials::parse(&key, "here").unwrap_or(Credentials::Metadata);
        assert!(assertion::is_token(credentials.sign("a@b.c", &json!({})).unwrap().expose()));
        assert_eq!(
            credentials.sign("d@b.c", &json!({})).unwrap_err().to_string(),
            "credentials of Google Cloud in here: sign_locally: the key is that of a@b.c, not of d@b.c"
        );
    }
}
