//! Who may use a listener, for what, and how often.

use std::path::PathBuf;

use crate::decode::{Fields, Labels, Wording};
use crate::settings::file_access::{Identity, read_identities};

/// Whom a listener serves, beside what host names and certificates say. The default serves everybody everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListenerAccess {
    /// Processes at the other end of a unix socket.
    pub peers: AllowedPeers,
    /// Requests that are passed on: those that one of these allows. None passes all.
    pub rules: Vec<AllowRule>,
    /// How often one client may ask.
    pub rate: Option<RateLimit>,
    /// Take cache-clear and quit with any `Content-Type`, as upstream does.
    pub lenient_control_content_type: bool,
}

/// Processes that may use a unix socket. What is empty asks for nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AllowedPeers {
    /// Of these users, or of one of the groups.
    pub uids: Vec<Identity>,
    /// Of these groups, by the group a process runs as, or of one of the users.
    pub gids: Vec<Identity>,
    /// And run from one of these files.
    pub executables: Vec<PathBuf>,
}

/// `allow { … }`: requests that are passed on to the server.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AllowRule {
    /// With one of these methods, in capitals; any when there are none.
    pub methods: Vec<String>,
    /// To one of these paths; any when there are none.
    pub paths: Vec<AllowedPath>,
    /// Below one of these namespaces, named in `X-Vault-Namespace`, without slashes at either end. When there are
    /// none: only without that header.
    pub namespaces: Vec<String>,
}

/// A path without `/v1/`, a namespace that stands in it included: `+` stands for one segment, `*` at the end for any rest.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AllowedPath(String);

impl AllowedPath {
    /// Of a path as policies write it.
    ///
    /// # Errors
    /// Why no request can have such a path.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let path = text.strip_prefix('/').unwrap_or(text);
        let (whole, rest) = match path.strip_suffix('*') {
            Some(before) => (before, true),
            None => (path.strip_suffix('/').unwrap_or(path), false),
        };
        if whole == "v1" || whole.starts_with("v1/") {
            return Err("paths are written without /v1/, as in policies");
        }
        if whole.contains('*') {
            return Err("`*` can stand at the end only; `+` stands for one segment");
        }
        if is_escaped(whole) {
            return Err("escapes are resolved before rules are looked at; write the character itself");
        }
        if whole.contains('?') {
            return Err("a rule looks at the path, not at the query behind it");
        }
        if rest && (whole == "+" || whole.ends_with("/+")) {
            return Err("`+` stands for one whole segment, so write `+/*` for what is below it, or `*`");
        }
        if whole.contains(char::is_control) {
            return Err("there is a control character in it");
        }
        let mut segments = whole.split('/').collect::<Vec<_>>();
        if rest {
            // What the last one begins with.
            segments.pop();
        }
        if whole.is_empty() && !rest || segments.contains(&"") {
            return Err("there is an empty segment in it");
        }
        if segments.iter().any(|segment| matches!(*segment, "." | "..")) {
            return Err("there is a dot segment in it");
        }
        Ok(Self(if rest { format!("{whole}*") } else { whole.to_owned() }))
    }

    /// Without a slash at either end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether `%41` or the like is in it.
fn is_escaped(text: &str) -> bool {
    let escape =
        |part: &[u8]| matches!(part, [b'%', one, two] if one.is_ascii_hexdigit() && two.is_ascii_hexdigit());
    text.as_bytes().windows(3).any(escape)
}

/// How often one client may ask.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RateLimit {
    /// Requests a second, in the long run.
    pub per_second: u32,
    /// Requests at once, after a while without any.
    pub burst: u32,
}

/// More is no limit: one thread passes fewer on.
const MOST: u32 = 1_000_000;

/// What the servers know.
const METHODS: &[&str] = &["DELETE", "GET", "HEAD", "LIST", "OPTIONS", "PATCH", "POST", "PUT", "SCAN"];

// === Reading ===

pub(super) fn read(fields: &Fields<'_>, is_unix: bool) -> ListenerAccess {
    ListenerAccess {
        peers: read_peers(fields, is_unix),
        rules: read_rules(fields),
        rate: read_rate(fields),
        lenient_control_content_type: fields.lax_bool("lenient_control_content_type").unwrap_or(false),
    }
}

fn read_peers(fields: &Fields<'_>, is_unix: bool) -> AllowedPeers {
    fields.also_called("allowed_executables", "allowed_pids_exe");
    for key in ["allowed_uids", "allowed_gids", "allowed_executables"] {
        if !is_unix && fields.has(key) {
            fields.refuse_with(
                fields.span_of(key),
                format!("`{key}` needs a unix listener"),
                "the system tells who is at the other end of a unix socket, and nobody does for tcp",
            );
        }
    }
    let executables = fields.strings("allowed_executables").unwrap_or_default();
    if fields.has("allowed_executables") && executables.is_empty() {
        // Nothing would be asked for.
        let key = fields.span_of("allowed_executables");
        fields.refuse_with(key, "'allowed_executables' names none", "name files, or remove the key");
    }
    if let Some(relative) = executables.iter().find(|path| !path.starts_with('/')) {
        let message = format!("{relative:?} in `allowed_executables` is no absolute path");
        fields.refuse_with(
            fields.span_of("allowed_executables"),
            message,
            "write the program's file: \"/usr/bin/app\"",
        );
    }
    AllowedPeers {
        uids: read_identities(fields, "allowed_uids"),
        gids: read_identities(fields, "allowed_gids"),
        executables: executables.into_iter().map(PathBuf::from).collect(),
    }
}

