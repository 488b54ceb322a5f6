//! `approle`: a role id, and mostly a secret id, from files.

use serde_json::json;
use vault::{BoxFuture, SecretString, Token};

use super::attempt::unusable;
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
                    Some(expected) => {
                        let token = Token::new(content).map_err(|reason| secret_id.unusable(reason))?;
                        unwrap(&token, expected, scene).await?
                    }
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
async fn unwrap(token: &Token, expected: &str, scene: &Scene<'_>) -> Result<SecretString, LoginError> {
    let wrapped = scene.caller.wrapping_lookup(scene.server, token).await?;
    let data = wrapped.data.unwrap_or_default();
    let found = data.get("creation_path").and_then(|path| path.as_str()).unwrap_or_default();
    if found != expected {
        return Err(LoginError::CreationPath { expected: expected.to_owned(), found: found.to_owned() });
    }
    let inside = scene.caller.unwrap(scene.server, token).await?;
    match inside.data.unwrap_or_default().get("secret_id").and_then(|id| id.as_str()) {
        Some(secret_id) if !secret_id.is_empty() => Ok(secret_id.into()),
        _ => Err(unusable("secret ID", scene.caller, "sys/wrapping/unwrap", "it has no secret_id")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Mutex;

    use config::Environment;
    use serde_json::Value;
    use vault::api::Caller;
    use vault::{Body, Mount, Request, Response, SendError, Upstream};

    use super::*;

    /// Knows where a wrapping token was made, and what is inside.
    struct Server {
        creation_path: &'static str,
        inside: Value,
        asked: Mutex<Vec<String>>,
    }

    impl Upstream for Server {
        fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>> {
            assert_eq!(request.headers["x-vault-token"], "s.wrapping");
            let answer = match request.target.as_str() {
                "/v1/sys/wrapping/lookup" => json!({"data": {"creation_path": self.creation_path}}),
                _ => json!({"data": self.inside}),
            };
            self.asked.lock().unwrap().push(format!("{} {}", request.method, request.target));
            Box::pin(std::future::ready(Ok(Response {
                status: http::StatusCode::OK,
                headers: http::HeaderMap::new(),
                body: Body::full(answer.to_string()),
            })))
        }
    }

    fn put(path: &Path, text: &str) {
        atomic_file::write(path, text.as_bytes(), &atomic_file::Attributes::new(0o600)).unwrap();
    }

    fn method(folder: &Path, remove_secret_id_file: bool, wrapping_path: Option<&str>) -> AppRole {
        put(&folder.join("role"), "role\n");
        AppRole::new(&config::AppRole {
            role_id_file: folder.join("role"),
            secret_id_file: Some(folder.join("secret")),
            remove_secret_id_file,
            wrapping_path: wrapping_path.map(str::to_owned),
        })
    }

    async fn body(method: &mut AppRole, server: &Server) -> Result<Value, LoginError> {
        let (mount, caller, environment) =
            (Mount::new("auth/approle"), Caller::default(), Environment::default());
        let scene = Scene { mount: &mount, server, caller: &caller, environment: &environment };
        match method.prepare(&scene).await? {
            Attempt::Login(sent) => Ok(sent.body),
            Attempt::Lookup(_) => panic!("no login"),
        }
    }

    const PATH: &str = "auth/approle/role/app/secret-id";

    #[tokio::test]
    async fn a_wrapping_token_counts_only_if_it_was_made_where_it_should_be() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        for (creation_path, inside, said) in [
            ("sys/wrapping/wrap", json!({"secret_id": "CANARY"}), "SECURITY: unable to validate"),
            ("", json!({"secret_id": "CANARY"}), "SECURITY: unable to validate"),
            (
                "auth/approle/role/app/secret-id/",
                json!({"secret_id": "CANARY"}),
                "SECURITY: unable to validate",
            ),
            (
                PATH,
                json!({"secret_id": ""}),
                "/v1/sys/wrapping/unwrap holds no usable secret ID: it has no secret_id",
            ),
            (
                PATH,
                json!({"token": "CANARY"}),
                "/v1/sys/wrapping/unwrap holds no usable secret ID: it has no secret_id",
            ),
        ] {
            put(&file, "s.wrapping\n");
            let server = Server { creation_path, inside, asked: Mutex::default() };
            let mut method = method(folder.path(), true, Some(PATH));
            let error = body(&mut method, &server).await.unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains("CANARY"), "{error}");
            assert!(file.exists(), "removed for nothing");
            let unwrapped = server.asked.lock().unwrap().iter().any(|asked| asked.ends_with("unwrap"));
            assert_eq!(unwrapped, creation_path == PATH, "a token that is not to be trusted was spent");
        }
    }

    #[tokio::test]
    async fn a_good_one_is_unwrapped_once_and_its_file_goes_if_that_is_wanted() {
        for remove in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("secret");
            put(&file, "s.wrapping\n");
            let inside = json!({"secret_id": "inner"});
            let server = Server { creation_path: PATH, inside, asked: Mutex::default() };
            let mut wrapped = method(folder.path(), remove, Some(PATH));
            let want = json!({"role_id": "role", "secret_id": "inner"});
            assert_eq!(body(&mut wrapped, &server).await.unwrap(), want);
            assert_eq!(
                *server.asked.lock().unwrap(),
                ["GET /v1/sys/wrapping/lookup", "PUT /v1/sys/wrapping/unwrap"]
            );
            assert_eq!(file.exists(), !remove);
            let mut plain = method(folder.path(), remove, None);
            put(&file, " secret \n");
            let want = json!({"role_id": "role", "secret_id": "secret"});
            assert_eq!(body(&mut plain, &server).await.unwrap(), want);
            assert_eq!(file.exists(), !remove);
        }
    }

    #[tokio::test]
    async fn what_is_no_token_is_not_sent_and_its_file_named() {
        let folder = tempfile::tempdir().unwrap();
        put(&folder.path().join("secret"), "CANARY\u{7f}");
        let server = Server { creation_path: PATH, inside: json!({}), asked: Mutex::default() };
        let mut method = method(folder.path(), true, Some(PATH));
        let error = body(&mut method, &server).await.unwrap_err().to_string();
        let place = format!("secret ID file {}: ", folder.path().join("secret").display());
        assert!(error.starts_with(&place) && !error.contains("CANARY"), "{error}");
        assert!(server.asked.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn either_file_may_bring_news() {
        let folder = tempfile::tempdir().unwrap();
        put(&folder.path().join("secret"), "one");
        let server = Server { creation_path: "", inside: json!({}), asked: Mutex::default() };
        let mut method = method(folder.path(), false, None);
        body(&mut method, &server).await.unwrap();
        let mut news =
            || method.role_id.has_news() || method.secret_id.as_mut().is_some_and(Credential::has_news);
        assert!(!news());
        let _ = &server;
        put(&folder.path().join("role"), "other");
        assert!(news() && !news());
        put(&folder.path().join("secret"), "two");
        assert!(news() && !news());
    }
}
