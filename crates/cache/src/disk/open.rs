//! Opening the file at a start: whose it is, what is in it, and what becomes of one that is of no use. Blocks.

use std::path::{Path, PathBuf};

use atomic_file::FileError;
use thiserror::Error;
use tracing::{info, warn};

use super::Disk;
use super::file::{File, FileProblem};
use super::header::{self, Home};
use super::record::{Kind, Record, Wall};
use super::seal::{DataKey, KeyMaterial, Root, Sealer};
use crate::store::disk::wall_now;

/// The file's name in its folder. Upstream's file (`vault-agent-cache.db`) is another one and stays untouched.
pub const FILE_NAME: &str = "sidekey-cache.db";

/// A wall clock that is this much behind the last write (milliseconds) went backwards.
const CLOCK_GRAIN: Wall = 1000;

/// What is needed to open it.
#[derive(Debug)]
pub struct DiskSettings {
    /// Where the file lies.
    pub folder: PathBuf,
    /// What seals it.
    pub key: KeyMaterial,
    /// Where it belongs.
    pub home: Home,
    /// Whether a file that was taken in stays in use; otherwise it is removed, and nothing is written in this run.
    pub keep_after_import: bool,
    /// Whether what cannot be taken in is a reason not to start.
    pub strict: bool,
}

/// Why there is no start.
#[derive(Debug, Error)]
pub enum DiskError {
    /// Of the folder or the file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Two processes with one file would each forget what the other remembers.
    #[error("{0} is in use by another process: give each its own path")]
    Locked(PathBuf),
    /// With `exit_on_err`.
    #[error("exiting with error as exit_on_err is set to true: {path}: {why}")]
    Strict {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The system's randomness, or the crypto.
    #[error("no key can be made")]
    NoKey,
}

/// An opened file, and what was in it.
pub struct Opened {
    pub(crate) disk: Option<Disk>,
    pub(crate) records: Vec<Record>,
    /// How many could not be read.
    pub(crate) damaged: usize,
    pub(crate) root: Root,
}

/// Counts alone.
impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened")
            .field("records", &self.records.len())
            .field("damaged", &self.damaged)
            .finish_non_exhaustive()
    }
}

/// Opens the file of this folder, or makes both. What is of no use is moved aside.
///
/// # Errors
/// [`DiskError`]: what only a person can put right, and anything at all where the settings are strict.
pub fn open(settings: &DiskSettings) -> Result<Opened, DiskError> {
    if !settings.folder.is_dir() {
        atomic_file::create_folders_as(&settings.folder, 0o700)?;
    }
    let path = settings.folder.join(FILE_NAME);
    if let Some(danger) = atomic_file::endangered(&path) {
        warn!(target: "cache.persist", path = %path.display(), "{danger}");
    }
    let strict = |why: &dyn std::fmt::Display| match settings.strict {
        true => Err(DiskError::Strict { path: path.clone(), why: why.to_string() }),
        false => Ok(()),
    };
    let problem = match File::open(&path) {
        Ok(file) => match read(&file, settings) {
            Ok(found) => return finish(path, file, found, settings),
            Err(problem) => problem,
        },
        Err(FileProblem::Locked) => return Err(DiskError::Locked(path)),
        Err(FileProblem::Path(error)) if !matches!(error, FileError::Io { .. }) => return Err(error.into()),
        Err(problem) => Unfit::Problem(problem),
    };
    strict(&problem)?;
    if let Unfit::Problem(problem @ (FileProblem::Unavailable(_) | FileProblem::Path(_))) = &problem {
        warn!(target: "cache.persist", path = %path.display(), error = %problem, "the cache cannot be kept on disk; it goes on in memory, and this is tried again");
        let (key, header) = new_key(settings)?;
        return opened(path, None, &key, header, Vec::new());
    }
    let aside = atomic_file::move_aside(&path)?;
    warn!(target: "cache.persist", path = %path.display(), moved_to = %aside.display(), "the cache on disk is of no use: {problem}; starting with an empty one");
    let found = File::open(&path).map_err(Unfit::Problem).and_then(|file| Ok((read(&file, settings)?, file)));
    match found {
        Ok((found, file)) => finish(path, file, found, settings),
        Err(problem) => {
            strict(&problem)?;
            warn!(target: "cache.persist", path = %path.display(), error = %problem, "the cache cannot be kept on disk; it goes on in memory, and this is tried again");
            let (key, header) = new_key(settings)?;
            opened(path, None, &key, header, Vec::new())
        }
    }
}

