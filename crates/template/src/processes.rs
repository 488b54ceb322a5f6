//! What every program that we start has in common, a template's `command` and what `plugin` names: which variables
//! it does not see, and that it ends with us.
//!
//! Each is the first of a process group of its own, so that the programs it starts can be ended with it.

use std::collections::HashSet;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process_group, prlimit};

/// Variables that no program gets: our tokens, and the socket of our service manager.
const SECRET: &[&str] = &["VAULT_TOKEN", "BAO_TOKEN", "NOTIFY_SOCKET"];

/// Sets what holds for all.
pub(crate) fn prepare(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;

    for name in SECRET {
        command.env_remove(name);
    }
    command.process_group(0).stdin(Stdio::null());
}

/// How many files the programs that we start may have open without asking for more (the soft limit); 0: as many as we.
/// A limit is the process's, and so is this.
static OPEN_FILES: AtomicU64 = AtomicU64::new(0);

/// Sets the soft limit of open files of every program that is started from now on, whatever ours is. Whoever raises ours
/// says here what it was before: programs that wait with `select` break with files beyond 1024.
pub fn programs_may_open(files: u64) {
    OPEN_FILES.store(files, Ordering::Relaxed);
}

/// Sets the limit of a program of [`prepare`] right after its start, by its id. (Before its start it could only be done
/// by unsafe code, or for all of our own threads; a program that looks within its first instant sees our limit.)
pub(crate) fn limit(id: u32) {
    let files = OPEN_FILES.load(Ordering::Relaxed);
    let Some(pid) = group(id).filter(|_| files > 0) else { return };
    let mut limits = getrlimit(Resource::Nofile);
    limits.current = Some(files);
    // One that has ended already needs none.
    let _ = prlimit(Some(pid), Resource::Nofile, limits);
}

/// The group that a program of [`prepare`] leads, by the program's id.
fn group(id: u32) -> Option<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw)
}

fn kill(group: Pid) {
    // Those that have ended meanwhile need no signal.
    let _ = kill_process_group(group, Signal::KILL);
}

/// A process group, killed as a whole on drop: at its time limit, and when the program stops meanwhile.
pub(crate) struct Group(Option<Pid>);

impl Group {
    /// Of the program with this id.
    pub(crate) fn of(id: Option<u32>) -> Self {
        Self(id.and_then(group))
    }

    /// Sends a signal, by its number, to all of it.
    pub(crate) fn signal(&self, number: i32) {
        if let (Some(group), Some(signal)) = (self.0, Signal::from_named_raw(number)) {
            let _ = kill_process_group(group, signal);
        }
    }

    /// The program has ended by itself: what it left behind on purpose lives on.
    pub(crate) fn spare(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(kill);
    }
}

/// The programs that evaluations have under way. An evaluation is on a thread that nobody waits for when we end, so
/// whoever ends it kills its programs from outside.
#[derive(Default)]
pub(crate) struct UnderWay {
    stopped: AtomicBool,
    groups: Mutex<HashSet<Pid>>,
}

impl UnderWay {
    /// Whether nobody waits for them any more.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Kills them all, and lets no more start.
    pub(crate) fn stop(&self) {
        let mut groups = self.lock();
        self.stopped.store(true, Ordering::Relaxed);
        groups.drain().for_each(kill);
    }

    /// Starts a program; none after the end.
    ///
    /// # Errors
    /// The system's, when it cannot be started.
    pub(crate) fn start(&self, command: &mut Command) -> std::io::Result<Option<Child>> {
        prepare(command);
        // Held until it is known: who stops meanwhile must find it.
        let mut groups = self.lock();
        if self.is_stopped() {
            return Ok(None);
        }
        let child = command.spawn()?;
        limit(child.id());
        groups.extend(group(child.id()));
        Ok(Some(child))
    }

    /// Whether it has ended by itself; then what it left behind lives on.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn ended(&self, child: &mut Child) -> std::io::Result<Option<ExitStatus>> {
        // Once it is waited for, its number may be another's.
        let mut groups = self.lock();
        let status = child.try_wait()?;
        if status.is_some() {
            group(child.id()).map(|group| groups.remove(&group));
        }
        Ok(status)
    }

    /// Kills it with all it has started, if it has not ended.
    pub(crate) fn end(&self, child: &mut Child) {
        let mut groups = self.lock();
        group(child.id()).filter(|group| groups.remove(group)).into_iter().for_each(kill);
        drop(groups);
        let _ = child.wait();
    }

    // A panic while the lock was held leaves a list that is right still.
    fn lock(&self) -> MutexGuard<'_, HashSet<Pid>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_stops_ends_what_is_under_way_at_once() {
        let under_way = UnderWay::default();
        let mut child = under_way.start(Command::new("sh").args(["-c", "sleep 60 & wait"])).unwrap().unwrap();
        assert!(under_way.ended(&mut child).unwrap().is_none());
        under_way.stop();
        let status = child.wait().unwrap();
        assert!(!status.success() && under_way.is_stopped());
        assert!(
            under_way.start(&mut Command::new("true")).unwrap().is_none(),
            "one was started after the end"
        );
    }

    #[tokio::test]
    async fn what_a_program_leaves_behind_lives_on() {
        let folder = tempfile::tempdir().unwrap();
        let late = folder.path().join("late");
        let line = format!("(sleep 0.2; echo x > {}) &", late.display());
        let under_way = UnderWay::default();
        let mut child = under_way.start(Command::new("sh").args(["-c", &line])).unwrap().unwrap();
        while under_way.ended(&mut child).unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        under_way.stop();
        for _ in 0..100 {
            if late.exists() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it was killed");
    }
}