fn read_rules(fields: &Fields<'_>) -> Vec<AllowRule> {
    let mut rules = Vec::new();
    for block in fields.blocks("allow", Labels::Ignored) {
        // A key that is not understood would allow more than it seems to: it is an error.
        let allow = fields.inside("allow", &block, fields.prefix()).worded(Wording::Template);
        if block.object.is_some() {
            rules.push(read_rule(&allow));
        }
        allow.finish();
    }
    rules
}

fn read_rule(allow: &Fields<'_>) -> AllowRule {
    let mut rule = AllowRule::default();
    for method in allow.strings("methods").unwrap_or_default() {
        let method = method.to_ascii_uppercase();
        if METHODS.contains(&method.as_str()) {
            rule.methods.push(method);
        } else {
            let message = format!("unknown method {method:?} in `allow`");
            let hint = format!("the methods are {}", METHODS.join(", "));
            allow.refuse_with(allow.span_of("methods"), message, hint);
        }
    }
    for path in allow.strings("paths").unwrap_or_default() {
        match AllowedPath::parse(&path) {
            Ok(path) => rule.paths.push(path),
            Err(why) => {
                let message = format!("no request can have the path {path:?} of `allow`: {why}");
                let hint = "as in policies: \"secret/data/app/*\", \"+/creds/app\"";
                allow.refuse_with(allow.span_of("paths"), message, hint);
            }
        }
    }
    for namespace in allow.strings("namespaces").unwrap_or_default() {
        let bare = namespace.trim_matches('/');
        if bare.is_empty()
            || bare == "root"
            || bare.split('/').any(|part| matches!(part, "" | "." | ".." | "+" | "*"))
        {
            let message = format!("{namespace:?} in `allow` names no namespace");
            let hint = "write it whole, as in \"team/shop\"; without `namespaces` a rule is about requests without the header";
            allow.refuse_with(allow.span_of("namespaces"), message, hint);
        } else {
            rule.namespaces.push(bare.to_owned());
        }
    }
    let empty = |key| allow.has(key) && allow.strings(key).is_some_and(|list| list.is_empty());
    if empty("methods")
        || empty("paths")
        || empty("namespaces")
        || !allow.has("methods") && !allow.has("paths") && !allow.has_unknown()
    {
        // It would allow everything.
        allow.refuse_with(allow.span, "`allow` names nothing", "give it `methods`, `paths` or both");
    }
    rule
}

fn read_rate(fields: &Fields<'_>) -> Option<RateLimit> {
    let number = |key: &'static str| {
        let given = fields.integer(key)?;
        match u32::try_from(given) {
            Ok(number) if (1..=MOST).contains(&number) => Some(number),
            _ => {
                let message = format!("{key} must be from 1 to {MOST}, not {given}");
                fields.refuse_beside(fields.span_of(key), message);
                None
            }
        }
    };
    let (rate, burst) = (number("rate_limit"), number("rate_burst"));
    if fields.has("rate_burst") && !fields.has("rate_limit") {
        fields.refuse_with(
            fields.span_of("rate_burst"),
            "`rate_burst` needs `rate_limit`",
            "requests a second: rate_limit = 100",
        );
    }
    rate.map(|per_second| RateLimit { per_second, burst: burst.unwrap_or(per_second) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_written_as_in_policies() {
        for (text, want) in [
            ("secret/data/app", "secret/data/app"),
            ("/secret/data/app/", "secret/data/app"),
            ("secret/data/app/*", "secret/data/app/*"),
            ("secret/data/app*", "secret/data/app*"),
            ("*", "*"),
            ("+/creds/+", "+/creds/+"),
        ] {
            assert_eq!(AllowedPath::parse(text).unwrap().as_str(), want);
        }
        for text in [
            "",
            "/",
            "/v1/secret",
            "v1",
            "a//b",
            "//*",
            "a/*/b",
            "a/../b",
            "./a",
            "a/b*c",
            "a\n",
            "a%2Fb",
            "a%2fb/*",
            "a?list=true",
            "+*",
            "a/+*",
        ] {
            assert!(AllowedPath::parse(text).is_err(), "{text:?}");
        }
        // These are names that somebody may have given.
        for text in ["a/100%", "a/50%/b", "a/c++", "a/c++*", "a/%zz"] {
            assert!(AllowedPath::parse(text).is_ok(), "{text:?}");
        }
    }
}
