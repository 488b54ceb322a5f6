//! `aws`: who we are to Amazon, by a signed request (`iam`) or by the papers of the instance (`ec2`).
//!
//! Written by hand rather than with a library: what is needed is one request, always the same, signed and not even
//! sent (`sigv4.rs`, a hundred lines on the crypto library that is here anyway), and a chain of six sources
//! (`chain.rs`). The smallest library with both costs thirty crates, among them an XML and an INI parser, and would
//! still have to be taught our time limits, our way of reading files, and to do nothing before the first login.
//!
//! Not read, as upstream's agent does not: `~/.aws/config` with its roles, processes and single sign-on.

mod chain;
mod container;
mod ec2;
mod iam;
mod keys;
mod region;
mod shared_file;
mod sigv4;
mod web_identity;

#[cfg(test)]
mod tests;

use config::{AwsLogin, Environment};
use http::header::HeaderName;

use super::instance::Dialect;
use super::{LoginError, Method};

/// The method for a stanza.
pub(super) fn new(keys: &config::Aws) -> Box<dyn Method> {
    let (role, metadata) = (keys.role.clone(), Metadata { endpoint: keys.metadata_endpoint.clone() });
    match &keys.login {
        AwsLogin::Iam(login) => Box::new(iam::Iam::new(role, login, metadata)),
        AwsLogin::Ec2(login) => Box::new(ec2::Ec2::new(role, login, metadata)),
    }
}

/// Amazon's words for its instance metadata.
const DIALECT: Dialect = Dialect {
    what: "EC2 instance metadata",
    ttl: HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds"),
    token: HeaderName::from_static("x-aws-ec2-metadata-token"),
    roles: "/latest/meta-data/iam/security-credentials/",
    fields: ["AccessKeyId", "SecretAccessKey", "Token"],
};

/// Where instance metadata are.
#[derive(Clone, Debug)]
struct Metadata {
    /// From the configuration, before the environment.
    endpoint: Option<String>,
}

impl Metadata {
    /// Opens a session with it, unless that is switched off.
    async fn open(&self, environment: &Environment) -> Result<super::instance::Instance, LoginError> {
        use super::instance::{Instance, Tokenless};

        let is_true = |name: &str| environment.exact(name).is_some_and(|v| v.eq_ignore_ascii_case("true"));
        if is_true("AWS_EC2_METADATA_DISABLED") {
            let text = "EC2 instance metadata are switched off by AWS_EC2_METADATA_DISABLED";
            return Err(LoginError::NoCredentials(text.to_owned()));
        }
        let tokenless =
            if is_true("AWS_EC2_METADATA_V1_DISABLED") { Tokenless::Forbidden } else { Tokenless::Allowed };
        Instance::open(self.base(environment), DIALECT, tokenless).await
    }

    fn base<'a>(&'a self, environment: &'a Environment) -> &'a str {
        const USUAL: &str = "http://169.254.169.254";
        const IPV6: &str = "http://[fd00:ec2::254]";
        let filled = |name: &str| environment.exact(name).filter(|value| !value.is_empty());
        let ipv6 = || {
            let mode = filled("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE")?;
            mode.eq_ignore_ascii_case("ipv6").then_some(IPV6)
        };
        let from_environment = || filled("AWS_EC2_METADATA_SERVICE_ENDPOINT").or_else(ipv6);
        self.endpoint.as_deref().or_else(from_environment).unwrap_or(USUAL)
    }
}
