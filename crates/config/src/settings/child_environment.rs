//! `env { … }`: what a program that we start sees of our own environment; keys and rules of consul-template.

use crate::decode::Fields;

/// What a program sees of our environment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ChildEnvironment {
    /// Nothing of ours.
    pub pristine: bool,
    /// If there are any: only variables with such names; `*` stands for any text.
    pub allowlist: Vec<String>,
    /// No variables with such names; this counts before `allowlist`.
    pub denylist: Vec<String>,
    /// More variables, by name; they win.
    pub custom: Vec<(String, String)>,
}

/// What no program gets: our tokens, and the sockets and the watchdog of our service manager.
const NEVER: &[&str] = &[
    "BAO_TOKEN",
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
    "VAULT_TOKEN",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

impl ChildEnvironment {
    /// Whether it sees our variable of this name.
    pub fn keeps(&self, name: &str) -> bool {
        let listed = |list: &[String]| list.iter().any(|pattern| fits(pattern, name));
        !self.pristine
            && !NEVER.contains(&name)
            && !listed(&self.denylist)
            && (self.allowlist.is_empty() || listed(&self.allowlist))
    }
}

/// Whether a name is what a pattern says, where `*` stands for any text.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some((_, behind)) = name.split_once(part) else { return false };
        name = behind;
    }
    name.ends_with(last)
}

pub(crate) fn read(fields: Fields<'_>) -> ChildEnvironment {
    let mut custom = Vec::new();
    for pair in fields.strings("custom").unwrap_or_default() {
        match pair.split_once('=') {
            Some((name, value)) if !name.is_empty() && !pair.contains('\0') => {
                custom.push((name.to_owned(), value.to_owned()));
            }
            _ => {
                let hint = "write \"NAME=value\"";
                fields.refuse_with(fields.span_of("custom"), "'custom' has a variable without a name", hint);
            }
        }
    }
    let environment = ChildEnvironment {
        pristine: fields.strict_bool("pristine").unwrap_or(false),
        allowlist: fields.strings("allowlist").unwrap_or_default(),
        denylist: fields.strings("denylist").unwrap_or_default(),
        custom,
    };
    fields.finish();
    environment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_never_kept_and_the_rest_as_the_lists_say() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let all = ChildEnvironment::default();
        assert!(all.keeps("HOME") && all.keeps("VAULT_ADDR"));
        for name in NEVER {
            assert!(!all.keeps(name), "{name}");
        }
        let some = ChildEnvironment {
            allowlist: list(&["APP_*", "*PATH", "VAULT_TOKEN"]),
            denylist: list(&["APP_*_KEY"]),
            ..ChildEnvironment::default()
        };
        let kept = |name: &&str| some.keeps(name);
        let names = ["APP_ONE", "PATH", "LD_PATHS", "HOME", "APP_A_KEY", "VAULT_TOKEN", "APP_"];
        assert_eq!(names.iter().copied().filter(kept).collect::<Vec<_>>(), ["APP_ONE", "PATH", "APP_"]);
        assert!(!ChildEnvironment { pristine: true, ..some }.keeps("PATH"));
        assert!(fits("a*b*c", "a-b-b-c") && !fits("a*b*c", "acb") && fits("*", "") && !fits("aa*a", "aa"));
    }
}
