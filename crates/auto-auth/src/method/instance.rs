//! The metadata service of a cloud instance, as Amazon and Alibaba have it: first a session token by `PUT`, then
//! questions by `GET`, among them the temporary keys of the instance's role.
//!
//! Old services know no session token, and inside a container its answer may never arrive, when the network allows it
//! one hop only. So a token that cannot be had is no failure yet: the question is put without one, and if that fails
//! too, the error tells both reasons.

use bytes::Bytes;
use http::Method;
use http::header::HeaderName;
use jiff::Timestamp;
use serde_json::Value;
use vault::SecretString;

use super::LoginError;
use super::outside::{Answer, NEAR, Outside};

/// How a cloud names things.
#[derive(Clone, Debug)]
pub(super) struct Dialect {
    /// For messages.
    pub(super) what: &'static str,
    /// Asks for a token that lives so long.
    pub(super) ttl: HeaderName,
    /// Carries the token.
    pub(super) token: HeaderName,
    /// The list of roles, with a slash at its end.
    pub(super) roles: &'static str,
    /// The fields of a role's keys: id, secret, session token.
    pub(super) fields: Fields,
}

/// The fields of temporary keys in JSON: id, secret, session token.
pub(super) type Fields = [&'static str; 3];

/// Where the session token is, at both clouds.
const TOKEN: &str = "/latest/api/token";

/// How long the session token lives: six hours, the longest possible. It is used within seconds.
const TOKEN_SECONDS: &str = "21600";

/// Role names are short words; anything else is an error page.
const MAX_ROLE: usize = 128;

/// Questions without a session token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tokenless {
    Allowed,
    Forbidden,
}

/// A metadata service and the session token it gave.
pub(super) struct Instance {
    outside: Outside,
    dialect: Dialect,
    token: Result<SecretString, String>,
}

/// Keys that expire.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct TemporaryKeys {
    pub(super) id: String,
    pub(super) secret: SecretString,
    pub(super) token: Option<SecretString>,
    pub(super) expires: Option<Timestamp>,
}

impl Instance {
    /// Asks for a session token.
    ///
    /// # Errors
    /// The address is none, or there is no token and it cannot be done without.
    pub(super) async fn open(base: &str, dialect: Dialect, tokenless: Tokenless) -> Result<Self, LoginError> {
        let outside = Outside::new(dialect.what, base, NEAR)?;
        let wish = [(dialect.ttl.clone(), TOKEN_SECONDS)];
        let token = match outside.send(Method::PUT, TOKEN, &wish, Bytes::new()).await {
            Ok(answer) => match answer.text().map(str::trim) {
                Some(token) if is_word(token) => Ok(SecretString::from(token)),
                _ => Err(outside.refused(TOKEN, "what it answered is no session token")),
            },
            Err(error) => Err(error),
        };
        match (token, tokenless) {
            (Err(error), Tokenless::Forbidden) => Err(error),
            (token, _) => Ok(Self { outside, dialect, token: token.map_err(|error| error.to_string()) }),
        }
    }

    /// `GET`.
    ///
    /// # Errors
    /// No answer of use.
    pub(super) async fn get(&self, path: &str) -> Result<Answer, LoginError> {
        let headers: Vec<(HeaderName, &str)> = match &self.token {
            Ok(token) => vec![(self.dialect.token.clone(), token.expose())],
            Err(_) => Vec::new(),
        };
        self.outside.get(path, &headers).await.map_err(|error| match (error, &self.token) {
            (LoginError::Outside { what, url, reason }, Err(no_token)) => {
                let reason = format!(
                    "{reason}; and there is no session token: {no_token} (in a container, the instance's hop limit for \
                     metadata must be 2)"
                );
                LoginError::Outside { what, url, reason }
            }
            (error, _) => error,
        })
    }

    /// The temporary keys of the instance's role; `role` saves the question for its name.
    ///
    /// # Errors
    /// The instance has no role, or no answer is of use.
    pub(super) async fn role_keys(&self, role: Option<&str>) -> Result<TemporaryKeys, LoginError> {
        let roles = self.dialect.roles;
        let role = match role {
            Some(role) => role.to_owned(),
            None => {
                let answer = self.get(roles).await.map_err(|error| match error {
                    LoginError::Outside { what, url, reason } if reason.starts_with("it answered 404") => {
                        LoginError::Outside {
                            what,
                            url,
                            reason: format!("{reason}: the instance has no role"),
                        }
                    }
                    error => error,
                })?;
                let text = answer.text().unwrap_or_default();
                text.lines().next().unwrap_or_default().trim().to_owned()
            }
        };
        if role.is_empty() {
            return Err(self.outside.refused(roles, "the instance has no role"));
        }
        if !is_role(&role) {
            return Err(self.outside.refused(roles, "what it answered is no role name"));
        }
        let path = format!("{roles}{role}");
        let answer = self.get(&path).await?;
        temporary_keys(&answer, self.dialect.fields).map_err(|reason| self.outside.refused(&path, reason))
    }

    /// An error about what was asked here.
    pub(super) fn refused(&self, path: &str, reason: &str) -> LoginError {
        self.outside.refused(path, reason)
    }
}

/// Temporary keys in JSON, as metadata services of instances and containers give them.
///
/// # Errors
/// What is wrong with it, without quoting it.
pub(super) fn temporary_keys(answer: &Answer, fields: Fields) -> Result<TemporaryKeys, String> {
    temporary_keys_in(&answer.json().ok_or("what it answered is no JSON")?, fields)
}

/// The same in a part of an answer.
///
/// # Errors
/// What is wrong with it, without quoting it.
pub(super) fn temporary_keys_in(json: &Value, fields: Fields) -> Result<TemporaryKeys, String> {
    let text = |name: &str| json.get(name).and_then(Value::as_str).unwrap_or_default();
    // The service's own word that there are none; a word, so that no secret is quoted.
    if let Some(code) = json.get("Code").and_then(Value::as_str).filter(|code| *code != "Success") {
        let code = if is_role(code) { code } else { "unreadable" };
        return Err(format!("it has no keys, its code is {code}"));
    }
    let [id, secret, token] = fields;
    for name in [id, secret] {
        if !is_word(text(name)) {
            return Err(format!("the keys it gave have no usable {name}"));
        }
    }
    let session = Some(text(token)).filter(|text| !text.is_empty());
    if session.is_some_and(|text| !is_word(text)) {
        return Err(format!("the keys it gave have no usable {token}"));
    }
    let expires = match text("Expiration") {
        "" => None,
        time => Some(time.parse().map_err(|_| "the Expiration of the keys it gave is no time")?),
    };
    Ok(TemporaryKeys {
        id: text(id).to_owned(),
        secret: text(secret).into(),
        token: session.map(SecretString::from),
        expires,
    })
}

/// Something that fits into a header or a signature: printable, without white space.
pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A role's name, of the characters that both clouds allow.
fn is_role(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@-_".contains(&byte);
    !text.is_empty() && text.len() <= MAX_ROLE && text != ".." && text != "." && text.bytes().all(fits)
}
