//! `external_account`: a token of another identity provider, changed into one of Google (workload identity
//! federation). Tokens come from a file or a URL; those of programs and of AWS are not read here.

use std::path::PathBuf;

use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use vault::SecretString;

use super::super::outside::{Answer, FAR, NEAR, Outside};
use super::super::{LoginError, oauth};
use super::credentials::{SCOPE, unusable};

/// Where other tokens are changed into Google's, unless the credentials say otherwise.
const EXCHANGE_URL: &str = "https://sts.googleapis.com/v1/token";

/// Credentials that name another provider's.
pub(super) struct External {
    place: String,
    audience: String,
    token_type: String,
    token_url: String,
    impersonation_url: Option<String>,
    source: Source,
    /// The field that holds the token when the source gives JSON; without it the whole text is the token.
    field: Option<String>,
}

enum Source {
    File(PathBuf),
    Url { url: String, headers: Vec<(HeaderName, String)> },
}

impl External {
    pub(super) fn new(json: &Value, place: &str) -> Result<Self, LoginError> {
        let text = |value: &Value, name: &str| {
            value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let needed =
            |name: &str| text(json, name).ok_or_else(|| unusable(place, &format!("it has no {name}")));
        let null = Value::Null;
        let from = json.get("credential_source").unwrap_or(&null);
        let source = match (text(from, "file"), text(from, "url")) {
            (Some(path), _) => Source::File(path.into()),
            (None, Some(url)) => Source::Url { url, headers: headers(from) },
            (None, None) => {
                return Err(unusable(place, "its credential_source names neither a file nor a url"));
            }
        };
        let format = from.get("format").unwrap_or(&null);
        let field = match text(format, "type").as_deref() {
            Some("json") => Some(
                text(format, "subject_token_field_name")
                    .ok_or_else(|| unusable(place, "its format has no subject_token_field_name"))?,
            ),
            _ => None,
        };
        Ok(Self {
            place: place.to_owned(),
            audience: needed("audience")?,
            token_type: needed("subject_token_type")?,
            token_url: text(json, "token_url").unwrap_or_else(|| EXCHANGE_URL.to_owned()),
            impersonation_url: text(json, "service_account_impersonation_url"),
            source,
            field,
        })
    }

    /// The service account that is taken on, from the end of `…/serviceAccounts/<email>:generateAccessToken`.
    pub(super) fn email(&self) -> Option<&str> {
        let (_, account) = self.impersonation_url.as_deref()?.rsplit_once("/serviceAccounts/")?;
        account.split(':').next()
    }

    /// Reads the other provider's token and changes it.
    ///
    /// # Errors
    /// It cannot be read, or Google does not take it.
    pub(super) async fn access_token(&self) -> Result<SecretString, LoginError> {
        let subject = self.subject().await?;
        let form = [
            ("audience", self.audience.as_str()),
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("scope", SCOPE),
            ("subject_token", subject.expose()),
            ("subject_token_type", self.token_type.as_str()),
        ];
        let token = oauth::access_token("token exchange", &self.token_url, &form).await?;
        let Some(url) = &self.impersonation_url else { return Ok(token) };
        let (base, path) = oauth::split_url(url);
        let service = Outside::new("service account impersonation", base, FAR)?;
        let answer = oauth::post_json(&service, path, Some(&token), &json!({"scope": [SCOPE]})).await?;
        oauth::text(&service, path, &answer, "accessToken")
    }

    async fn subject(&self) -> Result<SecretString, LoginError> {
        let bytes = match &self.source {
            Source::File(path) => atomic_file::read_small(path).map_err(|error| {
                unusable(&self.place, &format!("credential file {}: {}", path.display(), error.reason()))
            })?,
            Source::Url { url, headers } => {
                let headers: Vec<_> = headers.iter().map(|(n, v)| (n.clone(), v.as_str())).collect();
                let host = url.find("://").map_or(0, |at| at + 3);
                let at = url[host..].find('/').map_or(url.len(), |slash| host + slash);
                let (base, target) = url.split_at(at);
                let service = Outside::new("credential source", base, NEAR)?;
                let Answer { body } =
                    service.get(if target.is_empty() { "/" } else { target }, &headers).await?;
                body.to_vec()
            }
        };
        let text = match &self.field {
            None => String::from_utf8(bytes).ok(),
            Some(field) => serde_json::from_slice::<Value>(&bytes)
                .ok()
                .and_then(|json| json.get(field)?.as_str().map(str::to_owned)),
        };
        match text.as_deref().map(str::trim) {
            Some(token) if !token.is_empty() => Ok(token.into()),
            _ => Err(unusable(&self.place, "its credential source holds no token")),
        }
    }
}

fn headers(source: &Value) -> Vec<(HeaderName, String)> {
    let Some(map) = source.get("headers").and_then(Value::as_object) else { return Vec::new() };
    let header = |(name, value): (&String, &Value)| {
        let value = value.as_str().filter(|value| HeaderValue::from_str(value).is_ok())?;
        Some((name.parse().ok()?, value.to_owned()))
    };
    map.iter().filter_map(header).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::loopback::{Do, Loopback};
    use super::*;

    #[tokio::test]
    async fn a_credential_source_is_asked_with_its_headers() {
        let provider = Loopback::start(|asked| match asked.line.as_str() {
            "GET /id?v=1" if asked.header("x-who") == Some("me") => Do::Answer(200, "subject\n".to_owned()),
            "POST /token" if asked.body.contains("&subject_token=subject&") => {
                Do::Answer(200, json!({"access_token": "at"}).to_string())
            }
            _ => Do::Answer(403, String::new()),
        })
        .await;
        let json = json!({
            "audience": "//iam", "subject_token_type": "jwt",
            "token_url": format!("{}/token", provider.address),
            "credential_source": {
                "url": format!("{}/id?v=1", provider.address),
                // What cannot be a header is left out.
                "headers": {"X-Who": "me", "x who": "me", "x-lines": "a\nb", "x-number": 1},
            },
        });
        let external = External::new(&json, "here").map_err(|error| error.to_string()).ok().unwrap();
        assert_eq!(external.access_token().await.unwrap().expose(), "at");
    }
}
