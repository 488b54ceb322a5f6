//! `approle`: a role id, and mostly a secret id, from files.

use serde_json::json;
use vault::api::Caller;
use vault::{Mount, SecretString, Token, Upstream};

use super::credential::Credential;
use super::{Login, LoginError, from_auth};

/// What it read so far, and where from.
#[derive(Debug)]
pub struct AppRole {
    keys: config::AppRole,
    role_id: Credential,
    secret_id: Credential,
    warned: bool,
}

impl AppRole {
    pub(super) fn new(keys: config::AppRole) -> Self {
        let (role_id, secret_id) = (Credential::new("role ID"), Credential::new("secret ID"));
        Self { keys, role_id, secret_id, warned: false }
    }

    pub(super) async fn login(
        &mut self,
        mount: &Mount,
        upstream: &dyn Upstream,
        caller: &Caller,
    ) -> Result<Login, LoginError> {
        if let Some(role_id) = self.role_id.read(&self.keys.role_id_file)? {
            self.role_id.remember(role_id);
        }
        self.read_secret_id(upstream, caller).await?;
        let mut body = json!({"role_id": self.role_id.last().map(SecretString::expose)});
        if let Some(secret_id) = self.secret_id.last() {
            body["secret_id"] = json!(secret_id.expose());
        }
        from_auth(caller.login(upstream, &format!("{mount}/login"), &body, None).await?)
    }

    /// Reads the secret id, unwraps it if it is wrapped, and removes its file if that is wanted. The file
    /// goes only once its content is safely ours.
    async fn read_secret_id(&mut self, upstream: &dyn Upstream, caller: &Caller) -> Result<(), LoginError> {
        let Some(path) = self.keys.secret_id_file.clone() else { return Ok(()) };
        if !std::mem::replace(&mut self.warned, true) {
            self.secret_id.warn_if_world_readable(&path);
        }
        let Some(content) = self.secret_id.read(&path)? else { return Ok(()) };
        let secret_id = match &self.keys.wrapping_path {
            None => content,
            Some(expected) => unwrap(content, expected, upstream, caller).await?,
        };
        self.secret_id.remember(secret_id);
        if self.keys.remove_secret_id_file {
            self.secret_id.remove(&path);
        }
        Ok(())
    }
}

/// The secret id inside a wrapping token, if the token was made where it should have been.
async fn unwrap(
    content: SecretString,
    expected: &str,
    upstream: &dyn Upstream,
    caller: &Caller,
) -> Result<SecretString, LoginError> {
    let token = Token::new(content).map_err(LoginError::NoToken)?;
    let wrapped = caller.wrapping_lookup(upstream, &token).await?;
    let data = wrapped.data.unwrap_or_default();
    let found = data.get("creation_path").and_then(|path| path.as_str()).unwrap_or_default();
    if found != expected {
        return Err(LoginError::CreationPath { expected: expected.to_owned(), found: found.to_owned() });
    }
    let inside = caller.unwrap(upstream, &token).await?;
    match inside.data.unwrap_or_default().get("secret_id").and_then(|id| id.as_str()) {
        Some(secret_id) if !secret_id.is_empty() => Ok(secret_id.into()),
        _ => Err(LoginError::NoToken("the wrapping token holds no secret_id")),
    }
}
