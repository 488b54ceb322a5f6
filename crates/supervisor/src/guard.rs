//! The guard: a process that outlives us for a moment, so that the child and what it has started do not.
//!
//! It is our own program once more (whose `main` calls [`stand_guard`]) and does nothing but read from a pipe whose other
//! end we alone hold. Once that is closed, however we ended, it asks the child's process group to end, waits with
//! patience, and kills it. Which group that is, the child itself writes into the pipe before it becomes its program, so
//! there is no moment in which nobody knows; once it has ended, we write that there is none.

use std::ffi::OsString;
use std::io::{self, PipeReader, PipeWriter, Read, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Signal, getpid};
use tokio::process::Child;
use tokio::time::Instant;
use tracing::{error, warn};

use crate::program::{self, Group};
use crate::settings::Settings;

/// How often the guard looks whether those whom it has asked to end are gone.
const LOOK: Duration = Duration::from_millis(50);

/// So many in a row may end within so short a time before no other takes their place.
const SOON: (u32, Duration) = (3, Duration::from_secs(10));

/// What the guard is to do at our end, as it stands in the pipe: a process group, a signal or 0, and how many
/// milliseconds of patience, in four, four and eight bytes. Nothing is to be done for group 0.
#[derive(Clone, Copy, Default)]
struct Order {
    group: u32,
    signal: u32,
    patience: u64,
}

impl Order {
    fn bytes(self) -> [u8; 16] {
        (u128::from(self.group) | u128::from(self.signal) << 32 | u128::from(self.patience) << 64)
            .to_ne_bytes()
    }

    fn read(bytes: [u8; 16]) -> Self {
        let all = u128::from_ne_bytes(bytes);
        Self { group: all as u32, signal: (all >> 32) as u32, patience: (all >> 64) as u64 }
    }
}

/// What the guard does; `pipe` is its end of the pipe. Returns when all is done.
pub fn stand_guard(mut pipe: impl Read) {
    let (mut order, mut next) = (Order::default(), [0; 16]);
    while pipe.read_exact(&mut next).is_ok() {
        order = Order::read(next);
    }
    let Some(group) = Group::led_by(order.group) else { return };
    let signal = i32::try_from(order.signal).ok().and_then(Signal::from_named_raw);
    signal.into_iter().for_each(|signal| group.signal(signal));
    wait(group, Duration::from_millis(order.patience));
    group.signal(Signal::KILL);
}

/// Until nobody is left of it who lives, or patience is over.
#[expect(clippy::disallowed_methods, reason = "nobody else is in this process")]
fn wait(group: Group, patience: Duration) {
    let began = Instant::now();
    while began.elapsed() < patience && !group.is_gone() && !group.is_dead() {
        std::thread::sleep(LOOK);
    }
}

/// The guard, for us.
pub(crate) struct Guard {
    program: Vec<OsString>,
    /// Ours too, so that whoever writes always has a reader.
    reader: PipeReader,
    orders: Orders,
    process: Option<Child>,
    since: Instant,
    /// How many have ended soon, in a row.
    soon: u32,
}

impl Guard {
    /// Has it stand there, if it is wanted and can be.
    pub(crate) fn post(settings: &Settings) -> Option<Self> {
        // Whoever is to live on needs none.
        let signal = settings.parent_death_signal?.as_raw().cast_unsigned();
        let program = settings.guard.clone();
        if program.is_empty() {
            return None;
        }
        let patience = u64::try_from(settings.stop_timeout.as_millis()).unwrap_or(u64::MAX);
        let posted = io::pipe().and_then(|(reader, writer)| {
            let orders = Orders { writer: Arc::new(writer), signal, patience };
            let mut guard = Self { program, reader, orders, process: None, since: Instant::now(), soon: 0 };
            guard.start()?;
            Ok(guard)
        });
        if let Err(error) = &posted {
            warn!(target: "exec.server", %error, "nobody can stand guard: should we be killed, the child gets a signal at most, and what it has started lives on");
        }
        posted.ok()
    }

    fn start(&mut self) -> io::Result<()> {
        let Some((program, arguments)) = self.program.split_first() else { return Ok(()) };
        let mut command = Command::new(program);
        // It needs nothing of ours, and keeps nothing of it.
        command.args(arguments).env_clear().current_dir("/");
        command.stdin(self.reader.try_clone()?).stdout(Stdio::null()).stderr(Stdio::null());
        program::prepare_guard(&mut command);
        self.since = Instant::now();
        self.process = Some(tokio::process::Command::from(command).spawn()?);
        Ok(())
    }

