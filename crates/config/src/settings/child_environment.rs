//! `env { … }`: what a program that we start sees of our own environment; keys and rules of consul-template. It stands
//! in `exec`, and in the `exec` of a `template`.

use std::fmt;

use crate::decode::{Fields, Labels, Wording};

/// What a program sees of our environment. In names `*` stands for any text and `?` for one byte.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct ChildEnvironment {
    /// Nothing of ours.
    pub pristine: bool,
    /// If there are any: only variables with such names.
    pub allowlist: Vec<String>,
    /// No variables with such names; this counts before `allowlist`.
    pub denylist: Vec<String>,
    /// More variables, by name; they win.
    pub custom: Vec<(String, String)>,
}

/// Without the values of variables: they may be secret.
impl fmt::Debug for ChildEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.custom.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("ChildEnvironment")
            .field("pristine", &self.pristine)
            .field("allowlist", &self.allowlist)
            .field("denylist", &self.denylist)
            .field("custom", &names)
            .finish()
    }
}

impl ChildEnvironment {
    /// What no program gets: our tokens, and the sockets and the watchdog of our service manager.
    pub const NEVER: &[&str] = &[
        "BAO_TOKEN",
        "LISTEN_FDNAMES",
        "LISTEN_FDS",
        "LISTEN_PID",
        "NOTIFY_SOCKET",
        "VAULT_TOKEN",
        "WATCHDOG_PID",
        "WATCHDOG_USEC",
    ];

    /// Whether it sees our variable of this name.
    pub fn keeps(&self, name: &str) -> bool {
        let listed = |list: &[String]| list.iter().any(|pattern| fits(pattern.as_bytes(), name.as_bytes()));
        !self.pristine
            && !Self::NEVER.contains(&name)
            && !listed(&self.denylist)
            && (self.allowlist.is_empty() || listed(&self.allowlist))
    }

    /// Whether it sees all of ours but [`Self::NEVER`].
    pub fn keeps_all(&self) -> bool {
        !self.pristine && self.allowlist.is_empty() && self.denylist.is_empty()
    }
}

/// Whether a name fits a pattern.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut rest, mut left) = (pattern, name);
    // Where to go on after the last star: behind it, with one more byte of the name in it.
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        match (rest, left) {
            ([], []) => return true,
            ([b'*', behind @ ..], _) => {
                star = Some((behind, left));
                rest = behind;
                continue;
            }
            ([b'?', behind @ ..], [_, after @ ..]) => {
                (rest, left) = (behind, after);
                continue;
            }
            ([one, behind @ ..], [other, after @ ..]) if one == other => {
                (rest, left) = (behind, after);
                continue;
            }
            _ => {}
        }
        let Some((behind, [_, after @ ..])) = star else { return false };
        star = Some((behind, after));
        (rest, left) = (behind, after);
    }
}

/// The block `env` of a stanza, where there is one; `shown` is what problems call it.
pub(crate) fn read(stanza: &Fields<'_>, shown: &str) -> ChildEnvironment {
    let blocks = stanza.blocks("env", Labels::Ignored);
    // Given several times, the last one wins.
    let Some(block) = blocks.last() else { return ChildEnvironment::default() };
    let env = stanza.inside("env", block, stanza.prefix()).worded(Wording::Template);
    let one = |text: &str| vec![text.to_owned()];
    let names = |key, older| {
        let mut names = env.strings_or(key, one).unwrap_or_default();
        names.extend(env.strings_or(older, one).unwrap_or_default());
        names
    };
    let mut custom = Vec::new();
    for pair in env.strings_or("custom", one).unwrap_or_default() {
        match pair.split_once('=') {
            Some((name, value)) if !name.is_empty() && !pair.contains('\0') => {
                custom.push((name.to_owned(), value.to_owned()));
            }
            // Its value may be secret.
            _ => env.refuse_with(
                env.span_of("custom"),
                format!("'{shown}.custom' holds something that is no variable"),
                "custom = [\"NAME=value\"]",
            ),
        }
    }
    let environment = ChildEnvironment {
        pristine: env.strict_bool("pristine").unwrap_or(false),
        allowlist: names("allowlist", "whitelist"),
        denylist: names("denylist", "blacklist"),
        custom,
    };
    env.finish();
    environment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_never_kept_and_the_rest_as_the_lists_say() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let all = ChildEnvironment::default();
        assert!(all.keeps("HOME") && all.keeps("VAULT_ADDR") && all.keeps_all());
        for name in ChildEnvironment::NEVER {
            assert!(!all.keeps(name), "{name}");
        }
        let some = ChildEnvironment {
            allowlist: list(&["APP_*", "*PATH", "VAULT_TOKEN"]),
            denylist: list(&["APP_*_KEY", "APP_?"]),
            ..ChildEnvironment::default()
        };
        let kept = |name: &&str| some.keeps(name);
        let names = ["APP_ONE", "PATH", "LD_PATHS", "HOME", "APP_A_KEY", "APP_A", "VAULT_TOKEN", "APP_"];
        assert_eq!(names.iter().copied().filter(kept).collect::<Vec<_>>(), ["APP_ONE", "PATH", "APP_"]);
        assert!(!some.keeps_all());
        let pristine = ChildEnvironment { pristine: true, ..ChildEnvironment::default() };
        assert!(!pristine.keeps("PATH") && !pristine.keeps_all());
    }

    #[test]
    fn patterns() {
        for (pattern, name, want) in [
            ("A", "A", true),
            ("A", "AB", false),
            ("*", "", true),
            ("A*", "A", true),
            ("*B", "AAB", true),
            ("AA*A", "AA", false),
            ("A*B*C", "AxBxBC", true),
            ("A*B*C", "AxBxBD", false),
            ("A*B*C", "ACB", false),
            ("A?C", "ABC", true),
            ("A?", "A", false),
        ] {
            assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), want, "{pattern} {name}");
        }
    }
}
