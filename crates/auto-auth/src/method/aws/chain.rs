//! Where access keys come from: the first source that has them.

use std::path::PathBuf;

use config::Environment;
use jiff::Timestamp;
use tracing::{debug, warn};

use super::keys::Keys;
use super::web_identity::WebIdentity;
use super::{Metadata, container, shared_file};
use crate::method::LoginError;

/// The sources, in upstream's order: configuration, environment, shared file, web identity, then the container's
/// service or, if there is none, the instance's metadata.
pub(super) struct Chain {
    fixed: Option<Keys>,
    web_identity: WebIdentity,
    metadata: Metadata,
    /// What made keys the last time, told when it changes.
    source: Option<&'static str>,
}

impl Chain {
    pub(super) fn new(fixed: Option<&config::AwsKeys>, metadata: Metadata) -> Self {
        let fixed = fixed
            .map(|keys| Keys::lasting(&keys.access_key, keys.secret_key.clone(), keys.session_token.clone()));
        Self { fixed, web_identity: WebIdentity::default(), metadata, source: None }
    }

    /// The files keys may come from.
    pub(super) fn files(&self, environment: &Environment) -> Vec<PathBuf> {
        if self.fixed.is_some() {
            return Vec::new();
        }
        let token_file = environment.exact("AWS_WEB_IDENTITY_TOKEN_FILE").filter(|path| !path.is_empty());
        shared_file::path(environment).into_iter().chain(token_file.map(PathBuf::from)).collect()
    }

    /// Asks the sources. `region` is where STS is asked, if it must be, and nothing else says where.
    ///
    /// # Errors
    /// No source has keys; the text says why for each.
    pub(super) async fn keys(&mut self, environment: &Environment, region: &str) -> Result<Keys, LoginError> {
        let mut tried = Vec::new();
        let found = match &self.fixed {
            Some(keys) => Ok(("the configuration", keys.clone())),
            None => self.search(environment, region, &mut tried).await,
        };
        let (source, keys) = found.map_err(|last| {
            tried.push(last);
            LoginError::NoCredentials(format!("found no AWS credentials: {}", tried.join("; ")))
        })?;
        if self.source.replace(source) != Some(source) {
            debug!(target: "auth.handler", source, "AWS credentials found");
        }
        Ok(keys)
    }

    async fn search(
        &mut self,
        environment: &Environment,
        region: &str,
        tried: &mut Vec<String>,
    ) -> Result<(&'static str, Keys), String> {
        match from_environment(environment) {
            Ok(keys) => return Ok(("the environment", keys)),
            Err(reason) => tried.push(format!("environment: {reason}")),
        }
        match shared_file::keys(environment) {
            Ok(keys) => return Ok(("the shared credentials file", keys)),
            Err(reason) => tried.push(format!("shared credentials file: {reason}")),
        }
        match self.web_identity.keys(environment, region, Timestamp::now()).await {
            Ok(keys) => return Ok(("web identity", keys)),
            Err(None) => tried.push("web identity: AWS_WEB_IDENTITY_TOKEN_FILE is not set".to_owned()),
            Err(Some(error)) => {
                // It was wanted; what comes next may be somebody else: the node's role instead of the pod's.
                warn!(target: "auth.handler", error = %error, "error assuming role by web identity, trying the next source");
                tried.push(format!("web identity: {error}"));
            }
        }
        match container::address(environment) {
            Some(address) => match container::keys(address, environment).await {
                Ok(keys) => Ok(("the container credentials service", keys)),
                Err(error) => Err(format!("container credentials: {error}")),
            },
            None => match self.of_instance(environment).await {
                Ok(keys) => Ok(("instance metadata", keys)),
                Err(error) => Err(format!("instance metadata: {error}")),
            },
        }
    }

    async fn of_instance(&self, environment: &Environment) -> Result<Keys, LoginError> {
        let instance = self.metadata.open(environment).await?;
        instance.role_keys(None).await.map(Keys::from)
    }
}

fn from_environment(environment: &Environment) -> Result<Keys, &'static str> {
    let first = |names: [&str; 2]| {
        names.into_iter().find_map(|name| environment.exact(name).filter(|value| !value.is_empty()))
    };
    let id = first(["AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY"]).ok_or("AWS_ACCESS_KEY_ID is not set")?;
    let secret =
        first(["AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY"]).ok_or("AWS_SECRET_ACCESS_KEY is not set")?;
    let token = environment.exact("AWS_SESSION_TOKEN").filter(|token| !token.is_empty());
    Ok(Keys::lasting(id, secret.into(), token.map(Into::into)))
}
