//! Credentials in the environment, in the order of Azure's libraries (`DefaultAzureCredential`): a service principal
//! with its secret or certificate, a workload identity, a managed identity.
//!
//! The first that is configured counts. If it fails, the next is not tried: it would be somebody else.

use std::path::Path;
use std::time::Duration;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use config::{AzureIdentity, Environment};
use http::HeaderName;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use vault::SecretString;

use super::super::credential::warn_if_world_readable;
use super::super::outside::{FAR, Outside};
use super::super::rsa::RsaKey;
use super::super::{LoginError, assertion, oauth, percent};
use super::metadata::{Metadata, parameter};

/// Of the public cloud.
const AUTHORITY: &str = "https://login.microsoftonline.com";

/// How long an assertion is good for; that of Azure's libraries.
const ASSERTION_LIFETIME: Duration = Duration::from_secs(600);

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Of the token endpoint of App Service and Functions.
const APP_SERVICE_VERSION: &str = "2019-08-01";

/// Where a service principal or a workload asks.
struct Principal<'a> {
    url: String,
    client_id: &'a str,
    scope: &'a str,
}

/// A token by the first credential that is configured.
///
/// # Errors
/// It is unusable, or refused; or there is none and the machine has no identity either.
pub(super) async fn token(
    keys: &config::Azure,
    metadata: &Metadata,
    environment: &Environment,
) -> Result<SecretString, LoginError> {
    let variable = |name| environment.exact(name).filter(|text| !text.is_empty());
    let client_id = variable("AZURE_CLIENT_ID");
    if let (Some(tenant), Some(client_id)) = (variable("AZURE_TENANT_ID"), client_id) {
        let authority = keys.authority_host.as_deref().or(variable("AZURE_AUTHORITY_HOST"));
        let authority = authority.unwrap_or(AUTHORITY).trim_end_matches('/');
        let tenant = percent::segment("AZURE_TENANT_ID", tenant)?;
        let url = format!("{authority}/{tenant}/oauth2/v2.0/token");
        let principal = Principal { url, client_id, scope: &keys.scope };
        if let Some(secret) = variable("AZURE_CLIENT_SECRET") {
            return principal.token(&[("client_secret", secret)]).await;
        }
        if let Some(path) = variable("AZURE_CLIENT_CERTIFICATE_PATH") {
            let chain = variable("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN");
            let chain = matches!(chain, Some("1" | "true" | "True" | "TRUE"));
            return principal.assert(&principal.sign(Path::new(path), chain)?).await;
        }
        if let Some(path) = variable("AZURE_FEDERATED_TOKEN_FILE") {
            return principal.assert(&federated_token(Path::new(path))?).await;
        }
    }
    // A managed identity is named by the configuration, or by the variable.
    let named = keys.identity.clone().or_else(|| client_id.map(|id| AzureIdentity::ClientId(id.to_owned())));
    let resource = keys.scope.strip_suffix("/.default").unwrap_or(&keys.scope);
    match (variable("IDENTITY_ENDPOINT"), variable("IDENTITY_HEADER")) {
        (Some(endpoint), Some(header)) => {
            if variable("IDENTITY_SERVER_THUMBPRINT").is_some() {
                return Err(unsupported("a managed identity of Service Fabric"));
            }
            app_service(endpoint, header, resource, named.as_ref()).await
        }
        (Some(_), None) => Err(unsupported("a managed identity of Azure Arc")),
        (None, _) => metadata.token(resource, named.as_ref()).await.map_err(|error| {
            LoginError::NoCredentials(format!(
                "no credential of Azure is in the environment (AZURE_TENANT_ID and AZURE_CLIENT_ID with \
                 AZURE_CLIENT_SECRET, AZURE_CLIENT_CERTIFICATE_PATH or AZURE_FEDERATED_TOKEN_FILE), the login of \
                 the command line az is not used, and the machine gives no token: {error}"
            ))
        }),
    }
}