/// Why a file is not taken in.
enum Unfit {
    Problem(FileProblem),
    Misfit(header::Misfit),
    NoKey,
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Problem(problem) => problem.fmt(f),
            Self::Misfit(misfit) => misfit.fmt(f),
            Self::NoKey => f.write_str("no key can be made"),
        }
    }
}

/// What a file held.
struct Found {
    key: DataKey,
    header: Vec<u8>,
    records: Vec<Record>,
    damaged: usize,
    /// It was there before.
    old: bool,
}

fn new_key(settings: &DiskSettings) -> Result<(DataKey, Vec<u8>), DiskError> {
    let key = DataKey::random().ok_or(DiskError::NoKey)?;
    let header = header::make(&key, &settings.key, &settings.home).ok_or(DiskError::NoKey)?;
    Ok((key, header))
}

fn read(file: &File, settings: &DiskSettings) -> Result<Found, Unfit> {
    let Some(header) = file.header().map_err(Unfit::Problem)? else {
        let (key, header) = new_key(settings).map_err(|_| Unfit::NoKey)?;
        file.begin(&header).map_err(Unfit::Problem)?;
        return Ok(Found { key, header, records: Vec::new(), damaged: 0, old: false });
    };
    let key = header::open(&header, &settings.key, &settings.home).map_err(Unfit::Misfit)?;
    let sealer = Sealer::new(&key).ok_or(Unfit::NoKey)?;
    let (mut records, mut damaged, mut stamp) = (Vec::new(), Vec::new(), 0);
    let read = file.for_each(|kind, id, sealed| {
        let opened = Kind::of(kind).and_then(|kind| Some((kind, sealer.open(kind, id, sealed)?)));
        match opened {
            Some((Kind::Stamp, bytes)) => {
                stamp = bytes.first_chunk().map_or(0, |bytes| Wall::from_le_bytes(*bytes));
            }
            // Of another part of the cache, which is not in this version.
            Some((Kind::Body, _)) => {}
            Some((kind, bytes)) => match Record::decode(kind, id, &bytes) {
                Some(record) => records.push(record),
                None => damaged.push((kind as u8, id)),
            },
            None => damaged.push((kind, id)),
        }
    });
    read.map_err(Unfit::Problem)?;
    if !damaged.is_empty() {
        warn!(target: "cache.persist", records = damaged.len(), "damaged records of the cache are left out");
        file.commit(&damaged, &[]).map_err(Unfit::Problem)?;
    }
    if wall_now().saturating_add(CLOCK_GRAIN) < stamp {
        warn!(target: "cache.persist", records = records.len(), "the clock stands before the time when the cache was last written: nobody knows what of it is still alive, so it starts empty");
        records = Vec::new();
        file.begin(&header).map_err(Unfit::Problem)?;
    }
    Ok(Found { key, header, records, damaged: damaged.len(), old: true })
}

fn finish(path: PathBuf, file: File, found: Found, settings: &DiskSettings) -> Result<Opened, DiskError> {
    let Found { key, header, records, damaged, old } = found;
    if old && !settings.keep_after_import {
        drop(file);
        remove_imported(&path, settings)?;
        return Ok(Opened { disk: None, damaged, ..opened(path, None, &key, header, records)? });
    }
    Ok(Opened { damaged, ..opened(path, Some(file), &key, header, records)? })
}

fn remove_imported(path: &Path, settings: &DiskSettings) -> Result<(), DiskError> {
    match atomic_file::remove(path) {
        Ok(()) => {
            info!(target: "cache.persist", path = %path.display(), "taken in and removed; nothing more is written (keep_after_import = false)");
            Ok(())
        }
        Err(error) if settings.strict => {
            Err(DiskError::Strict { path: path.to_owned(), why: error.to_string() })
        }
        Err(error) => {
            warn!(target: "cache.persist", error = %error, "taken in, and not removed");
            Ok(())
        }
    }
}

fn opened(
    path: PathBuf,
    file: Option<File>,
    key: &DataKey,
    header: Vec<u8>,
    records: Vec<Record>,
) -> Result<Opened, DiskError> {
    let sealer = Sealer::new(key).ok_or(DiskError::NoKey)?;
    let root = sealer.root();
    let disk = Some(Disk::new(path, header, sealer, file));
    Ok(Opened { disk, records, damaged: 0, root })
}
