//! Sockets that systemd has opened for us; sd_listen_fds(3).

use std::io;
use std::sync::{Mutex, PoisonError};

use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;

/// More than any service has.
const MOST: usize = 1024;

/// What was passed to this process. Each socket is taken once.
static PASSED: Mutex<Option<Passed>> = Mutex::new(None);

struct Passed {
    sockets: ListenFd,
    names: Vec<String>,
}

/// A listening tcp socket.
pub(crate) fn take_tcp(socket: &str) -> io::Result<std::net::TcpListener> {
    let listener = take(socket, ListenFd::take_tcp_listener)?;
    must_listen(socket_acceptconn(&listener))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// A listening unix socket.
pub(crate) fn take_unix(socket: &str) -> io::Result<std::os::unix::net::UnixListener> {
    let listener = take(socket, ListenFd::take_unix_listener)?;
    must_listen(socket_acceptconn(&listener))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn must_listen(listens: Result<bool, rustix::io::Errno>) -> io::Result<()> {
    match listens? {
        true => Ok(()),
        false => Err(io::Error::other("this socket does not listen; the .socket unit needs Accept=no")),
    }
}

fn take<T>(socket: &str, taken: impl FnOnce(&mut ListenFd, usize) -> io::Result<Option<T>>) -> io::Result<T> {
    let mut passed = PASSED.lock().unwrap_or_else(PoisonError::into_inner);
    let Passed { sockets, names } = match &mut *passed {
        Some(passed) => passed,
        unread => unread.insert(Passed::find()?),
    };
    let index = find(socket, names).map_err(io::Error::other)?;
    taken(sockets, index)?.ok_or_else(|| io::Error::other("another listener has this socket already"))
}

impl Passed {
    fn find() -> io::Result<Self> {
        let variable = |name| std::env::var(name).unwrap_or_default();
        let ours = std::process::id().to_string();
        let names = parse(
            (&variable("LISTEN_PID"), &ours),
            &variable("LISTEN_FDS"),
            std::env::var("LISTEN_FDNAMES").ok().as_deref(),
        );
        let names = names.map_err(io::Error::other)?;
        Ok(Self { sockets: ListenFd::from_env(), names })
    }
}

/// The names of the sockets that were passed.
fn parse((pid, ours): (&str, &str), count: &str, names: Option<&str>) -> Result<Vec<String>, String> {
    if count.is_empty() || pid != ours {
        return Err("systemd has passed us no sockets (LISTEN_FDS and LISTEN_PID); start us by a .socket unit, or give an address".into());
    }
    let count = count.parse::<usize>().ok().filter(|count| *count <= MOST);
    let count = count.ok_or("LISTEN_FDS is no number of sockets")?;
    let Some(names) = names else { return Ok(vec!["unknown".to_owned(); count]) };
    let names: Vec<String> = names.split(':').map(str::to_owned).collect();
    if names.len() != count {
        return Err(format!("LISTEN_FDS says {count} sockets and LISTEN_FDNAMES names {}", names.len()));
    }
    Ok(names)
}

/// The place of a socket, by its name or its number.
fn find(socket: &str, names: &[String]) -> Result<usize, String> {
    let passed = || format!("systemd has passed {}: {}", names.len(), names.join(", "));
    let mut places = names.iter().enumerate().filter(|(_, name)| *name == socket).map(|(place, _)| place);
    match (places.next(), places.next(), socket.parse::<usize>()) {
        (Some(_), Some(_), _) => Err(format!(
            "several sockets have this name; say which by its number, systemd:0 to systemd:{}",
            names.len().saturating_sub(1)
        )),
        (Some(place), None, _) => Ok(place),
        (None, _, Ok(place)) if place < names.len() => Ok(place),
        (None, _, Ok(_)) => Err(format!("there is no socket of this number; {}", passed())),
        (None, _, Err(_)) => Err(format!("there is no socket of this name; {}", passed())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        let names = |count, names| parse(("7", "7"), count, names);
        let two = names("2", Some("agent:metrics")).unwrap();
        for (socket, place) in [("agent", 0), ("metrics", 1), ("0", 0), ("1", 1)] {
            assert_eq!(find(socket, &two), Ok(place));
        }
        let error = find("agnet", &two).unwrap_err();
        assert_eq!(error, "there is no socket of this name; systemd has passed 2: agent, metrics");
        assert!(find("2", &two).unwrap_err().contains("no socket of this number"));
        let same = names("2", Some("a:a")).unwrap();
        assert!(find("a", &same).unwrap_err().contains("by its number, systemd:0 to systemd:1"));
        assert_eq!(find("1", &names("2", None).unwrap()), Ok(1));
    }

    #[test]
    fn what_is_not_for_us_is_not_taken() {
        for (pids, count, names) in [
            (("8", "7"), "1", None),
            (("", "7"), "1", None),
            (("7", "7"), "", None),
            (("7", "7"), "-1", None),
            (("7", "7"), "99999999999", None),
            (("7", "7"), "2", Some("a")),
        ] {
            assert!(parse(pids, count, names).is_err(), "{pids:?} {count} {names:?}");
        }
    }
}
