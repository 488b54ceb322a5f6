//! Paths that somebody allowed, written as in policies.

/// Paths as policies write them: `+` stands for one segment, `*` at the end for anything. Everything else is meant
/// literally. The namespace stands in front, where there is one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Patterns(Vec<Pattern>);

#[derive(Clone, Debug, Eq, PartialEq)]
struct Pattern {
    segments: Vec<Box<str>>,
    /// The last segment is a beginning only.
    open: bool,
}

impl Patterns {
    pub(crate) fn new(texts: &[String]) -> Self {
        let pattern = |text: &String| {
            let text = text.trim_start_matches('/');
            let (text, open) = text.strip_suffix('*').map_or((text, false), |text| (text, true));
            Pattern { segments: text.split('/').map(Into::into).collect(), open }
        };
        Self(texts.iter().map(pattern).collect())
    }

    /// Whether a path, without `/v1/`, is among them.
    pub(crate) fn matches(&self, path: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(path))
    }
}

impl Pattern {
    fn matches(&self, path: &str) -> bool {
        let mut rest = path;
        let last = self.segments.len().saturating_sub(1);
        for (nth, segment) in self.segments.iter().enumerate() {
            if nth == last && self.open {
                return rest.starts_with(&**segment);
            }
            let (here, behind) = rest.split_once('/').map_or((rest, None), |(here, rest)| (here, Some(rest)));
            let fits = **segment == *here || (&**segment == "+" && !here.is_empty());
            match (fits, behind, nth == last) {
                (true, None, true) => return true,
                (true, Some(behind), false) => rest = behind,
                _ => return false,
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_in_policies() {
        for (pattern, path, fits) in [
            ("secret/data/*", "secret/data/app", true),
            ("secret/data/*", "secret/data/a/b", true),
            ("secret/data/*", "secret/datax", false),
            ("secret/data/ap*", "secret/data/app", true),
            ("secret/data/app", "secret/data/app", true),
            ("/secret/data/app", "secret/data/app", true),
            ("secret/data/app", "secret/data/app/b", false),
            ("secret/data/app", "secret/data", false),
            ("+/data/app", "kv/data/app", true),
            ("+/data/app", "/data/app", false),
            ("secret/+/app", "secret/data/app", true),
            ("*", "anything/at/all", true),
            ("+", "anything/at/all", false),
        ] {
            assert_eq!(Patterns::new(&[pattern.to_owned()]).matches(path), fits, "{pattern} {path}");
        }
    }
}