impl Principal<'_> {
    async fn token(&self, proof: &[(&str, &str)]) -> Result<SecretString, LoginError> {
        let mut form =
            vec![("client_id", self.client_id), ("grant_type", "client_credentials"), ("scope", self.scope)];
        form.extend_from_slice(proof);
        let token = oauth::access_token("token endpoint", &self.url, &form).await?;
        if assertion::is_token(token.expose()) {
            return Ok(token);
        }
        let reason = "the answer's access_token is no signed JWT".to_owned();
        Err(LoginError::Outside { what: "token endpoint", url: self.url.clone(), reason })
    }

    async fn assert(&self, assertion: &SecretString) -> Result<SecretString, LoginError> {
        let proof = [("client_assertion", assertion.expose()), ("client_assertion_type", ASSERTION_TYPE)];
        self.token(&proof).await
    }

    /// Says who we are, signed with the key in a PEM file that holds the certificate too.
    fn sign(&self, path: &Path, send_chain: bool) -> Result<SecretString, LoginError> {
        let unusable = |why: &str| credential("client certificate", path, why);
        let bytes = atomic_file::read_small(path).map_err(|error| unusable(&error.reason()))?;
        let pem = String::from_utf8(bytes).map_err(|_| {
            unusable("it is not PEM; PKCS#12 files are not read, convert it with openssl pkcs12")
        })?;
        warn_if_world_readable("client certificate", path);
        let key = RsaKey::from_pem(&pem).map_err(unusable)?;
        let certificates: Vec<CertificateDer<'_>> =
            CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok).collect();
        let Some(leaf) = certificates.first() else { return Err(unusable("it holds no certificate")) };
        // Entra finds the certificate by this digest; nothing rests on its strength.
        let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, leaf.as_ref());
        let mut header = vec![("x5t", Value::from(BASE64_URL_SAFE_NO_PAD.encode(digest.as_ref())))];
        if send_chain {
            let chain: Vec<String> = certificates.iter().map(|der| BASE64_STANDARD.encode(der)).collect();
            header.push(("x5c", json!(chain)));
        }
        let claims = json!({
            "aud": self.url,
            "iss": self.client_id,
            "sub": self.client_id,
            "jti": format!("{:032x}", fastrand::u128(..)),
            "nbf": assertion::unix_time(Duration::ZERO),
            "exp": assertion::unix_time(ASSERTION_LIFETIME),
        });
        let signed = assertion::sign(&key, &header, &claims).map_err(unusable)?;
        Ok(signed.into())
    }
}

/// The token that Kubernetes gives the workload; it is replaced while it is good.
fn federated_token(path: &Path) -> Result<SecretString, LoginError> {
    let unusable = |why: &str| credential("federated token", path, why);
    let bytes = atomic_file::read_small(path).map_err(|error| unusable(&error.reason()))?;
    let text = String::from_utf8(bytes).map_err(|_| unusable("it is not text"))?;
    match text.trim() {
        "" => Err(unusable("it is empty")),
        token if assertion::is_token(token) => Ok(token.into()),
        _ => Err(unusable("it holds no signed JWT")),
    }
}

/// A managed identity of App Service, Functions or Container Apps.
async fn app_service(
    endpoint: &str,
    secret: &str,
    resource: &str,
    identity: Option<&AzureIdentity>,
) -> Result<SecretString, LoginError> {
    let (base, path) = oauth::split_url(endpoint);
    let service = Outside::new("managed identity endpoint", base, FAR)?;
    let mut query = vec![("api-version", APP_SERVICE_VERSION), ("resource", resource)];
    query.extend(identity.map(parameter));
    let header = [(HeaderName::from_static("x-identity-header"), secret)];
    let answer = service.get(&format!("{path}?{}", percent::form(&query)), &header).await?;
    oauth::token(&service, path, &answer, "access_token")
}

fn credential(what: &'static str, path: &Path, why: &str) -> LoginError {
    LoginError::Credential { what, path: path.display().to_string(), reason: why.to_owned() }
}

fn unsupported(what: &str) -> LoginError {
    LoginError::NoCredentials(format!("the environment names {what}, which cannot be used"))
}

#[cfg(test)]
mod tests {
    use super::super::super::loopback::{Do, Loopback};
    use super::*;

