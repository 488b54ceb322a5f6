//! Opening the file at a start: whose it is, what is in it, and what becomes of one that is of no use. Blocks.

use std::path::{Path, PathBuf};

use atomic_file::FileError;
use thiserror::Error;
use tracing::{info, warn};

use super::Disk;
use super::file::{File, FileProblem};
use super::header::{self, Home};
use super::intake::{Intake, LeftOut, Room, SecretRoom};
use super::record::{Record, Wall};
use super::seal::{DataKey, KeyMaterial, Root, Sealer};
use super::secret::StoredSecrets;
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
    /// How much may be taken in.
    pub room: Room,
    /// And of secrets of KV mounts; `None`: none of them, and what is there of them is removed.
    pub secrets: Option<SecretRoom>,
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
    pub(crate) secrets: StoredSecrets,
    pub(crate) left_out: LeftOut,
    /// How many could not be read.
    pub(crate) damaged: usize,
    /// Whether secrets of KV mounts are to be written.
    pub(crate) keeps_secrets: bool,
    pub(crate) root: Root,
}

/// Counts alone.
impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened")
            .field("records", &self.records.len())
            .field("secrets", &self.secrets.bodies.len())
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
    atomic_file::remove_stale_temporaries([path.as_path()]);
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
        return opened(path, None, &key, Found::nothing(header), settings);
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
            opened(path, None, &key, Found::nothing(header), settings)
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
#[derive(Default)]
struct Found {
    header: Vec<u8>,
    records: Vec<Record>,
    secrets: StoredSecrets,
    left_out: LeftOut,
    damaged: usize,
    /// It was there before.
    old: bool,
}

impl Found {
    fn nothing(header: Vec<u8>) -> Self {
        Self { header, ..Self::default() }
    }
}

fn new_key(settings: &DiskSettings) -> Result<(DataKey, Vec<u8>), DiskError> {
    let key = DataKey::random().ok_or(DiskError::NoKey)?;
    let header = header::make(&key, &settings.key, &settings.home).ok_or(DiskError::NoKey)?;
    Ok((key, header))
}

fn read(file: &File, settings: &DiskSettings) -> Result<(DataKey, Found), Unfit> {
    let Some(header) = file.header().map_err(Unfit::Problem)? else {
        let (key, header) = new_key(settings).map_err(|_| Unfit::NoKey)?;
        file.begin(&header).map_err(Unfit::Problem)?;
        return Ok((key, Found::nothing(header)));
    };
    let key = header::open(&header, &settings.key, &settings.home).map_err(Unfit::Misfit)?;
    let sealer = Sealer::new(&key).ok_or(Unfit::NoKey)?;
    let now = wall_now();
    let mut intake = Intake::new(&sealer, settings.room, settings.secrets, now);
    file.for_each(|kind, id, sealed| intake.show(kind, id, sealed)).map_err(Unfit::Problem)?;
    let Intake { records, secrets, left_out, damaged, stamp, .. } = intake;
    if !damaged.is_empty() {
        warn!(target: "cache.persist", records = damaged.len(), "damaged records of the cache are left out");
        file.commit(&damaged, &[]).map_err(Unfit::Problem)?;
    }
    let damaged = damaged.len();
    if now.saturating_add(CLOCK_GRAIN) < stamp {
        warn!(target: "cache.persist", records = records.len(), "the clock stands before the time when the cache was last written: nobody knows what of it is still alive, so it starts empty");
        file.begin(&header).map_err(Unfit::Problem)?;
        return Ok((key, Found { damaged, old: true, ..Found::nothing(header) }));
    }
    Ok((key, Found { header, records, secrets, left_out, damaged, old: true }))
}

fn finish(
    path: PathBuf,
    file: File,
    (key, found): (DataKey, Found),
    settings: &DiskSettings,
) -> Result<Opened, DiskError> {
    if found.old && !settings.keep_after_import {
        drop(file);
        remove_imported(&path, settings)?;
        return Ok(Opened { disk: None, ..opened(path, None, &key, found, settings)? });
    }
    opened(path, Some(file), &key, found, settings)
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
    found: Found,
    settings: &DiskSettings,
) -> Result<Opened, DiskError> {
    let Found { header, records, secrets, left_out, damaged, .. } = found;
    let sealer = Sealer::new(key).ok_or(DiskError::NoKey)?;
    let root = sealer.root();
    let disk = Some(Disk::new(path, header, sealer, file));
    let keeps_secrets = settings.secrets.is_some();
    Ok(Opened { disk, records, secrets, left_out, damaged, keeps_secrets, root })
}
