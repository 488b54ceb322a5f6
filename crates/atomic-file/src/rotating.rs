//! A log file that is put aside when it is full or old, as the agents that this program replaces do it.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::FileError;
use crate::lines::open_to_add;

/// Mode of a new log file, as upstream's.
const MODE: u32 = 0o640;

/// When a file is put aside, and how many of those are kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rotation {
    /// Before a line, once it is so long; 0: whatever its length.
    pub bytes: u64,
    /// Before a line, once it has been open so long.
    pub age: Duration,
    /// How many are kept beside the one that is written to; 0: all, below: none.
    pub keep: i64,
}

/// A log file. Cheap to clone; all clones write to the same file.
#[derive(Clone)]
pub struct RotatingFile(Arc<Mutex<Inner>>);

struct Inner {
    path: PathBuf,
    rotation: Rotation,
    file: File,
    opened: SystemTime,
    written: u64,
}

impl RotatingFile {
    /// Opens it to add to it, or makes it; old ones that are too many go.
    ///
    /// # Errors
    /// Of the system.
    pub fn open(path: &Path, rotation: Rotation) -> Result<Self, FileError> {
        let file = open_to_add(path, MODE)?;
        let written = length_of(&file);
        let inner = Inner { path: path.to_owned(), rotation, file, opened: SystemTime::now(), written };
        inner.prune();
        Ok(Self(Arc::new(Mutex::new(inner))))
    }

    /// Opens what lies at its path now: somebody else may have put it aside.
    ///
    /// # Errors
    /// Of the system; the old file stays in use.
    pub fn reopen(&self) -> Result<(), FileError> {
        self.lock().open_again()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for RotatingFile {
    /// A line, whole or not at all as far as the system allows.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut inner = self.lock();
        if inner.is_due() {
            inner.rotate();
        }
        inner.file.write_all(line)?;
        inner.written = inner.written.saturating_add(line.len() as u64);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Inner {
    fn is_due(&self) -> bool {
        let full = self.rotation.bytes > 0 && self.written >= self.rotation.bytes;
        full || self.opened.elapsed().is_ok_and(|age| age >= self.rotation.age)
    }

    /// What cannot be put aside is written to further, and this is tried again when it is due again.
    fn rotate(&mut self) {
        (self.opened, self.written) = (SystemTime::now(), 0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let (before, after) = self.aside();
        let aside = self.path.with_file_name(format!("{before}{now}{after}"));
        if rustix::fs::rename(&self.path, aside).is_ok() && self.open_again().is_ok() {
            self.prune();
        }
    }

    fn open_again(&mut self) -> Result<(), FileError> {
        self.file = open_to_add(&self.path, MODE)?;
        (self.opened, self.written) = (SystemTime::now(), length_of(&self.file));
        Ok(())
    }

    /// What stands before and behind the time in the names of those that were put aside.
    fn aside(&self) -> (String, String) {
        let part = |part: Option<&std::ffi::OsStr>| {
            part.map(|part| part.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let after = self.path.extension().map_or_else(|| "log".to_owned(), |_| part(self.path.extension()));
        (format!("{}-", part(self.path.file_stem())), format!(".{after}"))
    }

    /// Removes the oldest of those that are too many.
    fn prune(&self) {
        let Ok(most) = usize::try_from(self.rotation.keep.max(0)) else { return };
        if self.rotation.keep == 0 {
            return;
        }
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let Ok(entries) = std::fs::read_dir(folder.unwrap_or_else(|| Path::new("."))) else { return };
        let (before, after) = self.aside();
        let time = |name: &str| {
            let digits = name.strip_prefix(&before)?.strip_suffix(&after)?;
            digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse::<u128>().ok())?
        };
        let mut old: Vec<(u128, PathBuf)> = entries
            .filter_map(Result::ok)
            .filter_map(|entry| Some((time(entry.file_name().to_str()?)?, entry.path())))
            .collect();
        old.sort_unstable();
        let too_many = old.len().saturating_sub(most);
        for (_, path) in old.into_iter().take(too_many) {
            // Whoever cannot be removed now may be the next time.
            let _ = crate::remove(&path);
        }
    }
}

/// What is in it already counts: restarts and reloads would let it grow for ever.
fn length_of(file: &File) -> u64 {
    file.metadata().map_or(0, |found| found.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: Duration = Duration::from_secs(86_400);

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_full_file_is_put_aside_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.log");
        for other in ["agent-1.log", "agent-2.log", "agent-old.log", "agent-3.txt"] {
            drop(open_to_add(&folder.path().join(other), MODE).unwrap());
        }
        let rotation = Rotation { bytes: 10, age: NEVER, keep: 2 };
        // Opened anew again and again, as restarts do.
        for line in ["one\n", "two\n", "three\n", "four\n"] {
            let mut log = RotatingFile::open(&path, rotation).unwrap();
            log.reopen().unwrap();
            log.write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "four\n");
        let names = names(folder.path());
        assert_eq!(names.len(), 5, "{names:?}");
        for kept in ["agent-2.log", "agent-old.log", "agent-3.txt", "agent.log"] {
            assert!(names.iter().any(|name| name == kept), "{kept}: {names:?}");
        }
        let aside = names.iter().find(|name| name.len() > 20).unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join(aside)).unwrap(), "one\ntwo\nthree\n");
    }

    #[test]
    fn one_without_an_ending_gets_one_aside_and_none_is_kept_below_zero() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plain");
        let log = |keep| {
            let rotation = Rotation { bytes: 1, age: NEVER, keep };
            let mut log = RotatingFile::open(&path, rotation).unwrap();
            log.write_all(b"a\n").unwrap();
            log.write_all(b"b\n").unwrap();
            names(folder.path())
        };
        let all = log(0);
        assert!(all.len() == 2 && all[1].starts_with("plain-") && all[1].ends_with(".log"), "{all:?}");
        assert_eq!(log(-1), ["plain"]);
    }

    #[test]
    fn age_counts_and_what_was_moved_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let mut log = RotatingFile::open(&path, Rotation { bytes: 0, age: Duration::ZERO, keep: 0 }).unwrap();
        log.write_all(b"x\n").unwrap();
        assert_eq!(names(folder.path()).len(), 2);
        log.lock().rotation.age = NEVER;
        rustix::fs::rename(&path, folder.path().join("moved")).unwrap();
        log.reopen().unwrap();
        log.write_all(b"y\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "y\n");
    }
}
