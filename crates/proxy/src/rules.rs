//! Which requests a listener passes on.

use config::{AllowRule, ListenerAccess};
use http::{HeaderMap, HeaderValue, Method};
use vault::headers;

use crate::target::{Target, decode, encode};

/// The `allow` blocks of a listener.
#[derive(Debug)]
pub(crate) struct Rules(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    /// Any when there are none.
    methods: Vec<Method>,
    /// Any when there are none.
    paths: Vec<Path>,
    /// Those that a request may name in its header; none when there are none.
    namespaces: Vec<String>,
}

/// Segments of a path, and what the next one begins with where any rest may follow.
#[derive(Debug)]
struct Path {
    segments: Vec<Segment>,
    rest: Option<String>,
}

#[derive(Debug)]
enum Segment {
    Any,
    Text(String),
}

impl Rules {
    pub(crate) fn new(access: &ListenerAccess) -> Self {
        Self(access.rules.iter().map(Rule::new).collect())
    }

    /// Whether a request may be passed on. It is judged by its canonical path. A namespace in its header has to be named
    /// by the rule: there are servers that know no namespaces and read the path without it.
    pub(crate) fn allow(&self, method: &Method, target: &Target, headers: &HeaderMap) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let Some(path) = target.path().strip_prefix("/v1/") else { return false };
        let Some(verb) = Verb::of(method, target.query()) else { return false };
        let segments: Vec<&str> = path.split('/').collect();
        let namespace = headers.get(headers::NAMESPACE).map(HeaderValue::as_bytes);
        self.0.iter().any(|rule| rule.is_about(namespace) && rule.allows(&verb, &segments))
    }
}

/// A method as the server understands it.
struct Verb {
    method: Method,
    /// The path is a folder; the servers' policies see it with a slash at its end.
    lists: bool,
}

impl Verb {
    /// `None` when the query says two things, or nothing that all servers read in one way.
    fn of(method: &Method, query: Option<&str>) -> Option<Self> {
        let query = query.filter(|_| *method == Method::GET).unwrap_or_default();
        let method = match (asks(query, "list")?, asks(query, "scan")?) {
            (true, true) => return None,
            (true, false) => "LIST",
            (false, true) => "SCAN",
            (false, false) => method.as_str(),
        };
        let lists = matches!(method, "LIST" | "SCAN");
        Some(Self { method: Method::from_bytes(method.as_bytes()).ok()?, lists })
    }
}

/// Whether a query says `name=true`, as the servers read it: Go's `url.ParseQuery`, the first value of that name, and
/// `strconv.ParseBool`. `None` when the name is there more than once (which one counts is the server's affair, and
/// not a guard's guess), or with a value that is neither.
fn asks(query: &str, name: &str) -> Option<bool> {
    let text = |part: &str| decode(&part.replace('+', " ")).unwrap_or_default();
    let mut values = query.split(['&', ';']).filter_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (text(key) == name.as_bytes()).then(|| text(value))
    });
    let Some(value) = values.next() else { return Some(false) };
    if values.next().is_some() {
        return None;
    }
    match &value[..] {
        b"1" | b"t" | b"T" | b"TRUE" | b"true" | b"True" => Some(true),
        b"" | b"0" | b"f" | b"F" | b"FALSE" | b"false" | b"False" => Some(false),
        _ => None,
    }
}

impl Rule {
    fn new(rule: &AllowRule) -> Self {
        let method = |name: &String| Method::from_bytes(name.as_bytes()).ok();
        Self {
            methods: rule.methods.iter().filter_map(method).collect(),
            paths: rule.paths.iter().map(|path| Path::new(path.as_str())).collect(),
            namespaces: rule.namespaces.clone(),
        }
    }

    fn is_about(&self, namespace: Option<&[u8]>) -> bool {
        match namespace {
            None => self.namespaces.is_empty(),
            Some(namespace) => self.namespaces.iter().any(|ours| ours.as_bytes() == namespace),
        }
    }

    fn allows(&self, verb: &Verb, segments: &[&str]) -> bool {
        let method = self.methods.is_empty() || self.methods.contains(&verb.method);
        let path = || {
            self.paths.is_empty()
                || self.paths.iter().any(|path| {
                    path.matches(segments) || verb.lists && path.matches(&[segments, &[""]].concat())
                })
        };
        method && path()
    }
}

