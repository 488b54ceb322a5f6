//! `method "azure"`.

use super::keys::{required, string};
use crate::decode::Fields;

/// An identity of Microsoft Entra: of a virtual machine, or of a workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Azure {
    /// The role at the server.
    pub role: String,
    /// Whom the token is for; the server's configuration names the same.
    pub resource: String,
    /// What is asked for with `from_environment`; default `<resource>/.default`.
    pub scope: String,
    /// Which of the machine's identities, if it has several.
    pub identity: Option<AzureIdentity>,
    /// Look for a credential in the environment, as Azure's libraries do, before asking the machine.
    pub from_environment: bool,
    /// Base URL of the instance metadata service.
    pub metadata_endpoint: Option<String>,
    /// Base URL of the token endpoint, for national clouds and private ones.
    pub authority_host: Option<String>,
}

/// One of several identities of a machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AzureIdentity {
    /// By its object id.
    ObjectId(String),
    /// By its client id.
    ClientId(String),
}

pub(super) fn read(config: &Fields<'_>) -> Option<Azure> {
    let role = required(config, "role");
    let resource = required(config, "resource");
    let filled = |key| string(config, key).filter(|text| !text.is_empty());
    let (object_id, client_id) = (filled("object_id"), filled("client_id"));
    if object_id.is_some() && client_id.is_some() {
        config.refuse(config.span_of("client_id"), "only one of 'object_id' or 'client_id' may be provided");
    }
    let scope = filled("scope");
    let from_environment = config
        .with_prefix(format!(
            "{}could not convert 'authenticate_from_environment' config value to bool: ",
            config.prefix()
        ))
        .lax_bool("authenticate_from_environment");
    config.ignore(&["authenticate_from_environment"]);
    let metadata_endpoint = config.filled("metadata_endpoint");
    let authority_host = config.filled("authority_host");
    let resource = resource?;
    Some(Azure {
        role: role?,
        scope: scope.unwrap_or_else(|| format!("{resource}/.default")),
        resource,
        identity: object_id.map(AzureIdentity::ObjectId).or(client_id.map(AzureIdentity::ClientId)),
        from_environment: from_environment.unwrap_or(false),
        metadata_endpoint,
        authority_host,
    })
}
