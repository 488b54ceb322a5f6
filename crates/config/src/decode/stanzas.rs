//! The keys of each stanza of a file, so that one that stands a level too high is told where it belongs.

/// What the stanzas that were read so far know, by their path. Only those that the file has.
#[derive(Debug, Default)]
pub(crate) struct Stanzas(Vec<(String, Vec<&'static str>)>);

impl Stanzas {
    /// Remembers the keys of a stanza; of several with one path, together.
    pub(crate) fn add(&mut self, path: &str, keys: &[&'static str]) {
        let Some((_, known)) = self.0.iter_mut().find(|(known, _)| known == path) else {
            return self.0.push((path.to_owned(), keys.to_vec()));
        };
        for key in keys {
            if !known.contains(key) {
                known.push(key);
            }
        }
    }

    /// The nearest stanzas inside that of `path` which know the key, as they are written: `method { … }`.
    pub(crate) fn inside(&self, path: &str, key: &str) -> Option<String> {
        let inner = |known: &str| match path {
            "" => Some(known.to_owned()).filter(|known| !known.is_empty()),
            _ => known.strip_prefix(path)?.strip_prefix('.').map(str::to_owned),
        };
        let knowing = || {
            let fit = self.0.iter().filter(|(_, keys)| keys.iter().any(|k| k.eq_ignore_ascii_case(key)));
            fit.filter_map(|(known, _)| inner(known))
        };
        let depth = |below: &String| below.matches('.').count();
        let least = knowing().map(|below| depth(&below)).min()?;
        let written = |below: String| {
            let open = below.replace('.', " { ");
            format!("`{open} {{ … }}{}`", " }".repeat(depth(&below)))
        };
        let all: Vec<String> = knowing().filter(|below| depth(below) == least).map(written).collect();
        Some(all.join(" or "))
    }
}
