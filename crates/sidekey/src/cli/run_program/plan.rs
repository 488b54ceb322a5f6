//! Which variables there will be, from where, and as which templates.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::kv::Found;
use super::super::template_text::{data, field, quoted, secret};
use super::reference::{Ask, Piece, Reference, Want, with_sprig_names};

/// One variable.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Planned {
    /// Where it comes from, for people: `secret/app#password`.
    pub(super) origin: String,
    /// Its template.
    pub(super) contents: String,
}

/// All variables, by name.
#[derive(Debug, Default)]
pub(super) struct Plan(pub(super) BTreeMap<String, Planned>);

/// How the names of a secret's keys become names of variables.
#[derive(Clone, Copy, Debug)]
pub(super) struct Naming<'a> {
    pub(super) prefix: &'a str,
    pub(super) keep_case: bool,
}

impl Naming<'_> {
    /// In capitals, unless case is kept; what is no letter, digit or `_` becomes `_`.
    fn name(&self, below: &str, key: &str) -> String {
        let mut name = if below.is_empty() { key.to_owned() } else { format!("{below}_{key}") };
        if !self.keep_case {
            name = name.to_uppercase();
        }
        let name: String =
            name.chars().map(|char| if char.is_ascii_alphanumeric() { char } else { '_' }).collect();
        format!("{}{name}", self.prefix)
    }
}

impl Plan {
    /// # Errors
    /// Somebody else has the name; both.
    pub(super) fn add(&mut self, name: String, origin: String, contents: String) -> Result<(), String> {
        let is_name = name.chars().next().is_some_and(|char| char == '_' || char.is_ascii_alphabetic())
            && name.chars().all(|char| char == '_' || char.is_ascii_alphanumeric());
        if !is_name {
            return Err(format!(
                "{origin} would be the variable {name:?}, which is no name of one; give --prefix, or --env NAME=vault:{origin}"
            ));
        }
        if let Some(known) = self.0.get(&name) {
            // The same, asked for twice.
            if known.contents == contents {
                return Ok(());
            }
            return Err(format!(
                "{} and {origin} would both be the variable {name}; give one of them another name with --secret PATH=PREFIX_ or --env NAME=vault:PATH#KEY",
                known.origin
            ));
        }
        self.0.insert(name, Planned { origin, contents });
        Ok(())
    }

    /// Every key of a secret. `asked` is the path that led to it, with or without a star.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub(super) fn add_secret(
        &mut self,
        asked: &str,
        version: Option<u64>,
        found: &Found,
        naming: Naming<'_>,
    ) -> Result<(), String> {
        let said = found.said();
        let folder = asked.trim_matches('/').strip_suffix('*').unwrap_or_default();
        let below = if folder.is_empty() {
            ""
        } else {
            said.strip_prefix(folder).or_else(|| found.path.strip_prefix(folder)).unwrap_or(&said)
        };
        for (key, value) in &found.fields {
            let shown = match value {
                Value::Object(_) | Value::Array(_) => {
                    format!("{} | toJSON", field_value(found.versioned(), key))
                }
                _ => field(found.versioned(), key),
            };
            let contents = with_secret(&found.path, version, &format!("{{{{ {shown} }}}}"));
            self.add(naming.name(below, key), format!("{said}#{key}"), contents)?;
        }
        Ok(())
    }
}

/// A field as an operand.
fn field_value(versioned: bool, key: &str) -> String {
    let field = field(versioned, key);
    if field.starts_with('.') { field } else { format!("({field})") }
}

fn with_secret(path: &str, version: Option<u64>, inside: &str) -> String {
    format!("{{{{ with {} }}}}{inside}{{{{ end }}}}", secret(path, version))
}

/// The template of a value with references; `versioned` says it of the mount of a path.
pub(super) fn contents(pieces: &[Piece], versioned: impl Fn(&str) -> bool) -> String {
    let one = |piece: &Piece| match piece {
        // Whatever stands there is no template.
        Piece::Text(text) => format!("{{{{ {} }}}}", quoted(text)),
        Piece::Secret(Reference { path, want, ask }) => {
            // What answers a write has no versions.
            let versioned = matches!(ask, Ask::Read(_)) && versioned(path);
            let inside = match want {
                Want::Key(key) => format!("{{{{ {} }}}}", field(versioned, key)),
                Want::Template(text) => {
                    format!(
                        "{{{{ with {} }}}}{{{{ {} }}}}{{{{ end }}}}",
                        data(versioned),
                        with_sprig_names(text)
                    )
                }
                Want::Plaintext => "{{ .Data.plaintext | base64Decode }}".to_owned(),
            };
            match ask {
                Ask::Read(version) => with_secret(path, *version, &inside),
                Ask::Write(pairs) => format!("{{{{ with {} }}}}{inside}{{{{ end }}}}", write(path, pairs)),
            }
        }
    };
    pieces.iter().map(one).collect()
}

/// `secret "PATH" "NAME=VALUE"`, whose answer is that of the write. Nothing to write is said by an empty text.
fn write(path: &str, pairs: &[String]) -> String {
    let nothing = [String::new()];
    let pairs = if pairs.is_empty() { &nothing } else { pairs };
    let pairs: Vec<String> = pairs.iter().map(|pair| quoted(pair)).collect();
    format!("secret {} {}", quoted(path), pairs.join(" "))
}

