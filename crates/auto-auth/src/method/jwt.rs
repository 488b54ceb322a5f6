//! `jwt`: a JWT from a file. `kubernetes` and `spiffe` are the same with other files.

use std::time::Duration;

use http::header::AUTHORIZATION;
use serde_json::{Value, json};
use vault::BoxFuture;

use super::attempt::Credentials;
use super::credential::Credential;
use super::shape::Shape;
use super::{Attempt, LoginError, Method, Scene};
use crate::watch::Watch;

/// A JWT in a file, and how it is sent.
pub(super) struct JwtFile {
    pub(super) file: Credential,
    pub(super) role: String,
    pub(super) read_period: Duration,
    /// In the header `Authorization` instead of the body.
    pub(super) as_bearer: bool,
}

impl JwtFile {
    pub(super) fn new(keys: &config::Jwt) -> Self {
        Self {
            file: Credential::of_file("JWT", &keys.file).shaped(Shape::Jwt),
            role: keys.role.clone(),
            read_period: keys.file.read_period,
            as_bearer: false,
        }
    }

    fn attempt(&mut self, scene: &Scene<'_>) -> Result<Attempt, LoginError> {
        let jwt = self.file.fetch()?.expose();
        let mut body = json!({"role": self.role});
        let mut headers = Vec::new();
        if self.as_bearer {
            headers.push((AUTHORIZATION, format!("Bearer {jwt}")));
        } else if let Value::Object(body) = &mut body {
            body.insert("jwt".to_owned(), jwt.into());
        }
        Ok(Attempt::Login(Credentials { path: format!("{}/login", scene.mount), body, headers }))
    }
}

impl Method for JwtFile {
    fn prepare<'a>(&'a mut self, scene: &'a Scene<'a>) -> BoxFuture<'a, Result<Attempt, LoginError>> {
        Box::pin(std::future::ready(self.attempt(scene)))
    }

    fn watch(&self) -> Option<Watch> {
        Some(Watch { every: self.read_period, files: vec![self.file.path().to_owned()] })
    }

    fn has_new_credentials<'a>(&'a mut self, _: &'a Scene<'a>) -> BoxFuture<'a, bool> {
        Box::pin(std::future::ready(self.file.has_changed()))
    }
}

#[cfg(test)]
mod tests {
    use config::Environment;
    use vault::api::Caller;
    use vault::{Client, ClientSettings, Mount};

    use super::*;

    #[test]
    fn it_travels_in_the_body_or_in_the_header_and_in_no_message() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("svid");
        atomic_file::write(&path, b"a.b.canary\n", &atomic_file::Attributes::new(0o600)).unwrap();
        let (mount, caller, environment) = (Mount::new("auth/x/"), Caller::default(), Environment::default());
        let server = Client::new(&ClientSettings::new("http://127.0.0.1:1".parse().unwrap())).unwrap();
        let scene = Scene { mount: &mount, server: &server, caller: &caller, environment: &environment };
        for (as_bearer, body) in
            [(false, json!({"role": "app", "jwt": "a.b.canary"})), (true, json!({"role": "app"}))]
        {
            let mut method = JwtFile {
                file: Credential::new("JWT-SVID", path.clone()).shaped(Shape::Jwt),
                role: "app".to_owned(),
                read_period: Duration::from_secs(1),
                as_bearer,
            };
            let attempt = method.attempt(&scene).unwrap();
            assert!(!format!("{attempt:?}{:?}", method.file).contains("canary"));
            let Attempt::Login(sent) = attempt else { panic!("no login") };
            assert_eq!((sent.path.as_str(), &sent.body), ("auth/x/login", &body));
            let headers: Vec<_> =
                sent.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let bearer: &[(&str, &str)] = &[("authorization", "Bearer a.b.canary")];
            assert_eq!(headers, if as_bearer { bearer } else { &[] });
        }
    }
}
