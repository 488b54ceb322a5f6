//! `approle`: a role id, and mostly a secret id, from files.

use serde_json::json;
use vault::{BoxFuture, SecretString, Token};

use super::credential::{Credential, Links};
use super::{Attempt, LoginError, Method, Scene};
use crate::watch::Watch;

/// What it read so far, and where from.
pub(super) struct AppRole {
    role_id: Credential,
    secret_id: Option<Credential>,
    wrapping_path: Option<String>,
}

impl AppRole {
    pub(super) fn new(keys: &config::AppRole) -> Self {
        let secret_id = keys.secret_id_file.clone().map(|path| {
            let secret_id = Credential::new("secret ID", path);
            if keys.remove_secret_id_file { secret_id.removed(Links::Keep) } else { secret_id }
        });
        let role_id = Credential::new("role ID", keys.role_id_file.clone());
        Self { role_id, secret_id, wrapping_path: keys.wrapping_path.clone() }
    }

    async fn prepare(&mut self, scene: &Scene<'_>) -> Result<Attempt, LoginError> {
        let mut body = json!({"role_id": self.role_id.fetch()?.expose()});
        if let Some(secret_id) = &mut self.secret_id {
            // The file goes only once its content is safely ours: unwrapped, if it is wrapped.
            if let Some(content) = secret_id.read()? {
                let content = match &self.wrapping_path {
                    None => content,
                    Some(expected) => unwrap(content, expected, scene).await?,
                };
                secret_id.remember(content);
            }
            body["secret_id"] = json!(secret_id.last().map(SecretString::expose));
        }
        Ok(Attempt::login(scene.mount, body))
    }
}

impl Method for AppRole {
    fn prepare<'a>(&'a mut self, scene: &'a Scene<'a>) -> BoxFuture<'a, Result<Attempt, LoginError>> {
        Box::pin(self.prepare(scene))
    }

    fn watch(&self) -> Option<Watch> {
        let secret_id = self.secret_id.as_ref().map(Credential::path);
        let files = [self.role_id.path()].into_iter().chain(secret_id).map(ToOwned::to_owned).collect();
        Some(Watch { every: config::DEFAULT_READ_PERIOD, files })
    }

    fn has_new_credentials<'a>(&'a mut self, _: &'a Scene<'a>) -> BoxFuture<'a, bool> {
        // A secret id stays in its file until the login, as upstream has it: what must be unwrapped first can only
        // be taken once, and not in between.
        let role_id = self.role_id.has_news();
        let secret_id = self.secret_id.as_mut().is_some_and(Credential::has_news);
        Box::pin(std::future::ready(role_id || secret_id))
    }
}

/// The secret id inside a wrapping token, if the token was made where it should have been.
async fn unwrap(
    content: SecretString,
    expected: &str,
    scene: &Scene<'_>,
) -> Result<SecretString, LoginError> {
    let token = Token::new(content).map_err(LoginError::NoToken)?;
    let wrapped = scene.caller.wrapping_lookup(scene.server, &token).await?;
    let data = wrapped.data.unwrap_or_default();
    let found = data.get("creation_path").and_then(|path| path.as_str()).unwrap_or_default();
    if found != expected {
        return Err(LoginError::CreationPath { expected: expected.to_owned(), found: found.to_owned() });
    }
    let inside = scene.caller.unwrap(scene.server, &token).await?;
    match inside.data.unwrap_or_default().get("secret_id").and_then(|id| id.as_str()) {
        Some(secret_id) if !secret_id.is_empty() => Ok(secret_id.into()),
        _ => Err(LoginError::NoToken("the wrapping token holds no secret_id")),
    }
}