/// Where a value with references comes from, for people.
pub(super) fn origin(pieces: &[Piece]) -> String {
    let mut all = Vec::new();
    for piece in pieces {
        if let Piece::Secret(Reference { path, want, ask }) = piece {
            let want = match want {
                Want::Key(key) => format!("#{key}"),
                Want::Template(text) => format!("#${{{text}}}"),
                Want::Plaintext => String::new(),
            };
            all.push(match ask {
                Ask::Read(None) => format!("{path}{want}"),
                Ask::Read(Some(version)) => format!("{path}{want}#{version}"),
                Ask::Write(_) => format!(">>{path}{want}"),
            });
        }
    }
    all.join(" and ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use template::Mount;

    use super::super::reference::{Transit, parse};
    use super::*;

    fn found(path: &str, fields: Value) -> Found {
        let mount = Mount { path: "secret/".into(), versioned: true };
        Found { path: path.into(), mount: Some(mount), fields: fields.as_object().unwrap().clone() }
    }

    const NAMING: Naming<'_> = Naming { prefix: "", keep_case: false };

    fn names(plan: &Plan) -> Vec<&str> {
        plan.0.keys().map(String::as_str).collect()
    }

    #[test]
    fn keys_become_variables() {
        let secret = found("secret/data/app", json!({"user": "x", "b-c": 1, "list": [1]}));
        let mut plan = Plan::default();
        plan.add_secret("secret/app", None, &secret, Naming { prefix: "APP_", keep_case: false }).unwrap();
        assert_eq!(names(&plan), ["APP_B_C", "APP_LIST", "APP_USER"]);
        assert_eq!(
            plan.0["APP_B_C"].contents,
            r#"{{ with secret "secret/data/app" }}{{ index .Data.data "b-c" }}{{ end }}"#
        );
        assert_eq!(
            plan.0["APP_LIST"].contents,
            r#"{{ with secret "secret/data/app" }}{{ .Data.data.list | toJSON }}{{ end }}"#
        );
        assert_eq!(plan.0["APP_USER"].origin, "secret/app#user");
        let mut plan = Plan::default();
        plan.add_secret("secret/app", None, &secret, Naming { prefix: "", keep_case: true }).unwrap();
        assert_eq!(names(&plan), ["b_c", "list", "user"]);
    }

    #[test]
    fn below_a_star_the_path_is_in_the_name() {
        for asked in ["secret/app/*", "secret/data/app/*"] {
            let mut plan = Plan::default();
            plan.add_secret(asked, None, &found("secret/data/app/sub/two", json!({"k": 1})), NAMING).unwrap();
            assert_eq!(names(&plan), ["SUB_TWO_K"], "{asked}");
        }
    }

    #[test]
    fn two_for_one_name_are_refused_with_both() {
        let mut plan = Plan::default();
        plan.add_secret("secret/a", None, &found("secret/data/a", json!({"k": 1})), NAMING).unwrap();
        plan.add_secret("secret/a", None, &found("secret/data/a", json!({"k": 1})), NAMING).unwrap();
        let error =
            plan.add_secret("secret/b", None, &found("secret/data/b", json!({"k": 1})), NAMING).unwrap_err();
        assert!(error.starts_with("secret/a#k and secret/b#k would both be the variable K"), "{error}");
        let error =
            plan.add_secret("secret/c", None, &found("secret/data/c", json!({"9x": 1})), NAMING).unwrap_err();
        assert!(error.contains("secret/c#9x") && error.contains("--prefix"), "{error}");
    }

    #[test]
    fn references_become_templates() {
        let of = |value: &str| {
            let pieces = parse(value, Transit::default()).unwrap().unwrap();
            (contents(&pieces, |path| path.starts_with("secret/")), origin(&pieces))
        };
        assert_eq!(
            of("{{x}}${vault:secret/a#u}@${vault:kv/b#${.p | b64dec}#2}"),
            (
                concat!(
                    r#"{{ "{{x}}" }}{{ with secret "secret/a" }}{{ .Data.data.u }}{{ end }}{{ "@" }}"#,
                    r#"{{ with secret "kv/b?version=2" }}{{ with .Data }}{{ .p | sprig_b64dec }}{{ end }}{{ end }}"#
                )
                .to_owned(),
                "secret/a#u and kv/b#${.p | b64dec}#2".to_owned()
            )
        );
        assert_eq!(
            of(r#">>vault:secret/issue/x%#certificate#{"a":"hidden\""}"#),
            (
                r#"{{ with secret "secret/issue/x%" "a=hidden\"" }}{{ .Data.certificate }}{{ end }}"#
                    .to_owned(),
                ">>secret/issue/x%#certificate".to_owned()
            )
        );
        assert_eq!(
            of(">>vault:sys/tools/random#random_bytes").0,
            r#"{{ with secret "sys/tools/random" "" }}{{ .Data.random_bytes }}{{ end }}"#
        );
    }
}
