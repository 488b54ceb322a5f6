//! What counts of a `krb5.conf`: the KDCs of each realm, and which machine is in which realm. Everything else in it is
//! for other programs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Files one may include another; a loop ends here.
const MAX_DEPTH: usize = 5;

/// Files read altogether.
const MAX_FILES: usize = 100;

/// Where Kerberos is asked, unless the address says so (RFC 4120 section 7.2.3).
const PORT: u16 = 88;

/// The realms it knows.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Krb5Conf {
    /// `HOST:PORT` each, in the file's order.
    kdcs: BTreeMap<String, Vec<String>>,
    /// Realms by machines (`web.example.com`) and domains (`.example.com`).
    domains: BTreeMap<String, String>,
}

impl Krb5Conf {
    /// Reads a file and what it includes.
    ///
    /// # Errors
    /// The file that cannot be used, and why.
    pub(super) fn load(path: &Path) -> Result<Self, (PathBuf, String)> {
        let mut conf = Self::default();
        let mut files = 0;
        conf.add(path, 0, &mut files)?;
        Ok(conf)
    }

    /// The KDCs of a realm.
    ///
    /// # Errors
    /// None is named, as what follows "krb5.conf file PATH: ".
    pub(super) fn kdcs(&self, realm: &str) -> Result<&[String], String> {
        if let Some(kdcs) = self.kdcs.get(realm).filter(|kdcs| !kdcs.is_empty()) {
            return Ok(kdcs);
        }
        let other = self.kdcs.keys().find(|other| other.eq_ignore_ascii_case(realm));
        let why = match other {
            Some(other) => format!("it has {other}, and case counts"),
            None => format!(
                "add to [realms]: {realm} = {{ kdc = HOST }}; DNS is not asked for KDCs, but HOST may be a name with several addresses"
            ),
        };
        Err(format!("it names no kdc of the realm {realm}: {why}"))
    }

    /// The realm a machine is in, if a line says so: its own, or the one for the nearest domain around it.
    pub(super) fn realm_of(&self, host: &str) -> Option<&str> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let domains = host.match_indices('.').filter_map(|(at, _)| host.get(at..));
        std::iter::once(host.as_str())
            .chain(domains)
            .find_map(|name| self.domains.get(name))
            .map(String::as_str)
    }

    fn add(&mut self, path: &Path, depth: usize, files: &mut usize) -> Result<(), (PathBuf, String)> {
        let refused = |reason: &str| (path.to_owned(), reason.to_owned());
        *files += 1;
        if depth > MAX_DEPTH || *files > MAX_FILES {
            return Err(refused("too many files include one another"));
        }
        let bytes = atomic_file::read_small(path).map_err(|error| refused(&error.reason()))?;
        let text = String::from_utf8(bytes).map_err(|_| refused("it is not text"))?;
        self.add_text(&text, path, depth, files)
    }

    /// `path` is for messages.
    fn add_text(
        &mut self,
        text: &str,
        path: &Path,
        depth: usize,
        files: &mut usize,
    ) -> Result<(), (PathBuf, String)> {
        let refused = |reason: &str| (path.to_owned(), reason.to_owned());
        let mut section = String::new();
        // The names of the braces we are in.
        let mut within: Vec<String> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            match word {
                "include" => self.add(Path::new(rest.trim()), depth + 1, files)?,
                "includedir" => {
                    for file in included(Path::new(rest.trim()))? {
                        self.add(&file, depth + 1, files)?;
                    }
                }
                // Modules are programs of the library that is not used here.
                "module" => {}
                _ => {
                    // A `*` behind a name or brace says that later files do not count; we take all.
                    let bare = line.trim_end_matches('*').trim_end();
                    if let Some(name) = bare.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
                        name.trim().clone_into(&mut section);
                        within.clear();
                    } else if bare == "}" {
                        if within.pop().is_none() {
                            return Err(refused(&format!(
                                "line {} closes a brace that was never opened",
                                number + 1
                            )));
                        }
                    } else if let Some((key, value)) = line.split_once('=') {
                        let key = key.trim().trim_end_matches('*');
                        match value.trim() {
                            "{" => within.push(key.to_owned()),
                            value => self.note(&section, &within, key, value.trim_matches('"')),
                        }
                    } else {
                        return Err(refused(&format!("line {} is no section, setting or brace", number + 1)));
                    }
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, section: &str, within: &[String], key: &str, value: &str) {
        match (section, within, key) {
            // A KDC behind an HTTPS proxy speaks another protocol.
            ("realms", [realm], "kdc") if !value.contains("://") => {
                self.kdcs.entry(realm.clone()).or_default().push(with_port(value));
            }
            ("realms", [realm], _) => {
                self.kdcs.entry(realm.clone()).or_default();
            }
            ("domain_realm", [], machine) => {
                self.domains.insert(machine.to_ascii_lowercase(), value.to_owned());
            }
            _ => {}
        }
    }
}