impl Path {
    /// Of one that the configuration has checked.
    fn new(text: &str) -> Self {
        let (whole, rest) = match text.strip_suffix('*') {
            None => (text, None),
            Some(before) => match before.rsplit_once('/') {
                Some((whole, start)) => (whole, Some(start)),
                None => ("", Some(before)),
            },
        };
        let segment = |segment| match segment {
            "+" => Segment::Any,
            text => Segment::Text(encode(text.as_bytes())),
        };
        let segments = if whole.is_empty() { Vec::new() } else { whole.split('/').map(segment).collect() };
        Self { segments, rest: rest.map(|start| encode(start.as_bytes())) }
    }

    fn matches(&self, segments: &[&str]) -> bool {
        let Some((these, behind)) = segments.split_at_checked(self.segments.len()) else { return false };
        let fits = |(ours, theirs): (&Segment, &&str)| match ours {
            // A folder's end is no segment.
            Segment::Any => !theirs.is_empty(),
            Segment::Text(text) => text == theirs,
        };
        self.segments.iter().zip(these).all(fits)
            && match (&self.rest, behind) {
                (None, behind) => behind.is_empty(),
                (Some(start), [next, ..]) => next.starts_with(start.as_str()),
                (Some(_), []) => false,
            }
    }
}

#[cfg(test)]
mod tests {
    use config::AllowedPath;
    use proptest::prelude::*;

    use super::*;

    fn rules(rules: &[(&[&str], &[&str])]) -> Rules {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let rules = rules.iter().map(|(methods, paths)| AllowRule {
            methods: texts(methods),
            paths: paths.iter().map(|path| AllowedPath::parse(path).unwrap()).collect(),
            namespaces: Vec::new(),
        });
        Rules::new(&ListenerAccess { rules: rules.collect(), ..ListenerAccess::default() })
    }

    fn allow(rules: &Rules, method: &str, target: &str, namespace: &str) -> bool {
        let mut headers = HeaderMap::new();
        if !namespace.is_empty() {
            headers.insert(headers::NAMESPACE, HeaderValue::from_str(namespace).unwrap());
        }
        let target = Target::parse(target, 1 << 14).unwrap();
        rules.allow(&Method::from_bytes(method.as_bytes()).unwrap(), &target, &headers)
    }

    #[test]
    fn paths() {
        for (rule, target, namespace, want) in [
            ("secret/data/app/*", "/v1/secret/data/app/x", "", true),
            ("secret/data/app/*", "/v1/secret/data/app/x/y", "", true),
            ("secret/data/app/*", "/v1/secret/data/app", "", false),
            ("secret/data/app/*", "/v1/secret/data/apple/x", "", false),
            ("secret/data/app/*", "/v1/secret%2Fdata/%61pp/x/", "", true),
            ("secret/data/app/*", "/secret/data/app/x", "", false),
            ("secret/data/app/*", "/v1/secret/data/app/x", "team", false),
            ("secret/data/app/*", "/v1/team/secret/data/app/x", "", false),
            ("team/secret/data/app/*", "/v1/secret/data/app/x", "team", false),
            ("team/secret/data/app/*", "/v1/team/secret/data/app/x", "", true),
            // A server without namespaces would read what is named by the path alone.
            ("secret/data/app/*", "/v1/secret/data/other", "secret/data/app", false),
            ("*", "/v1/secret/x", "a", false),
            ("secret/data/app*", "/v1/secret/data/apple/x", "", true),
            ("secret/data/app*", "/v1/secret/data/app", "", true),
            ("secret/data/app", "/v1/secret/data/app/", "", true),
            ("secret/data/app", "/v1/secret/data/app/x", "", false),
            ("secret/data/app", "/v1/secret/data", "", false),
            ("+/creds/app", "/v1/db/creds/app", "", true),
            ("+/creds/app", "/v1/a/db/creds/app", "", false),
            ("secret/+/app", "/v1/secret/app", "", false),
            ("secret/+/a*", "/v1/secret/data/abc/d", "", true),
            ("secret/data/my app/é", "/v1/secret/data/my%20app/%c3%a9", "", true),
            ("secret/data/a+b", "/v1/secret/data/a+b", "", true),
            ("secret/data/a+b", "/v1/secret/data/axb", "", false),
            ("*", "/v1/anything/at/all", "", true),
            ("*", "/ui/", "", false),
            ("*", "/", "", false),
            ("*", "/v1", "", false),
        ] {
            assert_eq!(allow(&rules(&[(&[], &[rule])]), "GET", target, namespace), want, "{rule} {target}");
        }
    }

