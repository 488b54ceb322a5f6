//! Processes whose parent has ended become children of process 1, or of whoever asked for them; once they end,
//! somebody has to wait for them, or their numbers are used up.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use rustix::process::{Pid, WaitId, WaitIdOptions, getpid, set_child_subreaper, waitid};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

/// Asks for orphans: whoever loses his parent below us becomes our child. Process 1 gets them anyway.
///
/// # Errors
/// The system's.
pub fn adopt() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// How long after the end of some child is looked, so that many ends are one look.
const GATHER: Duration = Duration::from_millis(500);

/// Whoever looks like a program that we started ourselves has somebody who waits for it, though perhaps not at once: one
/// whose outputs another has inherited is waited for when these close or its time limit is over, which is half this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for orphans that have ended, for as long as the program lives.
pub async fn bury() {
    let Ok(mut ends) = signal(SignalKind::child()) else { return };
    let mut cemetery = Cemetery::default();
    loop {
        let ended = match children() {
            Ok(children) => children.into_iter().filter_map(ended).collect(),
            Err(error) => {
                warn!(target: "exec.server", error = %error, "cannot see our children in /proc: orphans that end stay as zombies");
                return;
            }
        };
        // Both are 0 where they stand outside our namespace of processes.
        let Some((_, group, session)) = stat("self") else { return };
        let own = Own { group, session };
        for pid in cemetery.pass(ended, &own, Instant::now()) {
            debug!(target: "exec.server", process_id = pid.as_raw_nonzero().get(), "an orphan has ended");
            let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        }
        if cemetery.waiting.is_empty() {
            ends.recv().await;
        } else {
            let _ = tokio::time::timeout(PATIENCE / 4, ends.recv()).await;
        }
        sleep(GATHER).await;
    }
}

/// A child of ours that has ended and was not waited for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Dead {
    pid: Pid,
    group: i32,
    session: i32,
}

/// What tells ours from others.
struct Own {
    group: i32,
    session: i32,
}

#[derive(Default)]
struct Cemetery {
    /// Since when they have waited to be waited for.
    waiting: HashMap<Pid, Instant>,
}

impl Cemetery {
    /// Whom to wait for now. Every program that we start ourselves leads a group in our session, or is in our own
    /// group; nobody else is waited for by somebody.
    fn pass(&mut self, ended: Vec<Dead>, own: &Own, now: Instant) -> Vec<Pid> {
        self.waiting.retain(|pid, _| ended.iter().any(|dead| dead.pid == *pid));
        let mut buried = Vec::new();
        for dead in ended {
            let leads = dead.group == dead.pid.as_raw_nonzero().get();
            let may_be_ours = dead.session == own.session && (leads || dead.group == own.group);
            let since = *self.waiting.entry(dead.pid).or_insert(now);
            if !may_be_ours || now.duration_since(since) >= PATIENCE {
                self.waiting.remove(&dead.pid);
                buried.push(dead.pid);
            }
        }
        buried
    }
}

/// The children of every thread of ours.
fn children() -> io::Result<Vec<Pid>> {
    let mut found = Vec::new();
    for thread in std::fs::read_dir("/proc/self/task")? {
        let list = std::fs::read_to_string(thread?.path().join("children"))?;
        found
            .extend(list.split_ascii_whitespace().filter_map(|id| id.parse().ok()).filter_map(Pid::from_raw));
    }
    Ok(found)
}

/// The child, if it has ended.
fn ended(pid: Pid) -> Option<Dead> {
    let (state, group, session) = stat(&pid.as_raw_nonzero().to_string())?;
    (state == 'Z').then_some(Dead { pid, group, session })
}

/// State, group and session of a process.
fn stat(id: &str) -> Option<(char, i32, i32)> {
    parse(&std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
}

/// `pid (name) state parent group session …`; a name may hold anything.
fn parse(stat: &str) -> Option<(char, i32, i32)> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let _parent = fields.next()?;
    Some((state, fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pid(number: i32) -> Pid {
        Pid::from_raw(number).unwrap()
    }

    #[test]
    fn a_process_is_read_whatever_its_name() {
        assert_eq!(parse("7 (a) Z) b) S 1 5 6 0 -1"), Some(('S', 5, 6)));
        assert_eq!(parse("7 (S) Z 1 0 0 0 -1"), Some(('Z', 0, 0)));
        for broken in ["", "7 (x", "7 (x) Z", "7 (x) Z 1 a b"] {
            assert_eq!(parse(broken), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_may_be_ours_is_left_to_whoever_waits_for_it() {
        let own = Own { group: 10, session: 9 };
        let dead = |number, group, session| Dead { pid: pid(number), group, session };
        let mut cemetery = Cemetery::default();
        let all = vec![
            dead(20, 20, 9),  // a program of ours
            dead(21, 10, 9),  // a child at the terminal
            dead(22, 20, 9),  // what a child of ours started
            dead(23, 23, 23), // a daemon
        ];
        let start = Instant::now();
        assert_eq!(cemetery.pass(all.clone(), &own, start), [pid(22), pid(23)]);
        let rest = all[..2].to_vec();
        assert_eq!(cemetery.pass(rest.clone(), &own, start + PATIENCE - Duration::from_secs(1)), []);
        // One was waited for meanwhile; another has got its number later.
        assert_eq!(cemetery.pass(vec![rest[1]], &own, start + PATIENCE), [pid(21)]);
        assert_eq!(cemetery.pass(rest, &own, start + PATIENCE), []);
    }
}
