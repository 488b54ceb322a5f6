//! Web identity: a token from a file (of a Kubernetes service account, mostly) exchanged for a role's keys.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use config::Environment;
use http::Method;
use http::header::CONTENT_TYPE;
use jiff::Timestamp;
use vault::SecretString;

use super::keys::Keys;
use super::region;
use crate::method::LoginError;
use crate::method::credential::Credential;
use crate::method::instance::is_word;
use crate::method::outside::{FAR, Outside};
use crate::method::percent::form;

/// Keys are fetched anew so long before they expire.
const EARLY: Duration = Duration::from_secs(300);

/// The keys of the last exchange, good while they last and the token is the same. Without remembering them, each look
/// would make new keys and each would seem to be news.
#[derive(Default)]
pub(super) struct WebIdentity {
    last: Option<(SecretString, Keys)>,
    /// Made when the first token is read.
    file: Option<Credential>,
}

impl WebIdentity {
    /// The role's keys; `Err(None)` when the environment asks for none.
    pub(super) async fn keys(
        &mut self,
        environment: &Environment,
        region: &str,
        now: Timestamp,
    ) -> Result<Keys, Option<LoginError>> {
        let filled = |name: &str| environment.exact(name).filter(|value| !value.is_empty());
        let path = filled("AWS_WEB_IDENTITY_TOKEN_FILE").ok_or(None)?;
        let missing = || LoginError::NoCredentials("AWS_ROLE_ARN is not set".to_owned());
        let role = filled("AWS_ROLE_ARN").ok_or_else(|| Some(missing()))?;
        let file =
            self.file.get_or_insert_with(|| Credential::new("web identity token", PathBuf::from(path)));
        let token = file.fetch()?.clone();
        if let Some((last, keys)) = &self.last
            && *last == token
            && keys.expires.is_some_and(|expires| now.checked_add(EARLY).is_ok_and(|then| then < expires))
        {
            return Ok(keys.clone());
        }
        let session = match filled("AWS_ROLE_SESSION_NAME") {
            Some(name) => name.to_owned(),
            None => format!("sidekey-{}", now.as_nanosecond()),
        };
        let keys = exchange(&endpoint(environment, region), role, &session, &token).await?;
        self.last = Some((token, keys.clone()));
        Ok(keys)
    }
}

/// Where STS is asked, by the region of the environment, or else of the login.
fn endpoint(environment: &Environment, region: &str) -> String {
    if let Some(url) = environment.exact("AWS_ENDPOINT_URL_STS").filter(|url| !url.is_empty()) {
        return url.to_owned();
    }
    match region::from_environment(environment).unwrap_or(region) {
        // Not the global endpoint: it does not answer in every region and partition.
        own if own == config::DEFAULT_AWS_REGION => format!("https://sts.{own}.amazonaws.com"),
        own => format!("https://{}", region::sts_host(own)),
    }
}

async fn exchange(
    endpoint: &str,
    role: &str,
    session: &str,
    token: &SecretString,
) -> Result<Keys, LoginError> {
    let sts = Outside::new("AWS STS", endpoint, FAR)?;
    let body = form(&[
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", role),
        ("RoleSessionName", session),
        ("WebIdentityToken", token.expose()),
    ]);
    let headers = [(CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8")];
    let answer = sts.send(Method::POST, "/", &headers, Bytes::from(body)).await?;
    let keys = answer.text().and_then(in_answer);
    keys.ok_or_else(|| sts.refused("/", "what it answered holds no usable credentials"))
}

/// The four values in STS's XML. None holds a character that XML would write otherwise, so a parser is not needed.
fn in_answer(xml: &str) -> Option<Keys> {
    let (_, rest) = xml.split_once("<Credentials>")?;
    let (inside, _) = rest.split_once("</Credentials>")?;
    let value = |name: &str| {
        let (_, rest) = inside.split_once(&format!("<{name}>"))?;
        let (value, _) = rest.split_once(&format!("</{name}>"))?;
        Some(value.trim()).filter(|value| is_word(value) && !value.contains(['<', '>', '&']))
    };
    Some(Keys {
        access_key: value("AccessKeyId")?.to_owned(),
        secret_key: value("SecretAccessKey")?.into(),
        session_token: Some(value("SessionToken")?.into()),
        expires: Some(value("Expiration")?.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_regions_own_sts_is_asked() {
        let region = ("AWS_REGION", "us-east-1");
        for (environment, want) in [
            (vec![], "https://sts.eu-west-1.amazonaws.com"),
            (vec![region], "https://sts.us-east-1.amazonaws.com"),
            (vec![region, ("AWS_ENDPOINT_URL_STS", "http://e")], "http://e"),
        ] {
            assert_eq!(endpoint(&Environment::new(environment), "eu-west-1"), want);
        }
    }

    #[test]
    fn reads_the_keys_in_stss_answer_and_nothing_from_others() {
        let xml = "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
                   <AssumeRoleWithWebIdentityResult><AssumedRoleUser><Arn>a</Arn></AssumedRoleUser><Credentials>\n\
                   <SessionToken>tok/+==</SessionToken><SecretAccessKey> sec+ret </SecretAccessKey>\n\
                   <Expiration>2030-01-02T03:04:05Z</Expiration><AccessKeyId>ASIA1</AccessKeyId></Credentials>";
        let keys = in_answer(xml).unwrap();
        assert_eq!((keys.access_key.as_str(), keys.secret_key.expose()), ("ASIA1", "sec+ret"));
        assert_eq!(keys.session_token.unwrap().expose(), "tok/+==");
        assert_eq!(keys.expires.unwrap().to_string(), "2030-01-02T03:04:05Z");
        for bad in [
            "",
            "<html>",
            "<Credentials></Credentials>",
            &xml.replace("2030", "x"),
            &xml.replace("ASIA1", "&lt;"),
        ] {
            assert_eq!(in_answer(bad), None, "{bad}");
        }
    }
}
