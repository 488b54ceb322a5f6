//! What lies where: told by the server, or by the configuration.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;
use vault::Namespace;

use super::meaning::Meaning;
use super::reading::Engine;

/// More mounts than this are not known at a time.
const MOST: usize = 1024;
/// A mount may be removed, and another put in its place, where we do not see it.
const KNOWN_FOR: Duration = Duration::from_secs(600);
/// Where nobody would tell, is asked again then.
const UNKNOWN_FOR: Duration = Duration::from_secs(60);

struct Mount {
    /// `None`: nobody would tell what lies at this path.
    engine: Option<Engine>,
    until: Instant,
}

/// All that are known.
pub(crate) struct Mounts {
    /// What all are, where somebody said so.
    fixed: Option<Engine>,
    known: HashMap<Box<str>, Mount>,
}

impl Mounts {
    pub(crate) fn new(fixed: Option<Engine>) -> Self {
        Self { fixed, known: HashMap::new() }
    }

    /// Where the mount ends in a path, and what it is. `None`: not known.
    pub(crate) fn find(&self, place: &str, now: Instant) -> Option<(usize, Engine)> {
        if let Some(engine) = self.fixed {
            return Some(fixed_mount(place, engine));
        }
        if self.known.get(place).is_some_and(|known| now < known.until && known.engine.is_none()) {
            return Some((place.len(), Engine::Other));
        }
        place.match_indices('/').find_map(|(at, _)| {
            let known = self.known.get(&place[..=at]).filter(|known| now < known.until)?;
            Some((at + 1, known.engine?))
        })
    }

    /// Where the metadata of a secret with versions stand, as its namespace names them.
    pub(crate) fn metadata_path(&self, meaning: &Meaning, now: Instant) -> Option<String> {
        let (end, engine) = self.find(&meaning.key.place, now)?;
        let rest = meaning.key.place.get(end..)?.strip_prefix("data/").filter(|_| engine == Engine::V2)?;
        let mount = meaning.path.strip_suffix(rest)?.strip_suffix("data/")?;
        Some(format!("{mount}metadata/{rest}"))
    }

    /// What lies at a path of a namespace was told, or not (`None`).
    pub(crate) fn learn(&mut self, meaning: &Meaning, found: Option<(String, Engine)>, now: Instant) {
        if self.known.len() >= MOST {
            self.known.clear();
        }
        let namespace = meaning.namespace.as_ref().map_or("", Namespace::as_str);
        let found = found.map(|(path, engine)| (format!("/v1/{namespace}{path}"), engine));
        let (path, mount) = match found {
            Some((path, engine)) if meaning.key.place.starts_with(&path) => {
                (path, Mount { engine: Some(engine), until: now + KNOWN_FOR })
            }
            // A namespace in the path, which a server answers for in its own words.
            _ => (meaning.key.place.to_string(), Mount { engine: None, until: now + UNKNOWN_FOR }),
        };
        self.known.insert(path.into(), mount);
    }

    pub(crate) fn sweep(&mut self, now: Instant) {
        self.known.retain(|_, known| now < known.until);
    }

    pub(crate) fn clear(&mut self) {
        self.known.clear();
    }
}

/// Where the mount ends when somebody said what it is.
fn fixed_mount(place: &str, engine: Engine) -> (usize, Engine) {
    const FRONT: usize = "/v1/".len();
    let first = ["/data/", "/metadata/", "/subkeys/"].iter().filter_map(|verb| place.find(verb)).min();
    match (engine, first) {
        (Engine::V2, Some(at)) => (at + 1, Engine::V2),
        (Engine::V2, None) => (place.len(), Engine::Other),
        (engine, _) => (FRONT.min(place.len()), engine),
    }
}
