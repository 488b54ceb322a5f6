//! inotify: the kernel tells when names in folders get other files.

use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::places::Place;

/// What may give a name another content: written to and closed, moved there, linked, or made readable. And the end of
/// the folder itself. Not its removal, and not mere reading: we do both.
const WATCHED: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF);

/// The folder is no longer the one we meant.
const GONE: ReadFlags =
    ReadFlags::IGNORED.union(ReadFlags::DELETE_SELF).union(ReadFlags::MOVE_SELF).union(ReadFlags::UNMOUNT);

/// Room for some dozens of events, in bytes.
const BATCH: usize = 4096;

/// The kernel keeps 16,384 events at most, of 16 bytes at least: so many batches take them all in.
const MOST_BATCHES: usize = 64;

/// Folders under watch.
#[derive(Debug)]
pub(super) struct Changes {
    inotify: AsyncFd<OwnedFd>,
    /// The kernel's number of a folder, and a name in it.
    names: Vec<(i32, OsString)>,
    stale: bool,
}

/// What events say together, the weightier the later.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Told {
    /// There are none.
    Nothing,
    /// Other names changed.
    Other,
    /// Ours did.
    Changed,
    /// A folder is no longer the one we meant.
    Gone,
}

impl Changes {
    /// Watches the folders of `places`.
    ///
    /// # Errors
    /// The system has no inotify, its limits are reached, or none of the folders can be watched.
    pub(super) fn of(places: &[Place]) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        let mut names = Vec::new();
        let mut failed = Errno::NOENT;
        for place in places {
            match inotify::add_watch(&inotify, &place.folder, WATCHED) {
                Ok(number) => names.push((number, place.name.clone())),
                Err(error) => failed = error,
            }
        }
        if names.is_empty() {
            return Err(failed.into());
        }
        #[expect(
            deprecated,
            reason = "its successor is unsafe; an OwnedFd keeps its promise, the same descriptor to the end"
        )]
        let inotify = AsyncFd::with_interest(inotify, Interest::READABLE)?;
        Ok(Self { inotify, names, stale: false })
    }

    /// Waits for a change of one of the names. Dropping the future loses none.
    ///
    /// # Errors
    /// The kernel tells nothing more.
    pub(super) async fn next(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.inotify.readable().await?;
            match batch(self.inotify.get_ref(), &self.names)? {
                Told::Nothing => ready.clear_ready(),
                Told::Other => {}
                Told::Changed => return Ok(()),
                Told::Gone => {
                    self.stale = true;
                    return Ok(());
                }
            }
        }
    }

    /// Takes in what is known to have happened: one look answers it all.
    pub(super) fn drain(&mut self) {
        for _ in 0..MOST_BATCHES {
            match batch(self.inotify.get_ref(), &self.names) {
                Ok(Told::Nothing) => return,
                Ok(Told::Other | Told::Changed) => {}
                Ok(Told::Gone) | Err(_) => self.stale = true,
            }
        }
    }

    /// A folder is no longer the one we meant, and must be watched anew.
    pub(super) fn is_stale(&self) -> bool {
        self.stale
    }
}

/// Takes in some of what happened.
fn batch(inotify: &OwnedFd, names: &[(i32, OsString)]) -> io::Result<Told> {
    let mut room = [MaybeUninit::uninit(); BATCH];
    let mut reader = Reader::new(inotify, &mut room);
    let mut told = Told::Nothing;
    loop {
        let event = match reader.next() {
            Ok(event) => event,
            Err(Errno::AGAIN) => return Ok(told),
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        let flags = event.events();
        let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
        let ours =
            || names.iter().any(|(number, ours)| *number == event.wd() && Some(ours.as_os_str()) == name);
        told = told.max(if flags.intersects(GONE) {
            Told::Gone
        } else if flags.contains(ReadFlags::QUEUE_OVERFLOW) || ours() {
            Told::Changed
        } else {
            Told::Other
        });
        if reader.is_buffer_empty() {
            return Ok(told);
        }
    }
}
