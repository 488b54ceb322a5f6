//! Which processes may use a unix socket.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use atomic_file::FileError;
use config::{AllowedPeers, Identity};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::net::UnixStream;

/// Whom a unix socket serves.
#[derive(Debug, Default)]
pub(crate) struct PeerRule {
    uids: Vec<u32>,
    gids: Vec<u32>,
    executables: Vec<PathBuf>,
}

/// A client that may not come in.
#[derive(Debug)]
pub(crate) struct Denied {
    /// Its user, if the system says.
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) pid: Option<i32>,
    pub(crate) why: String,
}

impl PeerRule {
    /// With users and groups looked up now.
    pub(crate) fn of(allowed: &AllowedPeers) -> Result<Self, FileError> {
        Ok(Self {
            uids: allowed.uids.iter().map(Identity::user_id).collect::<Result<_, _>>()?,
            gids: allowed.gids.iter().map(Identity::group_id).collect::<Result<_, _>>()?,
            executables: allowed.executables.clone(),
        })
    }

    fn asks_for_users(&self) -> bool {
        !self.uids.is_empty() || !self.gids.is_empty()
    }

    /// Lets a client in, or not. The process, where it matters which one it is.
    pub(crate) fn admit(&self, stream: &UnixStream) -> Result<Option<Process>, Box<Denied>> {
        if !self.asks_for_users() && self.executables.is_empty() {
            return Ok(None);
        }
        let peer = stream.peer_cred().ok();
        let (uid, gid) = (peer.map(|peer| peer.uid()), peer.map(|peer| peer.gid()));
        // 0 is a process that our namespace does not show.
        let pid = peer.and_then(|peer| peer.pid()).filter(|pid| *pid > 0);
        let denied = |why: String| Box::new(Denied { uid, gid, pid, why });
        let of_user = uid.is_some_and(|uid| self.uids.contains(&uid));
        let of_group = gid.is_some_and(|gid| self.gids.contains(&gid));
        if self.asks_for_users() && !of_user && !of_group {
            return Err(denied(
                "neither its user nor its group is in `allowed_uids` or `allowed_gids`".into(),
            ));
        }
        if self.executables.is_empty() {
            return Ok(None);
        }
        let pid = pid.and_then(Pid::from_raw);
        let process = pid.ok_or_else(|| denied("the system does not say which process it is".into()))?;
        let process = Process::find(process)
            .map_err(|error| denied(format!("its program cannot be found out: {error}")))?;
        // Looked at for each connection: programs are replaced.
        let known = self.executables.iter().any(|path| file_of(path).is_ok_and(|file| file == process.file));
        match known {
            true => Ok(Some(process)),
            false => Err(denied("its program is not in `allowed_executables`".into())),
        }
    }
}

/// A process that has connected, so described that another one in its place is noticed.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    /// Where the system has such handles (Linux 5.3).
    handle: Option<OwnedFd>,
    /// Clock ticks from the boot to its start; proc_pid_stat(5).
    started: u64,
    /// The file it runs from.
    file: (u64, u64),
}

impl Process {
    fn find(pid: Pid) -> io::Result<Self> {
        let handle = pidfd_open(pid, PidfdFlags::empty()).ok();
        let found = Self { pid, handle, started: start_of(pid)?, file: program_of(pid)? };
        // The handle was first: what was read since is about the process that it means.
        match found.is_alive() {
            true => Ok(found),
            false => Err(io::Error::other("it has ended")),
        }
    }

    /// Whether it is still there, and still runs the same program.
    pub(crate) fn is_same(&self) -> bool {
        let same = start_of(self.pid).is_ok_and(|started| started == self.started)
            && program_of(self.pid).is_ok_and(|file| file == self.file);
        same && self.is_alive()
    }

    /// A handle becomes readable when its process has ended; pidfd_open(2).
    fn is_alive(&self) -> bool {
        let Some(handle) = &self.handle else { return true };
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&at_once)).is_ok_and(|ended| ended == 0)
    }
}

/// Device and inode: a path alone says little, other roots have files at the same one.
fn file_of(path: &std::path::Path) -> io::Result<(u64, u64)> {
    let found = std::fs::metadata(path)?;
    Ok((found.dev(), found.ino()))
}

fn program_of(pid: Pid) -> io::Result<(u64, u64)> {
    file_of(&PathBuf::from(format!("/proc/{}/exe", pid.as_raw_nonzero())))
}

fn start_of(pid: Pid) -> io::Result<u64> {
    let stat = std::fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero()))?;
    parse_start(&stat).ok_or_else(|| io::Error::other("its stat cannot be read"))
}

/// The 22nd field; the second one is in parentheses and can hold anything.
fn parse_start(stat: &[u8]) -> Option<u64> {
    let name_ends = stat.iter().rposition(|byte| *byte == b')')?;
    let behind = std::str::from_utf8(stat.get(name_ends + 1..)?).ok()?;
    behind.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_start_is_found_behind_any_name() {
        let line = |name: &str| {
            let fields: Vec<String> = (4..30).map(|number| number.to_string()).collect();
            format!("1 ({name}) S {}", fields.join(" "))
        };
        for name in ["a", "a b", ") 1 2 3", "(((", ""] {
            assert_eq!(parse_start(line(name).as_bytes()), Some(22), "{name}");
        }
        for bad in ["", "1 (a", "1 (a) S 1 2", "1 (a)"] {
            assert_eq!(parse_start(bad.as_bytes()), None, "{bad}");
        }
    }

    /// It is another one when it runs another program, has ended, or its number belongs to somebody else.
    #[test]
    fn s24_another_process_is_noticed() {
        let mut child = Command::new("sh")
            .args(["-c", "read go && exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&child);
        let shell = loop {
            // Until it has become the shell.
            let found = Process::find(pid).unwrap();
            if found.file != program_of(rustix::process::getpid()).unwrap() {
                break found;
            }
        };
        assert!(shell.is_same());
        let mut input = child.stdin.take().unwrap();
        io::Write::write_all(&mut input, b"go\nx").unwrap();
        let mut output = child.stdout.take().unwrap();
        io::Read::read_exact(&mut output, &mut [0; 1]).unwrap();
        assert!(!shell.is_same(), "another program");
        let cat = Process::find(pid).unwrap();
        assert!(cat.is_same());
        let impostor = Process { started: cat.started + 1, ..Process::find(pid).unwrap() };
        assert!(!impostor.is_same(), "another start");
        child.kill().unwrap();
        // It is still in the table, and no longer there.
        while cat.is_alive() {
            std::thread::yield_now();
        }
        assert!(!cat.is_same() && Process::find(pid).is_err(), "ended");
        child.wait().unwrap();
        assert!(!cat.is_same());
    }
}