/// The files of a folder whose names say that they are wanted: letters, digits, dashes and underscores only, or
/// ending in `.conf`.
fn included(folder: &Path) -> Result<Vec<PathBuf>, (PathBuf, String)> {
    let refused =
        |error: std::io::Error| (folder.to_owned(), format!("it is included and cannot be read: {error}"));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(refused)? {
        let entry = entry.map_err(refused)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        if plain || (name.ends_with(".conf") && !name.starts_with('.')) {
            files.push(entry.path());
        }
    }
    files.sort_unstable();
    Ok(files)
}

fn with_port(host: &str) -> String {
    let colons = host.matches(':').count();
    match host.strip_prefix('[') {
        Some(rest) if rest.contains("]:") => host.to_owned(),
        Some(_) => format!("{host}:{PORT}"),
        None if colons > 1 => format!("[{host}]:{PORT}"),
        None if colons == 1 => host.to_owned(),
        None => format!("{host}:{PORT}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn load(text: &str) -> Result<Krb5Conf, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("krb5.conf");
        let text = text.replace("FOLDER", folder.path().to_str().unwrap());
        put(&path, &text);
        let more = folder.path().join("more");
        atomic_file::create_folders(&more).unwrap();
        put(&more.join("b-file"), "[realms]\nB.COM = {\n kdc = b2\n}\n");
        put(&more.join("a.conf"), "[realms]\nB.COM = {\n kdc = b1\n}\n");
        put(&more.join("c.rpmsave"), "[realms]\nB.COM = {\n kdc = old\n}\n");
        put(&folder.path().join("loop"), &format!("include {}/loop\n", folder.path().display()));
        Krb5Conf::load(&path)
            .map_err(|(path, reason)| format!("{}: {reason}", path.file_name().unwrap().to_str().unwrap()))
    }

    fn put(path: &Path, text: &str) {
        atomic_file::write(path, text.as_bytes(), &atomic_file::Attributes::new(0o600)).unwrap();
    }

    #[test]
    fn kdcs_and_domains_are_found_among_all_the_rest() {
        let conf = load(
            "# comment\nincludedir FOLDER/more\n[libdefaults]\n default_realm = A.COM\n\n[realms]*\n A.COM = {\n  kdc = one.a.com\n  \
             kdc = two.a.com:1088\n  auth_to_local_names = {\n   kdc = nobody\n  }\n  kdc = ::1\n  kdc = [::2]:89\n  kdc = https://proxy/KdcProxy\n  \
             admin_server = three\n }*\n[domain_realm]\n .a.com = A.COM\n b.a.com = B.COM\n .x.a.com = X.COM\n",
        )
        .unwrap();
        assert_eq!(conf.kdcs("A.COM").unwrap(), ["one.a.com:88", "two.a.com:1088", "[::1]:88", "[::2]:89"]);
        assert_eq!(conf.kdcs("B.COM").unwrap(), ["b1:88", "b2:88"], "included");
        for (host, realm) in [
            ("web.a.com", Some("A.COM")),
            ("WEB.A.com.", Some("A.COM")),
            ("b.a.com", Some("B.COM")),
            ("c.b.a.com", Some("A.COM")),
            ("x.a.com", Some("A.COM")),
            ("y.x.a.com", Some("X.COM")),
            ("a.com", None),
        ] {
            assert_eq!(conf.realm_of(host), realm, "{host}");
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        let said = |text| load(text).unwrap_err();
        assert_eq!(said("[realms]\n}\n"), "krb5.conf: line 2 closes a brace that was never opened");
        assert_eq!(said("[realms]\nrubbish\n"), "krb5.conf: line 2 is no section, setting or brace");
        assert_eq!(said("include FOLDER/loop\n"), "loop: too many files include one another");
        assert!(said("includedir FOLDER/none\n").starts_with("none: it is included and cannot be read"));
        let conf = load("[realms]\nA.COM = {\n kdc = a\n}\nC.COM = {\n admin_server = c\n}\n").unwrap();
        assert!(conf.kdcs("a.com").unwrap_err().ends_with("it has A.COM, and case counts"));
        assert!(conf.kdcs("D.COM").unwrap_err().contains("D.COM = { kdc = HOST }"));
        assert!(conf.kdcs("C.COM").is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
            #[test]
            fn any_text_is_read_or_refused(lines: Vec<String>, key in "[a-z=\\[\\]{}* ]{0,20}") {
    let text = format!("{}\n{key}", lines.join("\n").replace("include", ""));
                let _ = Krb5Conf::default().add_text(&text, Path::new("x"), 0, &mut 0);
            }
        }
}
