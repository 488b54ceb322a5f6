//! How to log in, from flags and environment: a token, a role id and a secret id, or an account of Kubernetes.

use std::path::{Path, PathBuf};

use config::Environment;
use serde_json::{Value, json};
use vault::SecretString;

use super::super::own_token::{self, variable};
use super::super::token_helper;
use super::memory_file::MemoryFile;

/// Flags of `run` that say how to log in.
#[derive(clap::Args, Debug, Default)]
pub(super) struct LoginArgs {
    /// token, approle, kubernetes or jwt; by itself, the first of these that has what it needs
    #[arg(long, value_name = "METHOD")]
    auth: Option<String>,
    /// Path the method is mounted at, when it is not the method's name
    #[arg(long, value_name = "PATH")]
    auth_mount: Option<String>,
    /// Role to log in to, for kubernetes and jwt; else VAULT_ROLE
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
}

/// How to log in, and the files that must be there meanwhile.
#[derive(Debug)]
pub(super) struct Login {
    /// `auto_auth`.
    pub(super) stanza: Value,
    /// For people.
    pub(super) told: String,
    _files: Vec<MemoryFile>,
}

/// Where Kubernetes puts the token of the account.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

const WAYS: &str = "there is nothing to log in with; give one of these:\n  \
    VAULT_TOKEN, or the file ~/.vault-token that `bao login` and `vault login` write (or their token helper)\n  \
    VAULT_ROLE_ID and VAULT_SECRET_ID (or VAULT_ROLE_ID_FILE and VAULT_SECRET_ID_FILE)\n  \
    --role or VAULT_ROLE, in a pod of Kubernetes";

/// Secrets, files and programs that a login can be made of.
struct Sources<'a> {
    environment: &'a Environment,
    token: Option<SecretString>,
    is_file: &'a dyn Fn(&Path) -> bool,
    /// The program that keeps the person's token.
    helper: &'a dyn Fn() -> Result<Option<PathBuf>, String>,
    ask: &'a dyn Fn(&Path) -> Result<SecretString, String>,
}

/// Chooses.
///
/// # Errors
/// Nothing is there to log in with, or not enough; which.
pub(super) fn choose(arguments: &LoginArgs, environment: &Environment) -> Result<Login, String> {
    let token = own_token::in_environment();
    let sources = Sources {
        environment,
        token,
        is_file: &|path| path.is_file(),
        helper: &|| token_helper::configured(environment),
        ask: &token_helper::ask,
    };
    choose_from(arguments, &sources)
}

