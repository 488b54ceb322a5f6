//! The database file: sealed records by kind and number, and a header. Everything here blocks.
//!
//! The database checks its pages only after a crash, and may panic over a damaged one: that is caught here, and means
//! a damaged file. Records are checked one by one when they are opened.

use std::cell::Cell;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use atomic_file::FileError;
use redb::backends::FileBackend;
use redb::{Builder, Database, ReadableDatabase as _, TableDefinition};
use rustix::fs::{MemfdFlags, memfd_create};
use thiserror::Error;

/// Its own cache is 1 GiB unless it is told otherwise; the file is read once and then only written.
const CACHE_SIZE: usize = 512 * 1024;

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const RECORDS: TableDefinition<'_, (u8, u64), &[u8]> = TableDefinition::new("records");
const HEADER: &str = "header";

/// Why the file is of no use now.
#[derive(Debug, Error)]
pub(super) enum FileProblem {
    /// Of the path, before the database is asked.
    #[error(transparent)]
    Path(#[from] FileError),
    #[error("it is in use by another process")]
    Locked,
    #[error("it is damaged, or no cache file ({0})")]
    Damaged(String),
    /// Full disk, read-only file system, …
    #[error("{0}")]
    Unavailable(String),
}

impl FileProblem {
    fn of(error: redb::Error) -> Self {
        use std::io::ErrorKind::{InvalidData, UnexpectedEof};
        match error {
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => Self::Locked,
            redb::Error::Io(error) if matches!(error.kind(), InvalidData | UnexpectedEof) => {
                Self::Damaged(error.to_string())
            }
            redb::Error::Io(_) | redb::Error::PreviousIo | redb::Error::DatabaseClosed => {
                Self::Unavailable(error.to_string())
            }
            // The rest speaks of pages, tables and versions.
            other => Self::Damaged(kind_of(&other).to_owned()),
        }
    }
}

/// The database's own words may hold what stands in the file.
fn kind_of(error: &redb::Error) -> &'static str {
    match error {
        redb::Error::UpgradeRequired(_) => "another version of the database",
        redb::Error::TableTypeMismatch { .. } | redb::Error::TypeDefinitionChanged { .. } => "another layout",
        _ => "a page is broken",
    }
}

/// One record, sealed.
pub(super) struct Sealed {
    pub(super) kind: u8,
    pub(super) id: u64,
    pub(super) bytes: Vec<u8>,
}

/// An open file. Held by one process at a time.
pub(super) struct File(Option<Database>);

impl File {
    /// Opens the file, or makes it.
    pub(super) fn open(path: &Path) -> Result<Self, FileProblem> {
        if matches!(path.try_exists(), Ok(false)) {
            // Whole, or not at all: the database would need several steps, and one that was killed between them would
            // leave a file that is none. Where it cannot be made so, the next lines try, and say why not.
            let _ = guarded(empty).map(|empty| atomic_file::create(path, &empty, 0o600));
        }
        let file = atomic_file::open_private(path)?;
        let opened = guarded(|| {
            let backend = FileBackend::new(file)?;
            Ok(Builder::new().set_cache_size(CACHE_SIZE).create_with_backend(backend)?)
        });
        opened.map(|database| Self(Some(database)))
    }

    fn database(&self) -> Result<&Database, FileProblem> {
        self.0.as_ref().ok_or_else(|| FileProblem::Unavailable("it is closed".to_owned()))
    }

