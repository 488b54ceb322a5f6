//! The cache between two runs: every entry a sealed record in one file.
//!
//! What has changed is noted in the store (`store/disk.rs`), by name alone; [`Disk`] writes it in pieces, on another
//! thread, a few times a second at most. A revocation is on the disk before its answer leaves. Whatever fails here, the
//! cache goes on in memory; what cannot be read is moved aside or left out, and told without its content.

mod bytes;
mod confirm;
mod file;
mod header;
mod intake;
mod open;
mod record;
mod seal;
mod secret;
mod service_account;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{Mutex, Notify, OwnedMutexGuard};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tracing::{debug, error, info, warn};

use self::file::{File, FileProblem, Sealed};
use self::seal::Sealer;
use crate::cache::Shared;
use crate::store::disk::{Changes, Clocks, wall_now};

pub(crate) use self::confirm::{PATIENCE as SETTLE_PATIENCE, confirm};
pub use self::file::expects_panic;
pub use self::header::Home;
pub(crate) use self::intake::LeftOut;
pub use self::intake::{Room, SecretRoom};
pub use self::open::{DiskError, DiskSettings, FILE_NAME, Opened, open};
pub(crate) use self::record::{Kind, Record, StoredAnswer, StoredLife, StoredSubject, Wall};
pub use self::seal::KeyMaterial;
pub(crate) use self::seal::Root;
pub(crate) use self::secret::{SecretChanges, StoredBody, StoredReader, StoredSecrets, StoredVariant};
pub use self::service_account::service_account_key;

/// Changes are gathered this long before they are written.
const GATHER: Duration = Duration::from_millis(50);

/// Renewals are gathered for so many times [`GATHER`]: one that is lost shortens a life, no more.
const RENEWALS_GATHER: u32 = 20;

/// Pause after a failure.
const RETRY: Duration = Duration::from_secs(5);

/// A revocation's answer waits for the disk no longer than this.
const PATIENCE: Duration = Duration::from_secs(5);

/// The file, and who writes it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Disk(Arc<Inner>);

struct Inner {
    path: PathBuf,
    header: Vec<u8>,
    sealer: Sealer,
    /// `None` while it cannot be used. Whoever writes holds it, so that one writes at a time.
    file: Arc<Mutex<Option<File>>>,
    failing: AtomicBool,
    /// Nothing is written any more.
    closed: AtomicBool,
    commits: AtomicU64,
}

/// What is to be written.
#[derive(Clone, Copy, PartialEq)]
enum What {
    All,
    /// What was revoked, or is handed out no more; at once.
    Gone,
}

/// What became of it.
#[derive(Clone, Copy, PartialEq)]
enum Done {
    Nothing,
    Written,
    Failed,
}

impl Disk {
    fn new(path: PathBuf, header: Vec<u8>, sealer: Sealer, file: Option<File>) -> Self {
        let failing = AtomicBool::new(file.is_none());
        let file = Arc::new(Mutex::new(file));
        let (closed, commits) = (AtomicBool::new(false), AtomicU64::new(0));
        Self(Arc::new(Inner { path, header, sealer, file, failing, closed, commits }))
    }

    /// How often something was written.
    #[cfg(test)]
    pub(crate) fn commits(&self) -> u64 {
        self.0.commits.load(Relaxed)
    }

    /// Writes changes as they come. Never ends.
    pub(crate) async fn run(&self, shared: Arc<Shared>, news: Arc<Notify>) {
        loop {
            news.notified().await;
            for _ in 0..RENEWALS_GATHER {
                sleep(GATHER).await;
                if shared.store().has_urgent_changes() || shared.kv().is_some_and(|kv| kv.has_gone()) {
                    break;
                }
            }
            loop {
                match self.flush(&shared, What::All).await {
                    Done::Nothing => break,
                    // There may be more, and more may come.
                    Done::Written => sleep(GATHER).await,
                    Done::Failed => sleep(RETRY).await,
                }
            }
        }
    }

    /// Writes all that waits.
    pub(crate) async fn write_all(&self, shared: &Arc<Shared>) {
        while self.flush(shared, What::All).await == Done::Written {}
    }

    /// The same at the end, and lets go of the file: another cache may take it over.
    pub(crate) async fn finish(&self, shared: &Arc<Shared>) {
        if let Some(kv) = shared.kv() {
            kv.note_times();
        }
        self.write_all(shared).await;
        let mut file = Arc::clone(&self.0.file).lock_owned().await;
        self.0.closed.store(true, Relaxed);
        // It closes with a write.
        let _ = spawn_blocking(move || *file = None).await;
    }

    /// Returns when nothing that was forgotten before lies on the disk any more.
    pub(crate) async fn settle(&self, shared: &Arc<Shared>) {
        // Nothing waits, and nothing is being written: this is asked after every write.
        let nothing_waits = !shared.store().has_gone() && !shared.kv().is_some_and(|kv| kv.has_gone());
        if nothing_waits && self.0.file.try_lock().is_ok() {
            return;
        }
        if timeout(PATIENCE, self.flush(shared, What::Gone)).await.is_err() {
            error!(target: "cache.persist", path = %self.0.path.display(), "the disk does not answer; what was revoked may be remembered after a crash");
        }
    }