    #[test]
    fn an_assertion_is_good_for_ten_minutes_from_now() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.pem");
        let certificate = rcgen::CertificateParams::default();
        let certificate = certificate.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem();
        let pem = format!("{}\n{certificate}", include_str!("../testdata/rsa-pkcs8.pem"));
        atomic_file::write(&path, pem.as_bytes(), &atomic_file::Attributes::new(0o600)).unwrap();
        let principal = Principal { url: "https://e/t".to_owned(), client_id: "c1", scope: "s" };
        let earliest = assertion::unix_time(Duration::ZERO);
        let token = principal.sign(&path, false).unwrap();
        let latest = assertion::unix_time(Duration::ZERO);
        let claims = token.expose().split('.').nth(1).unwrap();
        let claims: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
        let time = |name: &str| claims[name].as_u64().unwrap();
        assert!((earliest..=latest).contains(&time("nbf")), "{claims}");
        assert!((earliest + 600..=latest + 600).contains(&time("exp")), "{claims}");
    }

    #[tokio::test]
    async fn service_fabric_is_told_apart_from_app_service() {
        let service =
            Loopback::start(|_| Do::Answer(200, json!({"access_token": "a.b.c"}).to_string())).await;
        let keys = keys(None);
        let endpoint = format!("{}/msi", service.address);
        let variables = [
            ("IDENTITY_ENDPOINT", endpoint.as_str()),
            ("IDENTITY_HEADER", "h"),
            ("IDENTITY_SERVER_THUMBPRINT", "00ff"),
        ];
        let ask = async |variables: &[(&'static str, &str)]| {
            let environment = Environment::new(variables.iter().copied());
            let metadata = Metadata::new(keys.metadata_endpoint.as_deref(), &environment).unwrap();
            token(&keys, &metadata, &environment).await.map_err(|error| error.to_string())
        };
        // Its certificate would have to be checked by that digest: its secret must not go out without.
        let refused = ask(&variables).await.unwrap_err();
        assert!(refused.contains("names a managed identity of Service Fabric"), "{refused}");
        assert_eq!(service.lines(), Vec::<String>::new());
        assert_eq!(ask(&variables[..2]).await.unwrap().expose(), "a.b.c");
    }

    fn keys(authority_host: Option<&str>) -> config::Azure {
        config::Azure {
            role: "r1".to_owned(),
            resource: "api".to_owned(),
            scope: "api/.default".to_owned(),
            identity: None,
            from_environment: true,
            metadata_endpoint: Some("http://127.0.0.1:1".to_owned()),
            authority_host: authority_host.map(str::to_owned),
        }
    }

    #[tokio::test]
    async fn a_secret_comes_before_a_certificate_and_what_comes_back_must_be_a_jwt() {
        for (tenant, part, answered, good) in [
            ("t1", "t1", "a.b.c", true),
            ("t1/../t2?x", "t1%2F..%2Ft2%3Fx", "a.b.c", true),
            ("t1", "t1", "CANARY", false),
        ] {
            let entra =
                Loopback::start(move |_| Do::Answer(200, json!({"access_token": answered}).to_string()))
                    .await;
            let keys = keys(Some(&entra.address));
            let environment = Environment::new([
                ("AZURE_TENANT_ID", tenant),
                ("AZURE_CLIENT_ID", "c1"),
                ("AZURE_CLIENT_SECRET", "s3cret"),
                ("AZURE_CLIENT_CERTIFICATE_PATH", "/nowhere"),
            ]);
            let metadata = Metadata::new(keys.metadata_endpoint.as_deref(), &environment).unwrap();
            let token = token(&keys, &metadata, &environment).await.map_err(|error| error.to_string());
            assert!(entra.asked()[0].body.contains("client_secret=s3cret"), "{:?}", entra.asked());
            assert_eq!(entra.lines(), [format!("POST /{part}/oauth2/v2.0/token")]);
            match token {
                Ok(token) => assert!(good && token.expose() == answered),
                Err(error) => {
                    assert!(!good, "{error}");
                    assert!(error.ends_with("the answer's access_token is no signed JWT"), "{error}");
                }
            }
        }
    }
}
