//! `ldap`, `okta`, `radius`, `userpass`: a user's name in the path, the password in the body.

use std::time::Duration;

use config::PasswordSource;
use serde_json::json;
use vault::{BoxFuture, SecretString};

use super::credential::Credential;
use super::percent::segment;
use super::shape::Shape;
use super::{Attempt, LoginError, Method, Scene};
use crate::watch::Watch;

/// A user, and where the password comes from.
pub(super) struct Password {
    username: String,
    source: Source,
}

enum Source {
    File { file: Credential, read_period: Duration },
    Variable(String),
}

impl Password {
    pub(super) fn new(keys: &config::Password) -> Self {
        let source = match &keys.source {
            PasswordSource::File(file) => Source::File {
                file: Credential::of_file("password", file).shaped(Shape::Password),
                read_period: file.read_period,
            },
            PasswordSource::Variable(name) => Source::Variable(name.clone()),
        };
        Self { username: keys.username.clone(), source }
    }

    fn attempt(&mut self, scene: &Scene<'_>) -> Result<Attempt, LoginError> {
        // Before the file is read and removed.
        let user = segment("username", &self.username)?;
        let password = match &mut self.source {
            Source::File { file, .. } => file.fetch()?.clone(),
            Source::Variable(name) => match scene.environment.exact(name) {
                Some(password) if !password.is_empty() => SecretString::new(password),
                _ => {
                    let message = format!(
                        "the environment variable {name}, which should hold the password, is not set or empty"
                    );
                    return Err(LoginError::NoCredentials(message));
                }
            },
        };
        Ok(Attempt::login_at(format!("{}/login/{user}", scene.mount), json!({"password": password.expose()})))
    }
}

impl Method for Password {
    fn prepare<'a>(&'a mut self, scene: &'a Scene<'a>) -> BoxFuture<'a, Result<Attempt, LoginError>> {
        Box::pin(std::future::ready(self.attempt(scene)))
    }

    fn watch(&self) -> Option<Watch> {
        match &self.source {
            Source::File { file, read_period } => {
                Some(Watch { every: *read_period, files: vec![file.path().to_owned()] })
            }
            Source::Variable(_) => None,
        }
    }

    fn has_new_credentials<'a>(&'a mut self, _: &'a Scene<'a>) -> BoxFuture<'a, bool> {
        let changed = match &mut self.source {
            Source::File { file, .. } => file.has_changed(),
            Source::Variable(_) => false,
        };
        Box::pin(std::future::ready(changed))
    }
}

#[cfg(test)]
mod tests {
    use super::super::loopback::prepared;
    use super::*;

    #[tokio::test]
    async fn a_variable_that_is_empty_is_no_password() {
        let source = PasswordSource::Variable("PASSWORD".to_owned());
        let mut method = Password::new(&config::Password { username: "ann@a b".to_owned(), source });
        let (path, body) = prepared(&mut method, &[("PASSWORD", " secret ")]).await.unwrap();
        assert_eq!((path.as_str(), body), ("auth/here/login/ann@a%20b", json!({"password": " secret "})));
        for environment in [&[][..], &[("PASSWORD", "")]] {
            let error = prepared(&mut method, environment).await.unwrap_err().to_string();
            assert!(error.contains("variable PASSWORD") && error.ends_with("is not set or empty"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_elsewhere_costs_no_password() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        atomic_file::write(&path, b"secret", &atomic_file::Attributes::new(0o600)).unwrap();
        let file = config::CredentialFile {
            path: path.clone(),
            removal: config::Removal::Link,
            read_period: Duration::from_secs(1),
        };
        let source = PasswordSource::File(file);
        let mut method = Password::new(&config::Password { username: "..".to_owned(), source });
        let error = prepared(&mut method, &[]).await.unwrap_err().to_string();
        assert_eq!(error, "the username \"..\" cannot stand in a path");
        assert!(path.exists());
    }
}
