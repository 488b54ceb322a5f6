//! The emptiest program that passes requests on: what arrives at one end of a pair of connections goes out at the other,
//! and nothing is read, kept or decided. For `make bench`: what the kernel, the load generator and the server behind
//! leave to any proxy on this machine.
//!
//! One thread, one look at the kernel for all that is ready, one read and one write for each piece.

use std::env::args;
use std::error::Error;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

/// What an event of the listener carries; those of connections carry their place.
const LISTENER: u64 = u64::MAX;

fn main() -> Result<(), Box<dyn Error>> {
    let ports = args().skip(1).map(|text| text.parse::<u16>()).collect::<Result<Vec<_>, _>>()?;
    let &[own, server] = &ports[..] else { return Err("usage: bare_forwarder OWN_PORT SERVER_PORT".into()) };
    let listener = TcpListener::bind(("127.0.0.1", own))?;
    listener.set_nonblocking(true)?;
    let poll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&poll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    // Ends at even places belong to clients, the one behind each to its server. Places are not used again.
    let mut ends: Vec<Option<TcpStream>> = Vec::new();
    let mut events: Vec<Event> = Vec::with_capacity(1024);
    let mut room = [0; 16 * 1024];
    loop {
        epoll::wait(&poll, spare_capacity(&mut events), None)?;
        for event in events.drain(..) {
            if event.data.u64() == LISTENER {
                let (client, _) = listener.accept()?;
                for end in [client, TcpStream::connect(("127.0.0.1", server))?] {
                    end.set_nodelay(true)?;
                    end.set_nonblocking(true)?;
                    epoll::add(
                        &poll,
                        &end,
                        EventData::new_u64(ends.len() as u64),
                        EventFlags::IN | EventFlags::ET,
                    )?;
                    ends.push(Some(end));
                }
                continue;
            }
            let place = usize::try_from(event.data.u64())?;
            if !copy(&ends, place, &mut room)? {
                for end in [place, place ^ 1] {
                    ends[end].take().map(|end| end.shutdown(Shutdown::Both));
                }
            }
        }
    }
}

/// One read and one write; false at the end of either connection.
fn copy(ends: &[Option<TcpStream>], place: usize, room: &mut [u8]) -> Result<bool, Box<dyn Error>> {
    let (Some(mut from), Some(mut to)) = (ends[place].as_ref(), ends[place ^ 1].as_ref()) else {
        return Ok(false);
    };
    match from.read(room) {
        Ok(0) => Ok(false),
        Ok(length) if length == room.len() => {
            Err("more in one piece than a request or an answer has here".into())
        }
        Ok(length) => Ok(to.write_all(&room[..length]).is_ok()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(true),
        Err(_) => Ok(false),
    }
}
