//! The shared credentials file, `~/.aws/credentials`.

use std::path::{Path, PathBuf};

use config::Environment;
use vault::SecretString;

use super::keys::Keys;
use crate::method::credential::warn_if_world_readable;
use crate::method::instance::is_word;

/// Where the file is; none when there is no home either.
pub(super) fn path(environment: &Environment) -> Option<PathBuf> {
    let filled = |name: &str| environment.exact(name).filter(|value| !value.is_empty());
    match filled("AWS_SHARED_CREDENTIALS_FILE") {
        Some(path) => Some(PathBuf::from(path)),
        None => filled("HOME").map(|home| Path::new(home).join(".aws/credentials")),
    }
}

/// The keys of the profile, `AWS_PROFILE` or `default`.
pub(super) fn keys(environment: &Environment) -> Result<Keys, String> {
    let path = path(environment).ok_or("there is no HOME")?;
    let profile = environment.exact("AWS_PROFILE").filter(|name| !name.is_empty()).unwrap_or("default");
    let place = path.display();
    let bytes = atomic_file::read_small(&path).map_err(|error| format!("{place}: {}", error.reason()))?;
    let text = SecretString::from(String::from_utf8(bytes).map_err(|_| format!("{place}: it is not text"))?);
    warn_if_world_readable("AWS shared credentials", &path);
    in_profile(text.expose(), profile).map_err(|reason| format!("{place}: {reason}"))
}

/// Sections in brackets, `key = value`, remarks after `#` and `;`: nothing else counts.
fn in_profile(text: &str, profile: &str) -> Result<Keys, String> {
    let mut inside = false;
    let mut found = false;
    let (mut id, mut secret, mut token) = (None, None, None);
    for line in text.trim_start_matches('\u{feff}').lines().map(str::trim) {
        if line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            let name = name.split(']').next().unwrap_or_default().trim();
            inside = name == profile;
            found |= inside;
            continue;
        }
        let (true, Some((key, value))) = (inside, line.split_once('=')) else { continue };
        let slot = match key.trim().to_ascii_lowercase().as_str() {
            "aws_access_key_id" => &mut id,
            "aws_secret_access_key" => &mut secret,
            "aws_session_token" => &mut token,
            _ => continue,
        };
        *slot = Some(value.trim());
    }
    if !found {
        return Err(format!("it has no profile {profile:?}"));
    }
    let usable = |value: Option<&str>| value.filter(|value| is_word(value)).map(str::to_owned);
    let missing = |key: &str| format!("its profile {profile:?} has no usable {key}");
    Ok(Keys::lasting(
        usable(id).ok_or_else(|| missing("aws_access_key_id"))?,
        usable(secret).ok_or_else(|| missing("aws_secret_access_key"))?.into(),
        usable(token).map(SecretString::from),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# mine\n[default]\naws_access_key_id=AKIADEFAULT\naws_secret_access_key = de/fault+\n\n\
                        [ temporary ]\r\nAWS_ACCESS_KEY_ID = ASIATEMP\r\naws_secret_access_key = temp=\r\n\
                        aws_session_token = tok==\r\nregion = eu-west-1\r\n[broken]\naws_access_key_id = AKIA\n\
                        aws_secret_access_key =\n";

    #[test]
    fn reads_one_profile_and_no_other() {
        let default = in_profile(FILE, "default").unwrap();
        assert_eq!(default, Keys::lasting("AKIADEFAULT", "de/fault+".into(), None));
        let temporary = in_profile(FILE, "temporary").unwrap();
        assert_eq!(temporary, Keys::lasting("ASIATEMP", "temp=".into(), Some("tok==".into())));
    }

    #[test]
    fn says_what_is_missing() {
        assert_eq!(in_profile(FILE, "other").unwrap_err(), "it has no profile \"other\"");
        let broken = in_profile(FILE, "broken").unwrap_err();
        assert_eq!(broken, "its profile \"broken\" has no usable aws_secret_access_key");
        assert!(in_profile("", "default").is_err());
        assert!(in_profile("[default\n=\n[]", "default").is_err());
    }
}
