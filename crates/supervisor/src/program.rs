//! What all programs that we start have in common, the child and whatever templates run: how a command is written, their
//! limit of open files, and a process group of their own, so that what they have started can be ended with them.

use std::ffi::OsStr;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Access, access};
use rustix::process::{
    Pid, Resource, Rlimit, Signal, getpid, getppid, getrlimit, kill_process_group,
    set_parent_process_death_signal, setrlimit, test_kill_process_group,
};

use crate::guard::Orders;

/// Whether this command is one line for the shell; the agents' rule.
pub fn is_shell_line(command: &[String]) -> Option<&str> {
    match command {
        [line] if line.contains(char::is_whitespace) => Some(line),
        _ => None,
    }
}

/// What runs these words: one word with white space in it is a line for `sh -c`, all else a program and its arguments.
/// `None` for no words.
pub fn command(words: &[String]) -> Option<Command> {
    if let Some(line) = is_shell_line(words) {
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(line);
        return Some(shell);
    }
    let (program, arguments) = words.split_first()?;
    let mut command = Command::new(program);
    command.args(arguments);
    Some(command)
}

/// Whether there is something to start: a program that we may execute, looked for in `path` as the system does it. It
/// may be another a moment later.
///
/// # Errors
/// Why there is none.
pub fn program_is_there(words: &[String], path: Option<&OsStr>) -> io::Result<()> {
    let (None, Some(program)) = (is_shell_line(words), words.first()) else { return Ok(()) };
    if program.contains('/') {
        return may_run(Path::new(program));
    }
    let mut why = io::Error::from(io::ErrorKind::NotFound);
    for folder in std::env::split_paths(path.unwrap_or_else(|| OsStr::new(USUAL_PATH))) {
        match may_run(&folder.join(program)) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => why = error,
        }
    }
    Err(why)
}

/// Whether what a command names, looked for as the system does it, is in a format that a system knows. The C library
/// gives any other file to the shell (ENOEXEC, exec(3)): a program for another machine would be read as a script, and
/// an empty file would be a success. What is not there or may not be run is for whoever starts it to tell.
///
/// # Errors
/// `Exec format error`.
pub fn has_format(command: &Command) -> io::Result<()> {
    let program = Path::new(command.get_program());
    if program.as_os_str().as_bytes().contains(&b'/') {
        return is_in_format(program);
    }
    let own = command.get_envs().find(|(name, _)| *name == "PATH").map(|(_, path)| path.map(OsStr::to_owned));
    let path = own.unwrap_or_else(|| std::env::var_os("PATH"));
    let path = path.unwrap_or_else(|| USUAL_PATH.into());
    let first =
        std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| may_run(file).is_ok());
    first.map_or(Ok(()), |file| is_in_format(&file))
}

fn is_in_format(program: &Path) -> io::Result<()> {
    // Opening a FIFO would wait. And whoever may run a file need not be able to read it.
    if !std::fs::metadata(program).is_ok_and(|data| data.is_file()) || may_run(program).is_err() {
        return Ok(());
    }
    let Ok(file) = std::fs::File::open(program) else { return Ok(()) };
    let mut start = Vec::new();
    file.take(20).read_to_end(&mut start)?;
    // e_machine of the ELF header, in the byte order of the machine it is for (elf(5)).
    let machine = start.get(18..20).and_then(|two| two.try_into().ok()).map(u16::from_ne_bytes);
    let known = start.starts_with(b"#!")
        || start.starts_with(b"\x7fELF")
            && machine.is_some_and(|one| machines().is_none_or(|all| all.contains(&one)));
    if known || !start.is_empty() && others_are_known() {
        return Ok(());
    }
    Err(io::Error::from_raw_os_error(ENOEXEC))
}

/// Those whose programs this machine runs (elf.h); `None`: all may be.
fn machines() -> Option<&'static [u16]> {
    match std::env::consts::ARCH {
        "x86_64" => Some(&[62, 3]),
        "aarch64" => Some(&[183, 40]),
        _ => None,
    }
}

/// Whether somebody has made other formats known to the kernel (`binfmt_misc`).
fn others_are_known() -> bool {
    let entries = std::fs::read_dir("/proc/sys/fs/binfmt_misc").into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_name() != "register" && entry.file_name() != "status")
}

/// Exec format error (`asm-generic/errno-base.h`).
pub(crate) const ENOEXEC: i32 = 8;

/// Where `execvp` looks without a `PATH` (exec(3)).
const USUAL_PATH: &str = "/bin:/usr/bin";