    #[test]
    fn a_namespace_in_the_header_has_to_be_named() {
        let rule = AllowRule {
            paths: vec![AllowedPath::parse("secret/data/app/*").unwrap()],
            namespaces: vec!["team".to_owned(), "team/shop".to_owned()],
            ..AllowRule::default()
        };
        let rules = Rules::new(&ListenerAccess { rules: vec![rule], ..ListenerAccess::default() });
        for (namespace, target, want) in [
            ("team", "/v1/secret/data/app/x", true),
            ("team/shop", "/v1/secret/data/app/x", true),
            ("team", "/v1/secret/data/other", false),
            ("team", "/v1/shop/secret/data/app/x", false),
            ("other", "/v1/secret/data/app/x", false),
            ("", "/v1/secret/data/app/x", false),
            ("", "/v1/team/secret/data/app/x", false),
        ] {
            assert_eq!(allow(&rules, "GET", target, namespace), want, "{namespace} {target}");
        }
    }

    #[test]
    fn methods() {
        for (methods, method, query, want) in [
            (&["GET"][..], "GET", "", true),
            (&["GET"], "GET", "?version=2", true),
            (&["GET"], "POST", "", false),
            (&["GET"], "HEAD", "", false),
            (&["GET"], "LIST", "", false),
            (&["GET"], "GET", "?list=true", false),
            (&["GET"], "GET", "?a=b&l%69st=%31", false),
            (&["GET"], "GET", "?list=nonsense", false),
            (&["GET"], "GET", "?list=false", true),
            (&["GET"], "GET", "?list", true),
            (&["GET"], "GET", "?scan=t", false),
            (&["LIST"], "LIST", "", true),
            (&["LIST"], "GET", "?list=1", true),
            (&["LIST"], "GET", "", false),
            (&["LIST", "SCAN"], "GET", "?list=1&scan=1", false),
            // The server takes the first value: a read, not a list.
            (&["LIST"], "GET", "?list=0&list=1", false),
            (&["LIST"], "GET", "?list=&list=1", false),
            (&["LIST"], "GET", "?%6cist=0&list=1", false),
            (&["GET"], "GET", "?list=1&list=0", false),
            (&["GET", "LIST"], "GET", "?list=1&list=1", false),
            (&["GET"], "GET", "?scan=0&scan=1", false),
            (&["LIST"], "GET", "?%6cis%74=%31", true),
            (&["GET"], "GET", "?%6cist=1", false),
            // Other names: case counts, and a plus is a space.
            (&["GET"], "GET", "?LIST=1&List=1&+list=1", true),
            // The server answers 400.
            (&["GET"], "GET", "?list=yes", false),
            (&["LIST"], "GET", "?list=yes", false),
            (&["SCAN"], "GET", "?scan=1", true),
            (&["POST"], "POST", "?list=true", true),
            (&[], "PATCH", "", true),
        ] {
            let rules = rules(&[(methods, &["secret/metadata/app/*"])]);
            let target = format!("/v1/secret/metadata/app/x{query}");
            assert_eq!(allow(&rules, method, &target, ""), want, "{methods:?} {method} {query}");
        }
        // The folder itself is listed by a rule for what is in it, as in policies.
        let folder = rules(&[(&["LIST", "GET"], &["secret/metadata/app/*"])]);
        assert!(allow(&folder, "LIST", "/v1/secret/metadata/app", ""));
        assert!(allow(&folder, "GET", "/v1/secret/metadata/app/?list=true", ""));
        assert!(!allow(&folder, "GET", "/v1/secret/metadata/app", ""));
        assert!(!allow(&folder, "LIST", "/v1/secret/metadata", ""));
    }

    #[test]
    fn one_rule_suffices_and_none_is_no_rule() {
        let two = rules(&[(&["GET"], &["a/*", "b"]), (&["PUT"], &["c"])]);
        for (method, target, want) in [
            ("GET", "/v1/a/x", true),
            ("GET", "/v1/b", true),
            ("PUT", "/v1/c", true),
            ("PUT", "/v1/b", false),
        ] {
            assert_eq!(allow(&two, method, target, ""), want, "{method} {target}");
        }
        assert!(allow(&rules(&[]), "DELETE", "/ui/", "anything"));
    }

    proptest! {
        /// However a path is spelled.
        #[test]
        fn a_decision_depends_on_the_canonical_path_alone(
            segments in proptest::collection::vec("[a-c]{1,2}", 2..5),
            escaped: bool,
        ) {
            let rules = rules(&[(&[], &["a/+/b*", "b/*"])]);
            let whole = format!("/v1/{}", segments.join("/"));
            let other = segments.join(if escaped { "%2f" } else { "/" }).replace('a', "%61");
            prop_assert_eq!(
                allow(&rules, "GET", &whole, ""),
                allow(&rules, "GET", &format!("/v1/{other}/"), "")
            );
        }
    }
}
