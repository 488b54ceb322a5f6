//! The credentials service of a container: ECS tasks, EKS pod identity.

use std::net::IpAddr;
use std::path::Path;

use config::Environment;
use http::header::AUTHORIZATION;
use vault::SecretString;

use super::keys::Keys;
use crate::method::LoginError;
use crate::method::instance::temporary_keys;
use crate::method::outside::{NEAR, Outside};

const WHAT: &str = "container credentials service";

/// Where ECS answers `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`.
const ECS: &str = "http://169.254.170.2";

/// Addresses that may be asked without TLS, besides this machine's own: those of ECS, and of EKS pod identity by IPv4
/// and IPv6. From the reference of the AWS SDKs.
const PLAIN: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];

/// A service by base and path.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Address {
    base: String,
    target: String,
}

/// Where the service is, if the environment says that there is one.
pub(super) fn address(environment: &Environment) -> Option<Address> {
    let filled = |name: &str| environment.exact(name).filter(|value| !value.is_empty());
    if let Some(target) = filled("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
        return Some(Address {
            base: ECS.to_owned(),
            target: format!("/{}", target.trim_start_matches('/')),
        });
    }
    let full = filled("AWS_CONTAINER_CREDENTIALS_FULL_URI")?;
    let host = full.find("://").map_or(0, |at| at + 3);
    let path = full.get(host..).and_then(|rest| rest.find(['/', '?'])).map_or(full.len(), |at| host + at);
    let (base, target) = full.split_at_checked(path).unwrap_or((full, ""));
    let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
    Some(Address { base: base.to_owned(), target })
}

/// Asks it.
pub(super) async fn keys(address: Address, environment: &Environment) -> Result<Keys, LoginError> {
    let Address { base, target } = address;
    let service = Outside::new(WHAT, &base, NEAR)?;
    if !is_trusted(&base) {
        return Err(service.refused(&target, "credentials are taken without TLS from this machine alone"));
    }
    let token = authorization(environment)?;
    let headers: Vec<_> = token.iter().map(|token| (AUTHORIZATION, token.expose())).collect();
    let answer = service.get(&target, &headers).await?;
    temporary_keys(&answer, ["AccessKeyId", "SecretAccessKey", "Token"])
        .map(Keys::from)
        .map_err(|reason| service.refused(&target, reason))
}

/// What the service wants to see, read anew each time: the file is replaced now and then.
fn authorization(environment: &Environment) -> Result<Option<SecretString>, LoginError> {
    let filled = |name: &str| environment.exact(name).filter(|value| !value.is_empty());
    if let Some(path) = filled("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        let refused = |reason: String| LoginError::Credential {
            what: "AWS container authorization token",
            path: path.to_owned(),
            reason,
        };
        let bytes = atomic_file::read_small(Path::new(path)).map_err(|error| refused(error.reason()))?;
        let text = String::from_utf8(bytes).map_err(|_| refused("it is not text".to_owned()))?;
        return match text.trim() {
            "" => Err(refused("it is empty".to_owned())),
            token if token.contains(char::is_control) => {
                Err(refused("it holds more than one line".to_owned()))
            }
            token => Ok(Some(token.into())),
        };
    }
    Ok(filled("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(Into::into))
}

/// Whoever answers decides who we are, so it is TLS, or an address that cannot be anybody else.
fn is_trusted(base: &str) -> bool {
    let Some(authority) = base.strip_prefix("http://") else { return true };
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => authority.split(':').next(),
    };
    let Some(host) = host else { return false };
    host == "localhost"
        || PLAIN.contains(&host)
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_relative_address_is_asked_at_the_services_own_host() {
        let environment = Environment::new([
            ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/1?a=b"),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://localhost/full"),
        ]);
        let want = Address { base: ECS.into(), target: "/v2/credentials/1?a=b".into() };
        assert_eq!(address(&environment), Some(want));
        assert_eq!(address(&Environment::default()), None);
    }

    #[test]
    fn a_full_address_is_taken_apart() {
        for (full, base, target) in [
            ("http://169.254.170.23/v1/credentials", "http://169.254.170.23", "/v1/credentials"),
            ("http://127.0.0.1:99?x=1", "http://127.0.0.1:99", "/?x=1"),
            ("https://example.com", "https://example.com", "/"),
        ] {
            let environment = Environment::new([("AWS_CONTAINER_CREDENTIALS_FULL_URI", full)]);
            let want = Address { base: base.into(), target: target.into() };
            assert_eq!(address(&environment), Some(want));
        }
    }

    #[test]
    fn without_tls_only_local_addresses_are_trusted() {
        for good in ["http://localhost:1", "http://127.0.0.1", "http://[::1]:9", "http://[fd00:ec2::23]"] {
            assert!(is_trusted(good), "{good}");
        }
        assert!(is_trusted("https://example.com") && is_trusted("http://169.254.170.23"));
        for bad in ["http://example.com", "http://169.254.169.254", "http://127.0.0.1.example.com", "http://"]
        {
            assert!(!is_trusted(bad), "{bad}");
        }
    }
}