fn may_run(program: &Path) -> io::Result<()> {
    if std::fs::metadata(program)?.is_dir() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(access(program, Access::EXEC_OK)?)
}

/// How many files the programs that we start may have open without asking for more (the soft limit); 0: as many as we.
/// A limit is the process's, and so is this.
static OPEN_FILES: AtomicU64 = AtomicU64::new(0);

/// Sets the soft limit of open files of every program that is started from now on, whatever ours is. Whoever raises ours
/// says here what it was before: programs that wait with `select` break with files beyond 1024.
pub fn programs_may_open(files: u64) {
    OPEN_FILES.store(files, Ordering::Relaxed);
}

/// Has the new process do what only it can do for itself: set its own limit of open files, which for us is higher, and
/// ask for a signal at our death. That comes when the thread ends that started it, so it is only for the thread that
/// lives as long as we do.
pub fn prepare(command: &mut Command, parent_death_signal: Option<Signal>) {
    before_it_begins(command, OPEN_FILES.load(Ordering::Relaxed), parent_death_signal);
}

#[expect(unsafe_code, reason = "no safe call sets the limits or the parent-death signal of another process")]
fn before_it_begins(command: &mut Command, files: u64, signal: Option<Signal>) {
    use std::os::unix::process::CommandExt as _;

    let parent = getpid();
    let limit = (files > 0).then(|| {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        Rlimit { current: Some(maximum.map_or(files, |most| files.min(most))), maximum }
    });
    if limit.is_none() && signal.is_none() {
        return;
    }
    let prepare = move || {
        if let Some(limit) = limit {
            setrlimit(Resource::Nofile, limit)?;
        }
        if signal.is_some() {
            set_parent_process_death_signal(signal)?;
            // We may have died before it asked.
            if getppid() != Some(parent) {
                return Err(io::Error::from_raw_os_error(ESRCH));
            }
        }
        Ok(())
    };
    // SAFETY: it runs between fork and exec, where other threads' locks may be held for ever. It makes three system
    // calls (prlimit, prctl, getppid), allocates nothing and takes no lock: all it uses is captured by value, and an
    // error of the system is a number.
    unsafe {
        command.pre_exec(prepare);
    }
}

/// Has a child that leads a group tell the guard, before it becomes its program.
#[expect(unsafe_code, reason = "only the new process can do it before it may lose us")]
pub(crate) fn tell_guard(command: &mut Command, orders: Orders) {
    use std::os::unix::process::CommandExt as _;

    // SAFETY: it runs between fork and exec, where other threads' locks may be held for ever. It makes two system calls
    // (getpid, write), allocates nothing and takes no lock; the pipe is held open by what is captured.
    unsafe {
        command.pre_exec(move || orders.over_this_process());
    }
}

/// Has the guard heed no signal, as whoever ends us may send the same to all of us; what can still end it is SIGKILL. And
/// it takes along no file that we were started with, whose other end may wait for the last one to close it.
#[expect(unsafe_code, reason = "no safe call sets the signal mask or what files are passed on")]
pub(crate) fn prepare_guard(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;

    // Nor does it belong to those whom a terminal ends.
    command.process_group(0);
    let deaf = || {
        let mut all = std::mem::MaybeUninit::uninit();
        // SAFETY: `all` is written by sigfillset before it is read, and there is room for what a set is. These calls may
        // be made between fork and exec (signal-safety(7)); the first one closes nothing before the exec, and where the
        // system has no such call (Linux before 5.11), files are passed on.
        let failed = unsafe {
            libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
            libc::sigfillset(all.as_mut_ptr());
            libc::sigprocmask(libc::SIG_BLOCK, all.as_ptr(), std::ptr::null_mut())
        };
        if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(deaf);
    }
}

/// No such process (`asm-generic/errno-base.h`).
const ESRCH: i32 = 3;

/// A process group, by the program that leads it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Group(Pid);

impl Group {
    /// Of the program with this id, which was started as the first of a group (`process_group(0)`).
    pub fn led_by(id: u32) -> Option<Self> {
        i32::try_from(id).ok().and_then(Pid::from_raw).map(Self)
    }

    /// The id of the program that leads it.
    pub(crate) fn number(self) -> u32 {
        self.0.as_raw_nonzero().get().unsigned_abs()
    }

    /// Sends a signal to all of it.
    pub fn signal(self, signal: Signal) {
        // Those that have ended meanwhile need none.
        let _ = kill_process_group(self.0, signal);
    }

    /// Whether nobody is left of it.
    pub fn is_gone(self) -> bool {
        test_kill_process_group(self.0).is_err()
    }

