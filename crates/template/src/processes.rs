//! What the programs of templates have in common, a template's `command` and what `plugin` names: which variables they do
//! not see, and that they end with us.
//!
//! Each is the first of a process group of its own, so that the programs it starts can be ended with it.

use std::collections::HashSet;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use config::ChildEnvironment;
use supervisor::{Group, Signal};

/// Sets what holds for all.
pub(crate) fn prepare(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;

    for name in ChildEnvironment::NEVER {
        command.env_remove(name);
    }
    command.process_group(0).stdin(Stdio::null());
    // It is started by whichever thread evaluates, which may end before it.
    supervisor::prepare(command, None);
}

fn kill(group: Group) {
    group.signal(Signal::KILL);
}

/// A process group, killed as a whole on drop: at its time limit, and when the program stops meanwhile.
pub(crate) struct KilledOnDrop(Option<Group>);

impl KilledOnDrop {
    /// That of the program with this id.
    pub(crate) fn led_by(id: Option<u32>) -> Self {
        Self(id.and_then(Group::led_by))
    }

    /// Sends a signal to all of it.
    pub(crate) fn signal(&self, signal: Signal) {
        self.0.into_iter().for_each(|group| group.signal(signal));
    }

    /// The program has ended by itself: what it left behind on purpose lives on.
    pub(crate) fn spare(&mut self) {
        self.0 = None;
    }
}

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(kill);
    }
}

/// The programs that evaluations have under way. An evaluation is on a thread that nobody waits for when we end, so
/// whoever ends it kills its programs from outside.
#[derive(Default)]
pub(crate) struct UnderWay {
    stopped: AtomicBool,
    groups: Mutex<HashSet<Group>>,
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
        supervisor::has_format(command)?;
        // Held until it is known: who stops meanwhile must find it.
        let mut groups = self.lock();
        if self.is_stopped() {
            return Ok(None);
        }
        let child = command.spawn()?;
        groups.extend(Group::led_by(child.id()));
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
            Group::led_by(child.id()).map(|group| groups.remove(&group));
        }
        Ok(status)
    }

    /// Kills it with all it has started, if it has not ended.
    pub(crate) fn end(&self, child: &mut Child) {
        let mut groups = self.lock();
        Group::led_by(child.id()).filter(|group| groups.remove(group)).into_iter().for_each(kill);
        drop(groups);
        let _ = child.wait();
    }

    // A panic while the lock was held leaves a list that is right still.
    fn lock(&self) -> MutexGuard<'_, HashSet<Group>> {
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