    /// What to tell it; `None` where it does not stand.
    pub(crate) fn orders(&self) -> Option<&Orders> {
        self.process.as_ref().map(|_| &self.orders)
    }

    /// Waits for its end, which never comes unless somebody kills it.
    pub(crate) async fn end(&mut self) {
        match &mut self.process {
            Some(process) => drop(process.wait().await),
            None => std::future::pending().await,
        }
    }

    /// It has ended; another takes its place, and watches over this group.
    pub(crate) fn replace(&mut self, group: Option<Group>) {
        self.process = None;
        let (most, soon) = SOON;
        self.soon = if self.since.elapsed() < soon { self.soon + 1 } else { 0 };
        let started =
            if self.soon < most { self.start() } else { Err(io::Error::other("it ends again and again")) };
        match started {
            Ok(()) => {
                warn!(target: "exec.server", "the child's guard was ended, another takes its place");
            }
            Err(error) => {
                error!(target: "exec.server", %error, "the child's guard was ended, and none takes its place: should we be killed, the child lives on");
            }
        }
        if let (Some(orders), Some(group)) = (self.orders(), group) {
            let _ = orders.write(group.number());
        }
    }
}

/// Tells the guard what to do.
#[derive(Clone)]
pub(crate) struct Orders {
    writer: Arc<PipeWriter>,
    signal: u32,
    patience: u64,
}

impl Orders {
    /// For a child that leads a group, before it becomes its program. Allocates nothing and takes no lock.
    pub(crate) fn over_this_process(&self) -> io::Result<()> {
        self.write(getpid().as_raw_nonzero().get().cast_unsigned())
    }

    fn write(&self, group: u32) -> io::Result<()> {
        // As much as this is written whole (pipe(7)).
        (&*self.writer)
            .write(&Order { group, signal: self.signal, patience: self.patience }.bytes())
            .map(drop)
    }
}

/// While it is there, a child is watched over.
pub(crate) struct Watch(pub(crate) Orders);

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.0.write(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the group of `line` ends because somebody said so with this order, and the pipe was closed then.
    fn ends(line: &str, signal: Option<Signal>, patience: u64, then: &[u8]) -> bool {
        use std::os::unix::process::CommandExt as _;

        let mut command = Command::new("sh");
        command.args(["-c", line]).process_group(0).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut ready = [0];
        child.stdout.take().unwrap().read_exact(&mut ready).unwrap();
        let group = Group::led_by(child.id()).unwrap();
        let signal = signal.map_or(0, |signal| signal.as_raw().cast_unsigned());
        let order = Order { group: group.number(), signal, patience }.bytes();
        stand_guard([&order, then].concat().as_slice());
        // Whoever is killed needs a moment to die.
        wait(group, Duration::from_millis(500));
        let ended = group.is_gone() || group.is_dead();
        group.signal(Signal::KILL);
        child.wait().unwrap();
        ended
    }

    #[test]
    fn at_the_end_of_the_pipe_the_last_group_in_it_is_ended() {
        const LONG: u64 = 3_600_000;
        assert!(ends("echo; exec sleep 600", Some(Signal::TERM), LONG, &[]));
        assert!(ends("sleep 600 & echo; sleep 600", Some(Signal::TERM), LONG, &[]));
        assert!(ends("trap '' TERM; echo; sleep 600", Some(Signal::TERM), 100, &[]), "patience has an end");
        assert!(ends("echo; exec sleep 600", None, 0, &[]));
        // There is none any more; and half an order is none.
        assert!(!ends("echo; exec sleep 600", Some(Signal::TERM), 0, &Order::default().bytes()));
        assert!(ends("echo; exec sleep 600", Some(Signal::TERM), LONG, &[1; 15]));
    }

    #[test]
    fn any_order_survives_the_pipe() {
        for (group, signal, patience) in [(0, 0, 0), (1, 15, 30_000), (u32::MAX, u32::MAX, u64::MAX)] {
            let read = Order::read(Order { group, signal, patience }.bytes());
            assert_eq!((read.group, read.signal, read.patience), (group, signal, patience));
        }
        // No group, and no signal.
        stand_guard(Order { group: u32::MAX, signal: 4000, patience: 0 }.bytes().as_slice());
    }
}
