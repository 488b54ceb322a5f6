//! Which names in which folders decide what a path leads to.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

/// As many links as the kernel follows.
const MAX_LINKS: usize = 40;

/// A name in a folder.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Place {
    pub(super) folder: PathBuf,
    pub(super) name: OsString,
}

/// The file's own place and that of every link on the way to it: Kubernetes and deployment tools replace a link to a
/// folder further up. Where the way ends early, the place where it would go on.
pub(super) fn of(file: &Path) -> Vec<Place> {
    let Ok(file) = std::path::absolute(file) else { return Vec::new() };
    let mut places = Vec::new();
    let mut links = 0;
    let mut here = PathBuf::from("/");
    let mut rest: VecDeque<OsString> = names(&file).into();
    while let Some(name) = rest.pop_front() {
        if name == ".." {
            here.pop();
            continue;
        }
        let at = here.join(&name);
        let target = std::fs::read_link(&at).ok();
        let goes_on = target.is_none() && at.is_dir() && !rest.is_empty();
        if goes_on {
            here = at;
            continue;
        }
        places.push(Place { folder: here.clone(), name });
        links += 1;
        let Some(target) = target.filter(|_| links <= MAX_LINKS) else { break };
        if target.is_absolute() {
            here = PathBuf::from("/");
        }
        for name in names(&target).into_iter().rev() {
            rest.push_front(name);
        }
    }
    places
}

fn names(path: &Path) -> Vec<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name),
        Component::ParentDir => Some(OsStr::new("..")),
        _ => None,
    });
    names.map(OsStr::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_link_on_the_way_counts() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let place = |folder: &str, name: &str| Place { folder: root.join(folder), name: name.into() };
        atomic_file::create_folders(&root.join("sa/..1")).unwrap();
        let write = |name: &str| {
            atomic_file::write(&root.join(name), b"x", &atomic_file::Attributes::new(0o600)).unwrap();
        };
        write("sa/..1/token");
        symlink("..1", root.join("sa/..data")).unwrap();
        symlink("..data/token", root.join("sa/token")).unwrap();
        assert_eq!(
            of(&root.join("sa/token")),
            [place("sa", "token"), place("sa", "..data"), place("sa/..1", "token")]
        );

        symlink(root.join("sa/../sa"), root.join("current")).unwrap();
        let places = of(&root.join("current/token"));
        assert_eq!(places[0], Place { folder: root.clone(), name: "current".into() });
        assert_eq!(places[1..], of(&root.join("sa/token")));

        assert_eq!(of(&root.join("sa/no/more/x")), [place("sa", "no")]);
        assert_eq!(of(&root.join("sa/..1/token/x")), [place("sa/..1", "token")]);
        symlink("loop", root.join("loop")).unwrap();
        assert_eq!(of(&root.join("loop")).len(), MAX_LINKS + 1);
    }
}