    /// May be left at any time: what was begun is done.
    async fn flush(&self, shared: &Arc<Shared>, what: What) -> Done {
        let file = Arc::clone(&self.0.file).lock_owned().await;
        if self.0.closed.load(Relaxed) {
            return Done::Nothing;
        }
        let (only_gone, clocks) = (what == What::Gone, Clocks::read(&shared.clock));
        let changes = shared.store().take_changes(only_gone, clocks);
        let secrets = shared.kv().map(|kv| kv.take_changes(only_gone, clocks)).unwrap_or_default();
        if changes.is_empty() && secrets.is_empty() {
            return Done::Nothing;
        }
        let (inner, shared) = (Arc::clone(&self.0), Arc::clone(shared));
        // Only a panic or the runtime's end stops it.
        spawn_blocking(move || inner.write(file, changes, secrets, what, &shared))
            .await
            .unwrap_or(Done::Failed)
    }
}

impl Inner {
    fn write(
        &self,
        mut file: OwnedMutexGuard<Option<File>>,
        changes: Changes,
        secrets: SecretChanges,
        what: What,
        shared: &Shared,
    ) -> Done {
        let nothing_is_written = || {
            shared.store().nothing_is_written();
            shared.kv().inspect(|kv| kv.nothing_is_written());
        };
        match self.try_to_write(&mut file, &changes, &secrets) {
            Ok(is_new) => {
                if is_new {
                    nothing_is_written();
                }
                self.commits.fetch_add(1, Relaxed);
                if self.failing.swap(false, Relaxed) {
                    info!(target: "cache.persist", path = %self.path.display(), "the cache is written to disk again");
                }
                debug!(target: "cache.persist", written = changes.records.len() + secrets.len(), removed = changes.gone.len() + secrets.gone.len(), "written");
                Done::Written
            }
            Err(problem) => {
                if !self.failing.swap(true, Relaxed) {
                    warn!(target: "cache.persist", path = %self.path.display(), error = %problem, "the cache cannot be written to disk; it goes on in memory, and this is tried again");
                }
                // What was revoked must not come back: rather nothing does.
                if what == What::Gone {
                    *file = None;
                    match atomic_file::remove(&self.path) {
                        Ok(()) => {
                            warn!(target: "cache.persist", path = %self.path.display(), "removed, because a revocation could not be written to it");
                            nothing_is_written();
                            return Done::Failed;
                        }
                        Err(error) if error.is_missing() => {
                            nothing_is_written();
                            return Done::Failed;
                        }
                        Err(error) => {
                            error!(target: "cache.persist", error = %error, "what was revoked may be remembered after a restart: the file can neither be written nor removed");
                        }
                    }
                }
                shared.store().put_back(changes);
                shared.kv().inspect(|kv| kv.put_back(secrets));
                Done::Failed
            }
        }
    }

    /// Returns whether the file is a new one, which lacks what was written before.
    fn try_to_write(
        &self,
        file: &mut Option<File>,
        changes: &Changes,
        secrets: &SecretChanges,
    ) -> Result<bool, FileProblem> {
        let gone = changes.gone.iter().chain(&secrets.gone);
        let removed: Vec<(u8, u64)> = gone.map(|(kind, id)| (*kind as u8, *id)).collect();
        let mut written = Vec::with_capacity(changes.records.len() + secrets.len() + 1);
        for (kind, id, plain) in secrets.encoded() {
            written.push(self.sealed(kind, id, plain)?);
        }
        for record in &changes.records {
            written.push(self.sealed(record.kind(), record.id, record.encode())?);
        }
        written.push(self.sealed(Kind::Stamp, 0, wall_now().to_le_bytes().to_vec())?);
        // After an error the database wants to be opened anew.
        if let Some(open) = file {
            match open.commit(&removed, &written) {
                Ok(()) if self.is_in_place() => return Ok(false),
                Ok(()) => {}
                Err(problem) => debug!(target: "cache.persist", error = %problem, "opening the file anew"),
            }
            *file = None;
        }
        let (open, is_new) = self.open_again()?;
        open.commit(&removed, &written)?;
        *file = Some(open);
        Ok(is_new)
    }

    /// Somebody may have removed the file under us: what is written then helps nobody.
    fn is_in_place(&self) -> bool {
        self.path.exists()
    }

    fn open_again(&self) -> Result<(File, bool), FileProblem> {
        let open = match File::open(&self.path) {
            Ok(open) => open,
            Err(FileProblem::Damaged(_)) => {
                atomic_file::move_aside(&self.path)?;
                File::open(&self.path)?
            }
            Err(problem) => return Err(problem),
        };
        // Of a file that was removed, or could not be read at the start, nothing is of use.
        let is_new = open.header().ok().flatten().as_deref() != Some(&self.header);
        if is_new {
            open.begin(&self.header)?;
        }
        Ok((open, is_new))
    }

    fn sealed(&self, kind: Kind, id: u64, plain: Vec<u8>) -> Result<Sealed, FileProblem> {
        let bytes = self.sealer.seal(kind, id, plain);
        let bytes = bytes.ok_or_else(|| FileProblem::Unavailable("a record cannot be sealed".to_owned()))?;
        Ok(Sealed { kind: kind as u8, id, bytes })
    }
}