    /// `None` in a file that was just made.
    pub(super) fn header(&self) -> Result<Option<Vec<u8>>, FileProblem> {
        let database = self.database()?;
        guarded(|| {
            let reading = database.begin_read()?;
            let table = match reading.open_table(META) {
                Ok(table) => table,
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            Ok(table.get(HEADER)?.map(|header| header.value().to_vec()))
        })
    }

    /// Begins anew: this header, and no records.
    pub(super) fn begin(&self, header: &[u8]) -> Result<(), FileProblem> {
        let database = self.database()?;
        guarded(|| {
            let writing = database.begin_write()?;
            writing.delete_table(RECORDS)?;
            writing.open_table(RECORDS)?;
            writing.open_table(META)?.insert(HEADER, header)?;
            Ok(writing.commit()?)
        })
    }

    /// Shows every record, by kind and number.
    pub(super) fn for_each(&self, mut show: impl FnMut(u8, u64, &[u8])) -> Result<(), FileProblem> {
        let database = self.database()?;
        guarded(|| {
            let reading = database.begin_read()?;
            let table = reading.open_table(RECORDS)?;
            for entry in table.range::<(u8, u64)>(..)? {
                let (place, value) = entry?;
                let (kind, id) = place.value();
                show(kind, id, value.value());
            }
            Ok(())
        })
    }

    /// Removes and writes in one piece. When it returns, it is on the disk.
    pub(super) fn commit(&self, removed: &[(u8, u64)], written: &[Sealed]) -> Result<(), FileProblem> {
        let database = self.database()?;
        guarded(|| {
            let writing = database.begin_write()?;
            {
                let mut table = writing.open_table(RECORDS)?;
                for place in removed {
                    table.remove(place)?;
                }
                for record in written {
                    table.insert((record.kind, record.id), record.bytes.as_slice())?;
                }
            }
            Ok(writing.commit()?)
        })
    }
}

/// It writes at the end of its life, and may fail there as anywhere.
impl Drop for File {
    fn drop(&mut self) {
        let database = self.0.take();
        let _ = guarded(move || {
            drop(database);
            Ok(())
        });
    }
}

/// The bytes of a database that holds nothing.
fn empty() -> Result<Vec<u8>, redb::Error> {
    let memory = memfd_create("cache", MemfdFlags::CLOEXEC).map_err(std::io::Error::from)?;
    let mut file = std::fs::File::from(memory);
    let backend = FileBackend::new(file.try_clone()?)?;
    drop(Builder::new().set_cache_size(CACHE_SIZE).create_with_backend(backend)?);
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread would only mean that the file is damaged, which is told otherwise: for the program's
/// panic hook.
pub fn expects_panic() -> bool {
    GUARDED.get()
}

fn guarded<T>(work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, FileProblem> {
    let before = GUARDED.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(before);
    match done {
        Ok(done) => done.map_err(FileProblem::of),
        Err(_) => Err(FileProblem::Damaged("the database could not make sense of it".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_committed_is_there_again_and_one_process_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let file = File::open(&path).unwrap();
        assert_eq!(file.header().unwrap(), None);
        file.begin(b"header").unwrap();
        let record = |id, bytes: &[u8]| Sealed { kind: 2, id, bytes: bytes.to_vec() };
        file.commit(&[], &[record(1, b"one"), record(2, b"two")]).unwrap();
        file.commit(&[(2, 1), (2, 77)], &[record(2, b"new")]).unwrap();
        assert!(matches!(File::open(&path), Err(FileProblem::Locked)));
        drop(file);
        let file = File::open(&path).unwrap();
        assert_eq!(file.header().unwrap().as_deref(), Some(&b"header"[..]));
        let mut found = Vec::new();
        file.for_each(|kind, id, bytes| found.push((kind, id, bytes.to_vec()))).unwrap();
        assert_eq!(found, [(2, 2, b"new".to_vec())]);
    }

    /// It has its name only when nothing is missing; a kill on the way leaves a temporary file at most.
    #[test]
    fn it_is_made_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        atomic_file::create(&path, &empty().unwrap(), 0o600).unwrap();
        let made = std::fs::read(&path).unwrap();
        assert_eq!(&made[..4], b"redb");
        drop(File::open(&path).unwrap());
        atomic_file::remove(&path).unwrap();
        drop(File::open(&path).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        // A link that leads nowhere is not followed.
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path().join("nowhere"), &link).unwrap();
        assert!(matches!(File::open(&link), Err(FileProblem::Path(FileError::Link(_)))));
    }

    #[test]
    fn a_panic_of_the_database_is_expected_and_no_other() {
        assert!(!expects_panic());
        let damaged = guarded(|| -> Result<(), redb::Error> {
            assert!(!expects_panic(), "it is expected");
            Ok(())
        });
        assert!(matches!(damaged, Err(FileProblem::Damaged(_))));
        assert!(!expects_panic());
    }

    #[test]
    fn what_is_no_database_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        for junk in [&b"junk"[..], &[0; 100_000], b"redb\x1A\x0A\xA9\x0D\x0A and nothing else"] {
            atomic_file::write(&path, junk, &atomic_file::Attributes::new(0o600)).unwrap();
            assert!(matches!(File::open(&path), Err(FileProblem::Damaged(_))), "{}", junk.len());
        }
    }

    /// A record that is written again and again takes no more room.
    #[test]
    fn the_file_does_not_grow_with_renewals() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let file = File::open(&path).unwrap();
        file.begin(b"header").unwrap();
        let write = |round: u8| {
            for id in 0..20 {
                file.commit(&[], &[Sealed { kind: 2, id, bytes: vec![round; 1500] }]).unwrap();
            }
        };
        write(0);
        write(1);
        let before = std::fs::metadata(&path).unwrap().len();
        (2..12).for_each(write);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), before);
    }
}
