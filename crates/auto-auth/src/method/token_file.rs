//! `token_file`: a token somebody else put into a file. "Login" is looking it up.

use vault::api::Caller;
use vault::{Accessor, Token, Ttl, Upstream};

use super::credential::Credential;
use super::{Login, LoginError};
use crate::lifecycle::Grant;

/// What it read so far, and where from.
#[derive(Debug)]
pub struct TokenFile {
    keys: config::TokenFile,
    token: Credential,
}

impl TokenFile {
    pub(super) fn new(keys: config::TokenFile) -> Self {
        Self { keys, token: Credential::new("token") }
    }

    pub(super) async fn login(
        &mut self,
        upstream: &dyn Upstream,
        caller: &Caller,
    ) -> Result<Login, LoginError> {
        if let Some(token) = self.token.read(&self.keys.path)? {
            self.token.remember(token);
        }
        let content = self.token.last().cloned().unwrap_or_default();
        let token = Token::new(content).map_err(LoginError::NoToken)?;
        let data = caller.lookup_self(upstream, &token).await?.data.unwrap_or_default();
        let number = |key: &str| data.get(key).and_then(serde_json::Value::as_i64);
        let seconds = number("ttl").and_then(|ttl| u64::try_from(ttl).ok());
        let seconds = seconds.ok_or(LoginError::NoToken("its TTL is no number"))?;
        // In a token's last second the server says 0 as well; only a token without an end is for ever.
        let ttl = match (seconds, data.get("expire_time")) {
            (0, Some(time)) if !time.is_null() => Ttl::from_seconds(1),
            (seconds, _) => Ttl::from_seconds(seconds),
        };
        let accessor = data.get("accessor").and_then(serde_json::Value::as_str).unwrap_or_default();
        Ok(Login {
            token,
            accessor: Accessor::new(accessor),
            grant: Grant {
                ttl,
                renewable: data.get("renewable").and_then(serde_json::Value::as_bool).unwrap_or_default(),
                num_uses: number("num_uses").unwrap_or_default(),
                fresh: false,
            },
        })
    }
}
