//! A login that is ready to be sent, and what came of it: the same for all methods.

use std::time::Duration;

use http::header::HeaderName;
use serde_json::Value;
use vault::api::Caller;
use vault::{Accessor, Mount, Secret, SecretString, Token, Ttl, Upstream};

use super::LoginError;
use crate::lifecycle::Grant;

/// How to ask the server for a token.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// `PUT` of credentials.
    Login(Credentials),
    /// The credential is a token already; it is looked up.
    Lookup(Token),
}

/// What a login sends.
pub(crate) struct Credentials {
    /// From behind `/v1/`: `auth/approle/login`.
    pub(crate) path: String,
    /// The body.
    pub(crate) body: Value,
    /// Beside the usual ones.
    pub(crate) headers: Vec<(HeaderName, String)>,
}

/// Neither body nor header values: they are the credentials.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A successful login.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) given: Given,
    pub(crate) grant: Grant,
}

/// What a login gave.
#[derive(Debug)]
pub(crate) enum Given {
    Token(Token, Option<Accessor>),
    /// The answer as a whole, wrapped by the server. Nobody can tell how long the token inside lives.
    Wrapped(SecretString),
}

impl Attempt {
    /// To the mount's usual place, without headers of its own.
    pub(crate) fn login(mount: &Mount, body: Value) -> Self {
        Self::login_at(format!("{mount}/login"), body)
    }

    /// To another path.
    pub(crate) fn login_at(path: String, body: Value) -> Self {
        Self::Login(Credentials { path, body, headers: Vec::new() })
    }

    /// Asks the server; with `wrap_ttl`, for a wrapped answer.
    ///
    /// # Errors
    /// It refused, could not be asked, or its answer holds no token.
    pub(crate) async fn carry_out(
        self,
        server: &dyn Upstream,
        caller: &Caller,
        wrap_ttl: Option<Duration>,
    ) -> Result<Login, LoginError> {
        match self {
            Self::Login(Credentials { path, body, headers }) => {
                let answer = caller.login(server, &path, &body, &headers, wrap_ttl).await?;
                let found = if wrap_ttl.is_some() { from_wrapping(answer) } else { from_auth(answer) };
                found.map_err(|reason| unusable("token", caller, &path, reason))
            }
            Self::Lookup(token) => {
                let answer = caller.lookup_self(server, &token).await?;
                from_lookup(token, answer)
                    .map_err(|reason| unusable("token", caller, "auth/token/lookup-self", reason))
            }
        }
    }
}

/// An answer of the server that holds nothing of use. `path` is what is behind `/v1/`.
pub(super) fn unusable(what: &'static str, caller: &Caller, path: &str, reason: &'static str) -> LoginError {
    LoginError::Answer { what, url: format!("{}/v1/{path}", caller.address), reason }
}

/// The token in a login's answer.
fn from_auth(secret: Secret) -> Result<Login, &'static str> {
    if secret.wrap_info.is_some() {
        return Err("it is wrapped, and nobody asked for that");
    }
    let auth = secret.auth.ok_or("it has no auth object")?;
    let token = Token::new(auth.client_token)?;
    let ttl = u64::try_from(auth.lease_duration).map_err(|_| "its TTL is negative")?;
    let ttl = Ttl::from_seconds(ttl);
    let grant = Grant { ttl, renewable: auth.renewable, num_uses: auth.num_uses, fresh: true };
    Ok(Login { given: Given::Token(token, Accessor::new(auth.accessor)), grant })
}

/// The wrapping around a login's answer. It is never renewed, so it counts as one that never ends.
fn from_wrapping(secret: Secret) -> Result<Login, &'static str> {
    let wrapping = secret.wrap_info.filter(|wrapping| !wrapping.token.is_empty());
    let wrapping = wrapping.ok_or("it is not wrapped, as was asked for")?;
    let grant = Grant { ttl: Ttl::Never, renewable: false, num_uses: 0, fresh: true };
    Ok(Login { given: Given::Wrapped(wrapping.to_line()), grant })
}

/// What the server knows of a token that somebody else made.
fn from_lookup(token: Token, answer: Secret) -> Result<Login, &'static str> {
    let data = answer.data.unwrap_or_default();
    let number = |key: &str| data.get(key).and_then(Value::as_i64);
    let seconds = number("ttl").and_then(|ttl| u64::try_from(ttl).ok());
    let seconds = seconds.ok_or("its TTL is no number")?;
    // In a token's last second the server says 0 as well; only a token without an end is for ever.
    let ttl = match (seconds, data.get("expire_time")) {
        (0, Some(time)) if !time.is_null() => Ttl::from_seconds(1),
        (seconds, _) => Ttl::from_seconds(seconds),
    };
    let accessor = data.get("accessor").and_then(Value::as_str).unwrap_or_default();
    let renewable = data.get("renewable").and_then(Value::as_bool).unwrap_or_default();
    let grant = Grant { ttl, renewable, num_uses: number("num_uses").unwrap_or_default(), fresh: false };
    Ok(Login { given: Given::Token(token, Accessor::new(accessor)), grant })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn looked_up(data: Value) -> Result<Grant, &'static str> {
        let answer = serde_json::from_value(json!({"data": data})).unwrap();
        from_lookup(Token::new("s.1").unwrap(), answer).map(|login| login.grant)
    }

    #[test]
    fn what_the_server_knows_of_a_token_is_taken_as_it_is() {
        let grant = |ttl, renewable, num_uses| Ok(Grant { ttl, renewable, num_uses, fresh: false });
        let end = "2026-01-01T00:00:00Z";
        for (data, want) in [
            (json!({"ttl": 0, "expire_time": null}), grant(Ttl::Never, false, 0)),
            (json!({"ttl": 0}), grant(Ttl::Never, false, 0)),
            // Its last second is not for ever.
            (json!({"ttl": 0, "expire_time": end}), grant(Ttl::from_seconds(1), false, 0)),
            (
                json!({"ttl": 60, "expire_time": end, "renewable": true, "num_uses": 3}),
                grant(Ttl::from_seconds(60), true, 3),
            ),
            (json!({"ttl": -1}), Err("its TTL is no number")),
            (json!({"ttl": "60"}), Err("its TTL is no number")),
            (json!({}), Err("its TTL is no number")),
        ] {
            assert_eq!(looked_up(data.clone()), want, "{data}");
        }
    }

    #[test]
    fn a_login_with_a_negative_ttl_is_refused() {
        let answer = |ttl: i64| {
            let auth = json!({"client_token": "s.1", "lease_duration": ttl, "renewable": true});
            from_auth(serde_json::from_value(json!({"auth": auth})).unwrap()).map(|login| login.grant.ttl)
        };
        assert_eq!(answer(60).unwrap(), Ttl::from_seconds(60));
        assert_eq!(answer(-1).unwrap_err(), "its TTL is negative");
    }
}
