//! Token helpers: programs that keep the token of a person, instead of the file `~/.vault-token`.
//!
//! `~/.vault` and `~/.bao` name one (`token_helper = "/path"`); called with `get`, it prints the token.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use config::Environment;
use hcl1::{Kind, Source};
use rustix::process::{Pid, Signal, kill_process};
use vault::SecretString;

/// A helper may have to ask somebody for a password, but not for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest token that a helper may print, in bytes.
const LONGEST: u64 = 64 * 1024;

/// The helper that the person has set up: in the file of `BAO_CONFIG_PATH` or `VAULT_CONFIG_PATH`, or else in `~/.bao`
/// or `~/.vault`, the first that is there.
///
/// # Errors
/// The file cannot be read, or there is something else in it.
pub(super) fn configured(environment: &Environment) -> Result<Option<PathBuf>, String> {
    let home = Path::new(environment.exact("HOME").unwrap_or_default());
    let named = ["BAO_CONFIG_PATH", "VAULT_CONFIG_PATH"].iter().find_map(|name| environment.exact(name));
    let places = match named.filter(|path| !path.is_empty()) {
        Some(path) => {
            vec![path.strip_prefix("~/").map_or_else(|| PathBuf::from(path), |path| home.join(path))]
        }
        None => vec![home.join(".bao"), home.join(".vault")],
    };
    for path in places {
        match atomic_file::read_small(&path) {
            Ok(text) => return named_in(&path, text),
            Err(error) if error.is_missing() || path.is_dir() => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(None)
}

fn named_in(path: &Path, text: Vec<u8>) -> Result<Option<PathBuf>, String> {
    let shown = path.display();
    let wrong = |why: &str| {
        format!(
            "{shown} should say token_helper = \"/path\" and nothing else: {why} (Ansible Vault uses that name, too); mend it, or set VAULT_TOKEN"
        )
    };
    let tree = hcl1::parse(&Source::new(shown.to_string(), text))
        .map_err(|all| wrong(all.first().map_or("it cannot be read", |first| first.message.as_str())))?;
    let mut helper = None;
    for item in &tree.items {
        match (item.key().text.as_str(), &item.value.kind) {
            ("token_helper", Kind::String(text)) => helper = text.as_str().filter(|text| !text.is_empty()),
            ("token_helper", other) => return Err(wrong(&format!("token_helper is a {}", other.name()))),
            (other, _) => return Err(wrong(&format!("invalid key {other:?}"))),
        }
    }
    // Never looked for in the folders of PATH: somebody could put another one there.
    helper.map(|helper| std::path::absolute(helper).map_err(|error| wrong(&error.to_string()))).transpose()
}

/// Asks the helper for the token. What it says on standard error is seen by the person.
///
/// # Errors
/// It cannot be run, fails, takes too long, or has none.
pub(super) fn ask(helper: &Path) -> Result<SecretString, String> {
    let failed = |why: &str| format!("the token helper {} {why}", helper.display());
    let mut command = Command::new(helper);
    command.arg("get").stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| failed(&format!("cannot be started: {error}")))?;
    let id = child.id();
    let (sender, done) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = zeroize::Zeroizing::new(Vec::new());
        if let Some(output) = child.stdout.take() {
            // What was read until an error is judged by what follows.
            let _ = output.take(LONGEST).read_to_end(&mut text);
        }
        let _ = sender.send(child.wait().map(|status| (text, status)));
    });
    let Ok(done) = done.recv_timeout(PATIENCE) else {
        let process = i32::try_from(id).ok().and_then(Pid::from_raw);
        let _ = process.map(|process| kill_process(process, Signal::KILL));
        return Err(failed(&format!("has not ended within {} s", PATIENCE.as_secs())));
    };
    let (printed, status) = done.map_err(|error| failed(&error.to_string()))?;
    if !status.success() {
        return Err(failed(&format!("failed: {status}")));
    }
    let token = std::str::from_utf8(&printed)
        .map(str::trim)
        .map_err(|_| failed("printed something that is no text"))?;
    if token.is_empty() {
        return Err(failed("has no token; log in with `bao login` or `vault login`"));
    }
    Ok(SecretString::new(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(path: &Path, text: &str, mode: u32) {
        atomic_file::write(path, text.as_bytes(), &atomic_file::Attributes::new(mode)).unwrap();
    }

    #[test]
    fn it_is_named_where_upstream_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_str().unwrap().to_owned();
        let found = |more: &[(&str, &str)]| {
            let home = [("HOME", home.as_str())];
            configured(&Environment::new(home.iter().chain(more).copied()))
        };
        assert_eq!(found(&[]), Ok(None));
        put(&folder.path().join(".vault"), "token_helper = \"/v\"", 0o600);
        assert_eq!(found(&[]), Ok(Some("/v".into())));
        put(&folder.path().join(".bao"), "{\"token_helper\": \"/b\"}", 0o600);
        assert_eq!(found(&[]), Ok(Some("/b".into())));
        assert_eq!(found(&[("VAULT_CONFIG_PATH", "~/.vault")]), Ok(Some("/v".into())));
        assert_eq!(found(&[("BAO_CONFIG_PATH", "/none")]), Ok(None));
        for (text, why) in
            [("x = 1", "invalid key \"x\""), ("token_helper = 1", "is a number"), ("hunter2", "Ansible")]
        {
            put(&folder.path().join(".bao"), text, 0o600);
            let error = found(&[]).unwrap_err();
            assert!(error.contains(why) && error.contains(".bao"), "{error}");
        }
        put(&folder.path().join(".bao"), "token_helper = \"\"", 0o600);
        assert_eq!(found(&[]), Ok(None), "the internal one");
    }

    #[test]
    fn it_prints_the_token_or_there_is_one_error() {
        let folder = tempfile::tempdir().unwrap();
        let helper = folder.path().join("helper");
        let asked = |script: &str| {
            put(&helper, script, 0o700);
            ask(&helper).map(|token| token.expose().to_owned())
        };
        assert_eq!(asked("#!/bin/sh\necho \" s.$1 \""), Ok("s.get".to_owned()));
        for (script, why) in [
            ("#!/bin/sh\necho s.hidden; exit 3", "failed: exit status: 3"),
            ("#!/bin/sh\n", "has no token"),
            ("#!/nowhere/sh\n", "cannot be started"),
        ] {
            let error = asked(script).unwrap_err();
            assert!(error.contains(why) && !error.contains("hidden"), "{error}");
        }
        assert!(ask(Path::new("/none/helper")).unwrap_err().contains("/none/helper cannot be started"));
    }
}
