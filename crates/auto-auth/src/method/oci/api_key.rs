//! A user's API key: from the environment, or from the configuration file of Oracle's tools.

use std::path::{Path, PathBuf};

use config::Environment;

use super::super::LoginError;
use super::super::credential::warn_if_world_readable;
use super::super::rsa::RsaKey;

/// Below the home folder, in this order.
const FILES: &[&str] = &[".oci/config", ".oraclebmc/config"];

/// Names the file instead of the first of them, which comes before it nevertheless, as upstream has it.
const FILE_VARIABLE: &str = "OCI_CONFIG_FILE";

/// Where to look.
pub(super) struct ApiKey {
    config_file: Option<PathBuf>,
    profile: String,
}

/// What one place says of a key.
#[derive(Debug, Default, Eq, PartialEq)]
struct Properties {
    place: String,
    tenancy: Option<String>,
    user: Option<String>,
    fingerprint: Option<String>,
    key_file: Option<String>,
}

impl Properties {
    fn key_id(&self) -> Option<String> {
        let (tenancy, user) = (self.tenancy.as_ref()?, self.user.as_ref()?);
        Some(format!("{tenancy}/{user}/{}", self.fingerprint.as_ref()?))
    }
}

impl ApiKey {
    pub(super) fn new(config_file: Option<PathBuf>, profile: String) -> Self {
        Self { config_file, profile }
    }

    /// `<tenancy>/<user>/<fingerprint>` of the first place that has all three.
    ///
    /// # Errors
    /// There is none, or a file cannot be used.
    pub(super) fn key_id(&self, environment: &Environment) -> Result<String, LoginError> {
        key_id(&self.places(environment)?)
    }

    /// The same with the key of the first place that names one.
    ///
    /// # Errors
    /// As [`Self::key_id`], or the key cannot be used.
    pub(super) fn read(&self, environment: &Environment) -> Result<(String, RsaKey), LoginError> {
        let places = self.places(environment)?;
        let key_id = key_id(&places)?;
        let named = places.iter().find_map(|place| place.key_file.as_deref());
        let Some(named) = named else { return Err(missing(&places, "the path of its private key")) };
        let path = match (named.strip_prefix("~/"), environment.exact("HOME")) {
            (Some(rest), Some(home)) => Path::new(home).join(rest),
            _ => PathBuf::from(named),
        };
        let unusable = |reason: String| LoginError::Credential {
            what: "API key",
            path: path.display().to_string(),
            reason,
        };
        let pem = atomic_file::read_small(&path).map_err(|error| unusable(error.reason()))?;
        warn_if_world_readable("API key", &path);
        let key = RsaKey::from_pem(&String::from_utf8_lossy(&pem)).map_err(|why| unusable(why.to_owned()))?;
        Ok((key_id, key))
    }

    /// The places that exist, in their order.
    fn places(&self, environment: &Environment) -> Result<Vec<Properties>, LoginError> {
        let variable = |name| environment.exact(name).filter(|text| !text.is_empty()).map(str::to_owned);
        let mut places = vec![Properties {
            place: "the variables OCI_tenancy_ocid, OCI_user_ocid, OCI_fingerprint, OCI_private_key_path"
                .into(),
            tenancy: variable("OCI_tenancy_ocid"),
            user: variable("OCI_user_ocid"),
            fingerprint: variable("OCI_fingerprint"),
            key_file: variable("OCI_private_key_path"),
        }];
        if let Some(path) = &self.config_file {
            places.extend(self.file(path)?);
            return Ok(places);
        }
        let home = variable("HOME").map(PathBuf::from);
        let mut files = FILES.iter().filter_map(|file| Some(home.as_ref()?.join(file)));
        let first = files.next().and_then(|path| self.file(&path).transpose());
        match (first, variable(FILE_VARIABLE)) {
            (Some(found), _) => places.push(found?),
            (None, Some(path)) => places.extend(self.file(Path::new(&path))?),
            (None, None) => {}
        }
        for path in files {
            places.extend(self.file(&path)?);
        }
        Ok(places)
    }

    /// `None` when there is no such file.
    fn file(&self, path: &Path) -> Result<Option<Properties>, LoginError> {
        let unusable = |reason: String| LoginError::Credential {
            what: "Oracle Cloud configuration",
            path: path.display().to_string(),
            reason,
        };
        match atomic_file::read_small(path) {
            Ok(bytes) => {
                let text = String::from_utf8(bytes).map_err(|_| unusable("it is not text".to_owned()))?;
                let found = parse(&text, &self.profile).map(|properties| Properties {
                    place: format!("profile {} of {}", self.profile, path.display()),
                    ..properties
                });
                found.map(Some).ok_or_else(|| unusable(format!("it has no profile {}", self.profile)))
            }
            Err(error) if error.is_missing() && self.config_file.is_none() => Ok(None),
            Err(error) => Err(unusable(error.reason())),
        }
    }
}

fn key_id(places: &[Properties]) -> Result<String, LoginError> {
    let found = places.iter().find_map(Properties::key_id);
    found.ok_or_else(|| missing(places, "tenancy, user and fingerprint together"))
}

fn missing(places: &[Properties], what: &str) -> LoginError {
    let places: Vec<&str> = places.iter().map(|place| place.place.as_str()).collect();
    LoginError::NoCredentials(format!(
        "no API key of Oracle Cloud: none of these names {what}: {}; nor is there a ~/.oci/config besides",
        places.join("; ")
    ))
}

/// The section of a profile: `[NAME]`, then `key=value` a line, `#` before remarks. `None` without that section.
fn parse(text: &str, profile: &str) -> Option<Properties> {
    let mut found: Option<Properties> = None;
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            inside = name.trim() == profile;
            if inside {
                found.get_or_insert_default();
            }
            continue;
        }
        let (true, Some(found), Some((key, value))) = (inside, &mut found, line.split_once('=')) else {
            continue;
        };
        let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
        match key.trim().to_ascii_lowercase().as_str() {
            "tenancy" => found.tenancy = value,
            "user" => found.user = value,
            "fingerprint" => found.fingerprint = value,
            "key_file" => found.key_file = value,
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_profile_is_read() {
        let text = "user=lost\n[DEFAULT]\n# a remark\nuser = u1\r\nfingerprint=aa:bb\nregion=x\n[OTHER]\ntenancy=t2\nkey_file=~/k=y.pem\nuser=\n";
        let default = parse(text, "DEFAULT").unwrap();
        assert_eq!((default.user.as_deref(), default.fingerprint.as_deref()), (Some("u1"), Some("aa:bb")));
        assert_eq!(default.tenancy, None);
        let other = parse(text, "OTHER").unwrap();
        assert_eq!((other.user, other.key_file.as_deref()), (None, Some("~/k=y.pem")));
        assert_eq!(parse(text, "THIRD"), None);
    }
}