    /// Whether all that is left of it is dead and waits to be buried by somebody else: process 1 of a container often
    /// buries nobody. `false` where that cannot be seen. It looks at every process of the system.
    pub fn is_dead(self) -> bool {
        let mut found = false;
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            if !entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit) {
                continue;
            }
            // One that cannot be read has just gone, or is nobody's of ours.
            let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
            // Behind the name, which may hold anything: state, parent, group (proc_pid_stat(5)).
            let mut words = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
            let (state, group) = (words.next(), words.nth(1).and_then(|group| group.parse().ok()));
            if group == Some(self.0.as_raw_nonzero().get()) {
                if !matches!(state, Some("Z" | "X")) {
                    return false;
                }
                found = true;
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(mut command: Command) -> String {
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "files of a test's own folder")]
    fn what_is_no_program_is_not_given_to_the_shell() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let own = std::fs::read("/proc/self/exe").unwrap();
        let mut foreign = own[..64].to_vec();
        foreign[18] ^= 0x55;
        for (name, content, fine) in [
            ("own", &own[..64], true),
            ("script", b"#!/bin/sh\nexit 0\n".as_slice(), true),
            ("empty", b"", false),
            ("foreign", &foreign, others_are_known()),
            ("text", b"exit 0\n", others_are_known()),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            // Nobody may run it: that is told by whoever tries.
            assert!(has_format(&Command::new(&path)).is_ok(), "{name}");
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
            for mut command in [Command::new(&path), Command::new(name)] {
                command.env("PATH", folder.path());
                let told = has_format(&command);
                assert_eq!(told.is_ok(), fine, "{name}");
                assert!(told.is_ok() || told.unwrap_err().raw_os_error() == Some(ENOEXEC), "{name}");
            }
        }
        assert!(has_format(&Command::new("/no/such")).is_ok() && has_format(&Command::new("sh")).is_ok());
    }

    #[test]
    fn the_dead_are_told_from_the_living_before_they_are_buried() {
        use std::os::unix::process::CommandExt as _;

        use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

        let is_dead = |line: &str, ends: bool| {
            let mut child =
                std::process::Command::new("sh").args(["-c", line]).process_group(0).spawn().unwrap();
            let group = Group::led_by(child.id()).unwrap();
            if ends {
                // It stays to be buried.
                let how = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
                let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
                waitid(WaitId::Pid(pid), how).unwrap();
            }
            let seen = (group.is_gone(), group.is_dead());
            group.signal(Signal::KILL);
            child.wait().unwrap();
            seen
        };
        assert_eq!(is_dead("exit 0", true), (false, true));
        assert_eq!(is_dead("exec sleep 60", false), (false, false));
        // Its first is dead, another is not.
        assert_eq!(is_dead("sleep 60 & exit 0", true), (false, false));
    }

    #[test]
    fn a_program_is_looked_for_as_the_system_does_it() {
        let there = |words: &[&str], path: Option<&str>| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            program_is_there(&words, path.map(OsStr::new)).map_err(|error| error.kind())
        };
        assert_eq!(there(&["sh", "-c", "x"], Some("/nonexistent:/bin")), Ok(()));
        assert_eq!((there(&["sh"], None), there(&["/bin/sh"], Some(""))), (Ok(()), Ok(())));
        assert_eq!(there(&["no such thing at all"], None), Ok(()), "a line for the shell");
        for missing in [&["nonexistent"][..], &["/nonexistent"], &["./nonexistent"]] {
            assert_eq!(there(missing, Some("/bin")), Err(io::ErrorKind::NotFound), "{missing:?}");
        }
        for other in ["/bin", "/etc/passwd"] {
            assert_eq!(there(&[other], None), Err(io::ErrorKind::PermissionDenied), "{other}");
        }
    }

    #[test]
    fn one_word_with_white_space_is_a_line() {
        let run = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            command(&words).map(output)
        };
        assert_eq!(run(&["echo a && echo b"]).unwrap(), "a\nb\n");
        assert_eq!(run(&["echo", "a && echo b"]).unwrap(), "a && echo b\n");
        assert_eq!(run(&["true"]).unwrap(), "");
        assert_eq!(run(&[]), None);
    }

    #[test]
    fn its_limit_is_there_before_it_looks() {
        let most = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        for (files, want) in [(64, 64), (most, most)] {
            let mut command = command(&["ulimit -Sn".to_owned()]).unwrap();
            before_it_begins(&mut command, files, None);
            assert_eq!(output(command), format!("{want}\n"));
        }
    }
}
