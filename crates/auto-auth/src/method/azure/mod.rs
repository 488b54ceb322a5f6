//! `azure`: an identity of Microsoft Entra, proven by an access token that it gives the machine or the workload.

mod environment;
mod metadata;

use serde_json::json;
use tracing::debug;
use vault::{BoxFuture, SecretString};

use self::metadata::{Machine, Metadata};
use super::{Attempt, LoginError, Method, Scene};

/// What the configuration says; tokens are asked for at each login.
pub(super) struct Azure(config::Azure);

impl Azure {
    pub(super) fn new(keys: &config::Azure) -> Self {
        Self(keys.clone())
    }

    async fn prepare(&self, scene: &Scene<'_>) -> Result<Attempt, LoginError> {
        let metadata = Metadata::new(self.0.metadata_endpoint.as_deref(), scene.environment)?;
        let (machine, jwt) = if self.0.from_environment {
            // A workload need not run on a virtual machine, and the service may be closed to it.
            let machine = metadata.machine().await.unwrap_or_else(|error| {
                debug!(target: "auth.handler", error = %error, "logging in without the name of the machine");
                Machine::default()
            });
            (machine, environment::token(&self.0, &metadata, scene.environment).await?)
        } else {
            // First, as it answers at once or is not there: asking for a token takes longer.
            let machine = metadata.machine().await?;
            (machine, metadata.token(&self.0.resource, self.0.identity.as_ref()).await?)
        };
        Ok(self.attempt(scene, &machine, &jwt))
    }

    fn attempt(&self, scene: &Scene<'_>, machine: &Machine, jwt: &SecretString) -> Attempt {
        let body = json!({
            "role": self.0.role,
            "jwt": jwt.expose(),
            "vm_name": machine.name,
            "vmss_name": machine.scale_set,
            "resource_group_name": machine.resource_group,
            "subscription_id": machine.subscription,
        });
        Attempt::login(scene.mount, body)
    }
}

impl Method for Azure {
    fn prepare<'a>(&'a mut self, scene: &'a Scene<'a>) -> BoxFuture<'a, Result<Attempt, LoginError>> {
        Box::pin(Self::prepare(self, scene))
    }
}
