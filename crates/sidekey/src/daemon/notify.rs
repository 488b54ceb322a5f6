//! What systemd is told (`Type=notify`): that we are ready, that we still live, that we read
//! the configuration again, that we stop. sd_notify(3): a datagram
//! to the socket that `NOTIFY_SOCKET` names.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use config::Environment;
use rustix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, sleep};
use tracing::debug;

use super::report::Board;

/// How often it is looked whether all is ready.
const LOOK: Duration = Duration::from_millis(200);

/// Until it is, systemd is asked for more time this often.
const ASK: Duration = Duration::from_secs(10);

/// Where systemd wants to be told, if it runs us so.
pub(super) fn socket(environment: &Environment) -> Option<PathBuf> {
    let found = environment.pairs().find(|(name, _)| *name == "NOTIFY_SOCKET");
    found.map(|(_, value)| PathBuf::from(value)).filter(|path| !path.as_os_str().is_empty())
}

/// How often systemd wants to hear of us: twice in the time it was told to wait (`WatchdogSec=`).
pub(super) fn watchdog(environment: &Environment) -> Option<Duration> {
    let found = environment.pairs().find(|(name, _)| *name == "WATCHDOG_USEC");
    let micros: u64 = found?.1.parse().ok()?;
    (micros > 0).then(|| Duration::from_micros(micros / 2).max(Duration::from_millis(10)))
}

/// systemd, who listens at a socket.
pub(super) struct Systemd {
    socket: PathBuf,
    /// It knows that we were ready once.
    was_ready: AtomicBool,
}

impl Systemd {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self { socket, was_ready: AtomicBool::new(false) }
    }

    /// We are ready, for the first time or again after a reload.
    pub(super) fn ready(&self, board: &Board) {
        self.was_ready.store(true, Ordering::Relaxed);
        self.tell(&format!("READY=1\nSTATUS={}", board.summary()));
    }

    /// The configuration is read again (`Type=notify-reload`); [`Systemd::ready`] has to follow, whatever comes of it.
    /// Gives whether it was told: while we start there is nothing to reload, and the word that ends a reload would be
    /// taken for the end of the start.
    pub(super) fn reloading(&self) -> bool {
        let told = self.was_ready.load(Ordering::Relaxed);
        if told {
            let now = clock_gettime(ClockId::Monotonic);
            let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
            self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
        }
        told
    }

    /// The end has begun.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    fn tell(&self, message: &str) {
        tell(&self.socket, message);
    }
}

/// Tells of readiness once, and of life for ever. An outage of the server is no reason to be killed: until we are ready,
/// systemd is asked to wait on.
pub(super) async fn keep_telling(systemd: Arc<Systemd>, watchdog: Option<Duration>, board: Arc<Board>) {
    let mut asked: Option<Instant> = None;
    while !board.is_ready() {
        if asked.is_none_or(|at| at.elapsed() >= ASK) {
            let more = Duration::from_secs(60).as_micros();
            systemd.tell(&format!("EXTEND_TIMEOUT_USEC={more}\nSTATUS={}", board.summary()));
            asked = Some(Instant::now());
        }
        sleep(LOOK).await;
    }
    systemd.ready(&board);
    let Some(pause) = watchdog else { return };
    loop {
        systemd.tell("WATCHDOG=1");
        sleep(pause).await;
    }
}

/// Sends one message. Nobody waits for systemd.
fn tell(socket: &Path, message: &str) {
    let sent = (|| {
        let address = match socket.as_os_str().as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(socket)?,
        };
        let from = UnixDatagram::unbound()?;
        from.set_nonblocking(true)?;
        from.send_to_addr(message.as_bytes(), &address)
    })();
    if let Err(error) = sent {
        debug!(target: "", error = %error, "systemd could not be told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_reach_the_socket_and_its_absence_is_nobodys_trouble() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        tell(&path, "READY=1");
        let systemd = UnixDatagram::bind(&path).unwrap();
        tell(&path, "READY=1\nSTATUS=ready");
        let mut heard = [0; 64];
        let length = systemd.recv(&mut heard).unwrap();
        assert_eq!(&heard[..length], b"READY=1\nSTATUS=ready");
        let environment =
            Environment::new([("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "30000000")]);
        assert_eq!(
            (socket(&environment), watchdog(&environment)),
            (Some(path), Some(Duration::from_secs(15)))
        );
        assert_eq!((socket(&Environment::default()), watchdog(&Environment::default())), (None, None));
    }

    /// Nothing is ready yet: systemd is asked to wait on, each ten seconds.
    #[tokio::test(start_paused = true)]
    async fn more_time_is_asked_for_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        systemd.set_nonblocking(true).unwrap();
        let heard = || {
            let mut message = [0; 128];
            systemd
                .recv(&mut message)
                .ok()
                .map(|length| String::from_utf8_lossy(&message[..length]).into_owned())
        };
        let telling = tokio::spawn(keep_telling(Arc::new(Systemd::new(path)), None, Board::new()));
        for _ in 0..3 {
            sleep(Duration::from_millis(1)).await;
            assert_eq!(heard().as_deref(), Some("EXTEND_TIMEOUT_USEC=60000000\nSTATUS=starting"));
            sleep(Duration::from_millis(9_950)).await;
            assert_eq!(heard(), None);
            sleep(Duration::from_millis(49)).await;
        }
        telling.abort();
    }
}