fn choose_from(arguments: &LoginArgs, sources: &Sources<'_>) -> Result<Login, String> {
    let get = |name: &str| variable(sources.environment, name);
    let asked = arguments.auth.as_deref().or_else(|| get("AUTH_METHOD"));
    let role = arguments.role.as_deref().or_else(|| get("ROLE"));
    // As bank-vaults calls it.
    let projected =
        sources.environment.exact("KUBERNETES_SERVICE_ACCOUNT_TOKEN").filter(|path| !path.is_empty());
    let account = projected.or_else(|| get("JWT_FILE")).unwrap_or(ACCOUNT);
    let token_file = own_token::file(sources.environment);
    let has_role_id = get("ROLE_ID").or_else(|| get("ROLE_ID_FILE")).is_some();
    let method = match asked {
        Some(method) => method,
        None if sources.token.is_some() || get("TOKEN_FILE").is_some() => "token",
        None if has_role_id => "approle",
        None if role.is_some() && (sources.is_file)(Path::new(account)) => "kubernetes",
        None if (sources.is_file)(&token_file) || (sources.helper)()?.is_some() => "token",
        None => return Err(WAYS.to_owned()),
    };
    let mut files = Vec::new();
    // The path of a file, or of a secret that becomes one.
    let mut path = |name: &str| -> Result<Option<String>, String> {
        if let Some(secret) = get(name) {
            let file = MemoryFile::new(name, &SecretString::new(secret))
                .map_err(|error| format!("the system gives no memory for {name}: {error}"))?;
            let path = file.path().display().to_string();
            files.push(file);
            return Ok(Some(path));
        }
        Ok(get(&format!("{name}_FILE")).map(str::to_owned))
    };
    let needs_role = || role.ok_or_else(|| format!("the method {method} needs a role: --role or VAULT_ROLE"));
    let (kind, config, told) = match method {
        "token" => {
            let mut in_memory = |token: &SecretString| -> Result<PathBuf, String> {
                let file = MemoryFile::new("TOKEN", token)
                    .map_err(|error| format!("the system gives no memory for a token: {error}"))?;
                let path = file.path();
                files.push(file);
                Ok(path)
            };
            let (path, told) = if let Some(token) = &sources.token {
                (in_memory(token)?, "the token in the environment".to_owned())
            } else if let Some(file) = get("TOKEN_FILE") {
                (PathBuf::from(file), format!("the token in {file}"))
            } else if let Some(helper) = (sources.helper)()? {
                let token = (sources.ask)(&helper)?;
                (in_memory(&token)?, format!("the token of the helper {}", helper.display()))
            } else if (sources.is_file)(&token_file) {
                let told = format!("the token in {}", token_file.display());
                (token_file, told)
            } else {
                return Err(WAYS.to_owned());
            };
            ("token_file", json!({"token_file_path": path}), told)
        }
        "approle" => {
            let role_id =
                path("ROLE_ID")?.ok_or("the method approle needs VAULT_ROLE_ID or VAULT_ROLE_ID_FILE")?;
            let mut config =
                json!({"role_id_file_path": role_id, "remove_secret_id_file_after_reading": false});
            if let (Some(secret_id), Some(config)) = (path("SECRET_ID")?, config.as_object_mut()) {
                config.insert("secret_id_file_path".to_owned(), secret_id.into());
            }
            ("approle", config, "approle".to_owned())
        }
        "kubernetes" => {
            let role = needs_role()?;
            ("kubernetes", json!({"role": role, "token_path": account}), format!("kubernetes, role {role:?}"))
        }
        "jwt" => {
            let role = needs_role()?;
            let config = json!({"role": role, "path": account, "remove_jwt_after_reading": false});
            ("jwt", config, format!("jwt, role {role:?}"))
        }
        other => {
            return Err(format!(
                "--auth knows token, approle, kubernetes and jwt, not {other:?}; for others write a configuration and use `sidekey agent`"
            ));
        }
    };
    let mut login = json!({"type": kind, "config": config});
    let mount = arguments.auth_mount.as_deref().or_else(|| get("PATH"));
    if let (Some(mount), Some(login)) = (mount.filter(|_| kind != "token_file"), login.as_object_mut()) {
        let mount = mount.trim_matches('/');
        let mount = if mount.starts_with("auth/") { mount.to_owned() } else { format!("auth/{mount}") };
        login.insert("mount_path".to_owned(), mount.into());
    }
    Ok(Login { stanza: json!({"method": [login]}), told, _files: files })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(
        variables: &[(&str, &str)],
        token: Option<&str>,
        there: &[&str],
        flags: &LoginArgs,
    ) -> Result<Login, String> {
        let environment = Environment::new(variables.iter().copied());
        let helper = || Ok(environment.exact("HELPER").map(PathBuf::from));
        choose_from(
            flags,
            &Sources {
                environment: &environment,
                token: token.map(SecretString::new),
                is_file: &|path| there.iter().any(|known| path == Path::new(known)),
                helper: &helper,
                ask: &|_| Ok(SecretString::new("hidden-token")),
            },
        )
    }

    #[test]
    fn the_first_that_has_what_it_needs() {
        let (home, role, id) = (("HOME", "/h"), ("VAULT_ROLE", "r"), ("BAO_ROLE_ID", "i"));
        let file = "/h/.vault-token";
        for (variables, token, there, want) in [
            (&[home, role, id][..], Some("t"), &[ACCOUNT, file][..], "the token in the environment"),
            (&[home, role, id], None, &[ACCOUNT, file], "approle"),
            (&[home, role], None, &[ACCOUNT, file], "kubernetes, role \"r\""),
            (&[home, role], None, &[file], "the token in /h/.vault-token"),
            (&[home, ("BAO_TOKEN_PATH", "/x")], None, &["/x", file], "the token in /x"),
            (&[home, ("HELPER", "/p")], None, &[file], "the token of the helper /p"),
            (&[home, ("HELPER", "/p")], None, &[], "the token of the helper /p"),
            (&[home, role, ("HELPER", "/p")], None, &[ACCOUNT], "kubernetes, role \"r\""),
            (&[home, role, id, ("VAULT_TOKEN_FILE", "/f")], None, &[ACCOUNT], "the token in /f"),
            (
                &[home, role, ("KUBERNETES_SERVICE_ACCOUNT_TOKEN", "/k")],
                None,
                &["/k"],
                "kubernetes, role \"r\"",
            ),
        ] {
            assert_eq!(chosen(variables, token, there, &LoginArgs::default()).unwrap().told, want);
        }
        let error = chosen(&[home, role], None, &[], &LoginArgs::default()).unwrap_err();
        assert!(error.contains("VAULT_TOKEN") && error.contains("VAULT_ROLE_ID"), "{error}");
    }

    #[test]
    fn a_method_can_be_asked_for() {
        let flags = LoginArgs {
            auth: Some("jwt".into()),
            auth_mount: Some("/ci/".into()),
            role: Some("build".into()),
        };
        let login = chosen(&[("VAULT_JWT_FILE", "/j")], Some("t"), &[], &flags).unwrap();
        assert_eq!(
            login.stanza,
            json!({"method": [{"type": "jwt", "mount_path": "auth/ci",
                "config": {"role": "build", "path": "/j", "remove_jwt_after_reading": false}}]})
        );
        let flags = LoginArgs { auth: Some("kubernetes".into()), ..LoginArgs::default() };
        assert!(chosen(&[], None, &[], &flags).unwrap_err().contains("--role"));
        let flags = LoginArgs { auth: Some("ldap".into()), ..LoginArgs::default() };
        assert!(chosen(&[], None, &[], &flags).unwrap_err().contains("\"ldap\""));
    }

    #[test]
    fn no_secret_stands_in_the_stanza() {
        let variables = [("VAULT_ROLE_ID", "hidden-role"), ("VAULT_SECRET_ID", "hidden-secret")];
        let login = chosen(&variables, None, &[], &LoginArgs::default()).unwrap();
        let helper = chosen(&[("HELPER", "/p")], None, &[], &LoginArgs::default()).unwrap();
        for login in [login, helper] {
            let text = format!("{login:?}");
            assert!(!text.contains("hidden") && text.contains("/proc/self/fd/"), "{text}");
        }
    }
}
