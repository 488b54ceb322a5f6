//! The token of the person who runs a command: from the environment, or where `vault login` and `bao login` left it,
//! which is a file unless they are told of a program that keeps it.

use std::path::PathBuf;

use config::Environment;
use vault::{SecretString, Token};

use super::token_helper;

/// `BAO_<name>`, or else `VAULT_<name>`; `None` when it is empty. An empty `BAO_<name>` counts as set.
pub(super) fn variable<'a>(environment: &'a Environment, name: &str) -> Option<&'a str> {
    let exact = |prefix: &str| environment.exact(&format!("{prefix}{name}"));
    exact("BAO_").or_else(|| exact("VAULT_")).filter(|value| !value.is_empty())
}

/// The token in the environment. `vault:login` is no token, but a wish of bank-vaults: to be given one.
pub(super) fn in_environment() -> Option<SecretString> {
    let exact = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().trim().to_owned());
    let value = exact("BAO_TOKEN").or_else(|| exact("VAULT_TOKEN"))?;
    Some(SecretString::new(value)).filter(|value| !value.is_empty() && value.expose() != LOGIN)
}

/// What bank-vaults writes for "log in, and hand the token on".
pub(super) const LOGIN: &str = "vault:login";

/// Where logins of a person leave their token: `BAO_TOKEN_PATH`, else `~/.vault-token`. Relative without a home.
pub(super) fn file(environment: &Environment) -> PathBuf {
    match variable(environment, "TOKEN_PATH") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(environment.exact("HOME").unwrap_or_default()).join(".vault-token"),
    }
}

/// The one of the environment, or else of the token helper, or else of the file.
///
/// # Errors
/// There is none, or it is no token; what to do about it.
pub(super) fn find(environment: &Environment) -> Result<Token, String> {
    let unusable = |whence: &str, why: &str| format!("the token {whence} cannot be used: {why}");
    if let Some(token) = in_environment() {
        return Token::new(token).map_err(|why| unusable("of the environment", why));
    }
    if let Some(helper) = token_helper::configured(environment)? {
        let token = token_helper::ask(&helper)?;
        return Token::new(token).map_err(|why| unusable(&format!("of {}", helper.display()), why));
    }
    let path = file(environment);
    let text = match atomic_file::read_small(&path) {
        Ok(text) => String::from_utf8_lossy(&text).trim().to_owned(),
        Err(error) if error.is_missing() => {
            let path = path.display();
            return Err(format!(
                "there is no token: set VAULT_TOKEN, or log in with `bao login` or `vault login`, which write {path}"
            ));
        }
        Err(error) => return Err(error.to_string()),
    };
    Token::new(text).map_err(|why| unusable(&format!("in {}", path.display()), why))
}
