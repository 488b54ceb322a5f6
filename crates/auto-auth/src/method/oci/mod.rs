//! `oci`: a user or an instance of Oracle Cloud, proven by the signature of a request that is never sent.

mod api_key;
mod federation;
mod instance;
mod signature;

use std::time::SystemTime;

use config::Environment;
use serde_json::{Map, Value, json};
use tracing::debug;
use vault::BoxFuture;

use self::api_key::ApiKey;
use self::instance::Instance;
use self::signature::Signer;
use super::{Attempt, LoginError, Method, Scene, oauth, percent};
use crate::watch::Watch;

/// What signs, and what it signed as last.
pub(super) struct Oci {
    role: String,
    watch: Watch,
    principal: Principal,
    /// Names key and owner; another one means other credentials.
    last_key_id: Option<String>,
}

enum Principal {
    User(ApiKey),
    Instance(Instance),
}

impl Oci {
    pub(super) fn new(keys: &config::Oci) -> Self {
        let (principal, files) = match &keys.kind {
            config::OciKind::ApiKey { config_file, profile } => {
                let user = ApiKey::new(config_file.clone(), profile.clone());
                (Principal::User(user), config_file.iter().cloned().collect())
            }
            config::OciKind::Instance { metadata_endpoint, federation_endpoint } => {
                let instance = Instance::new(metadata_endpoint.clone(), federation_endpoint.clone());
                (Principal::Instance(instance), Vec::new())
            }
        };
        let watch = Watch { every: keys.poll_interval, files };
        Self { role: keys.role.clone(), watch, principal, last_key_id: None }
    }

    async fn prepare(&mut self, scene: &Scene<'_>) -> Result<Attempt, LoginError> {
        let path = format!("{}/login/{}", scene.mount, percent::segment("role", &self.role)?);
        let headers = match &mut self.principal {
            Principal::User(user) => {
                let (key_id, key) = user.read(scene.environment)?;
                self.last_key_id = Some(key_id.clone());
                signed_headers(&path, scene, &Signer { key_id: &key_id, key: &key })
            }
            Principal::Instance(instance) => {
                // A token of before the last failed login may be the reason that it failed.
                let session = instance.renewed(scene.environment).await?;
                self.last_key_id = Some(session.key_id.expose().to_owned());
                let signer = Signer { key_id: session.key_id.expose(), key: &session.key };
                signed_headers(&path, scene, &signer)
            }
        };
        let headers =
            headers.map_err(|why| LoginError::NoCredentials(format!("the login cannot be signed: {why}")))?;
        Ok(Attempt::login_at(path, json!({"request_headers": headers})))
    }

    /// Who would sign a login now.
    async fn key_id(&mut self, environment: &Environment) -> Result<String, LoginError> {
        match &mut self.principal {
            Principal::User(user) => user.key_id(environment),
            Principal::Instance(instance) => {
                Ok(instance.current(environment).await?.key_id.expose().to_owned())
            }
        }
    }

    async fn has_changed(&mut self, environment: &Environment) -> bool {
        match self.key_id(environment).await {
            // Where there was none so far, logins fail for want of it.
            Ok(key_id) => self.last_key_id.replace(key_id.clone()) != Some(key_id),
            Err(error) => {
                debug!(target: "auth.handler", error = %error, "unable to retrieve current creds, retaining last creds");
                false
            }
        }
    }
}

/// The headers of a `GET` of the login's own path, as the server hands them to Oracle.
fn signed_headers(path: &str, scene: &Scene<'_>, signer: &Signer<'_>) -> Result<Value, &'static str> {
    let address = scene.short_address();
    let (base, _) = oauth::split_url(&address);
    let host = match base.split_once("://") {
        Some(("unix", _)) | None => "localhost",
        Some((_, host)) => host,
    };
    let date = httpdate::fmt_http_date(SystemTime::now());
    let target = format!("get /v1/{path}");
    let authorization =
        signer.authorization(&[("date", &date), ("(request-target)", &target), ("host", host)])?;
    let mut headers = Map::new();
    for (name, value) in [
        ("(request-target)", target.as_str()),
        ("Authorization", &authorization),
        ("Date", &date),
        ("Host", host),
    ] {
        headers.insert(name.to_owned(), json!([value]));
    }
    Ok(Value::Object(headers))
}

impl Method for Oci {
    fn prepare<'a>(&'a mut self, scene: &'a Scene<'a>) -> BoxFuture<'a, Result<Attempt, LoginError>> {
        Box::pin(self.prepare(scene))
    }

    fn watch(&self) -> Option<Watch> {
        Some(self.watch.clone())
    }

    fn has_new_credentials<'a>(&'a mut self, scene: &'a Scene<'a>) -> BoxFuture<'a, bool> {
        Box::pin(self.has_changed(scene.environment))
    }
}

#[cfg(test)]
mod tests {
    use super::super::loopback::prepared;
    use super::*;

    fn oci(role: &str) -> Oci {
        Oci::new(&config::Oci {
            role: role.to_owned(),
            kind: config::OciKind::ApiKey { config_file: None, profile: "DEFAULT".to_owned() },
            poll_interval: std::time::Duration::from_secs(60),
        })
    }

    #[tokio::test]
    async fn the_roles_name_is_one_piece_of_the_path_in_request_and_signature() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key.pem");
        let pem = include_bytes!("../testdata/rsa-pkcs8.pem");
        atomic_file::write(&key, pem, &atomic_file::Attributes::new(0o600)).unwrap();
        let environment = [
            ("OCI_tenancy_ocid", "t"),
            ("OCI_user_ocid", "u"),
            ("OCI_fingerprint", "f"),
            ("OCI_private_key_path", key.to_str().unwrap()),
        ];
        let (path, body) = prepared(&mut oci("a/b?c"), &environment).await.unwrap();
        assert_eq!(path, "auth/here/login/a%2Fb%3Fc");
        assert_eq!(body["request_headers"]["(request-target)"], json!(["get /v1/auth/here/login/a%2Fb%3Fc"]));
        let error = prepared(&mut oci(".."), &environment).await.unwrap_err().to_string();
        assert_eq!(error, "the role \"..\" cannot stand in a path");
    }
}
