//! Azure's instance metadata service: what the machine is called, and tokens for its identities.

use config::{AzureIdentity, Environment};
use http::HeaderName;
use serde_json::Value;
use vault::SecretString;

use super::super::outside::{FAR, NEAR, Outside};
use super::super::{LoginError, oauth, percent};

/// The same on every machine.
const ENDPOINT: &str = "http://169.254.169.254";

/// What Azure's libraries read another address from.
const ENDPOINT_VARIABLE: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";

/// The first version that knows identities; upstream's.
const API_VERSION: &str = "2018-02-01";

/// Without it the service refuses.
const METADATA: HeaderName = HeaderName::from_static("metadata");

/// The service.
pub(super) struct Metadata {
    /// For what it knows itself.
    own: Outside,
    /// For tokens, which it asks for elsewhere.
    tokens: Outside,
}

/// What the server may want to know of a machine; empty where it is none.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Machine {
    pub(super) name: String,
    pub(super) scale_set: String,
    pub(super) resource_group: String,
    pub(super) subscription: String,
}

impl Metadata {
    pub(super) fn new(configured: Option<&str>, environment: &Environment) -> Result<Self, LoginError> {
        const WHAT: &str = "instance metadata service";
        let from_environment = environment.exact(ENDPOINT_VARIABLE).filter(|url| !url.is_empty());
        let url = oauth::link_url(configured.or(from_environment).unwrap_or(ENDPOINT));
        Ok(Self { own: Outside::new(WHAT, &url, NEAR)?, tokens: Outside::new(WHAT, &url, FAR)? })
    }

    /// The machine.
    ///
    /// # Errors
    /// No answer, or none of use.
    pub(super) async fn machine(&self) -> Result<Machine, LoginError> {
        let path = "/metadata/instance";
        let query = percent::form(&[("api-version", API_VERSION)]);
        let answer = self.own.get(&format!("{path}?{query}"), &[(METADATA, "true")]).await?;
        let Some(compute) = answer.json().and_then(|json| field(&json, "compute").cloned()) else {
            return Err(self.own.refused(path, "the answer has no compute"));
        };
        let text = |name| field(&compute, name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Machine {
            name: text("name"),
            scale_set: text("vmScaleSetName"),
            resource_group: text("resourceGroupName"),
            subscription: text("subscriptionId"),
        })
    }

    /// A token of one of the machine's identities.
    ///
    /// # Errors
    /// No answer, or none of use.
    pub(super) async fn token(
        &self,
        resource: &str,
        identity: Option<&AzureIdentity>,
    ) -> Result<SecretString, LoginError> {
        let path = "/metadata/identity/oauth2/token";
        let mut query = vec![("api-version", API_VERSION), ("resource", resource)];
        query.extend(identity.map(parameter));
        let target = format!("{path}?{}", percent::form(&query));
        let answer = self.tokens.get(&target, &[(METADATA, "true")]).await?;
        oauth::token(&self.tokens, path, &answer, "access_token")
    }
}

/// How an identity is named in a query.
pub(super) fn parameter(identity: &AzureIdentity) -> (&'static str, &str) {
    match identity {
        AzureIdentity::ObjectId(id) => ("object_id", id),
        AzureIdentity::ClientId(id) => ("client_id", id),
    }
}

/// A field whatever the case of its name, as upstream reads them.
fn field<'a>(json: &'a Value, name: &str) -> Option<&'a Value> {
    json.as_object()?.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}
