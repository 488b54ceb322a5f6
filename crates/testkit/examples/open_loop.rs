//! Sends requests at fixed times, whether or not the ones before are answered, and prints how long the answers took
//! from the time each was due: what a client waits, with the queue it finds. For `make bench`.
//!
//! One thread that never sleeps: timers would add their own waits.

#![expect(clippy::disallowed_types, reason = "real time is what it measures; there is no runtime here")]

use std::env::args;
use std::error::Error;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const REQUEST: &[u8] = b"GET /v1/secret/data/app HTTP/1.1\r\nHost: localhost\r\nX-Vault-Token: x\r\n\r\n";

/// One connection; it sends its next request when the last one is answered and the next one is due.
struct Lane {
    stream: TcpStream,
    answer: Vec<u8>,
    due: Instant,
    waiting: bool,
}

impl Lane {
    /// How long the answer took, once it is whole.
    fn poll(&mut self, now: Instant) -> Result<Option<Duration>, Box<dyn Error>> {
        if !self.waiting {
            if now >= self.due {
                self.stream.write_all(REQUEST)?;
                self.waiting = true;
            }
            return Ok(None);
        }
        let mut room = [0; 16 * 1024];
        match self.stream.read(&mut room) {
            Ok(0) => return Err("a connection was closed".into()),
            Ok(length) => self.answer.extend_from_slice(&room[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        if !whole(&self.answer)? {
            return Ok(None);
        }
        self.answer.clear();
        self.waiting = false;
        Ok(Some(self.due.elapsed()))
    }
}

/// Whether an answer with a `Content-Length` is here to its end.
fn whole(answer: &[u8]) -> Result<bool, Box<dyn Error>> {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(false) };
    let head = std::str::from_utf8(&answer[..end])?.to_ascii_lowercase();
    if !head.starts_with("http/1.1 200") {
        return Err(head.lines().next().unwrap_or_default().to_owned().into());
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).ok_or("no length")?;
    Ok(answer.len() >= end + 4 + length.trim().parse::<usize>()?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let numbers = args().skip(1).map(|text| text.parse::<u32>()).collect::<Result<Vec<_>, _>>()?;
    let &[port, rate, seconds, lanes] = &numbers[..] else {
        return Err("usage: open_loop PORT REQUESTS_PER_SECOND SECONDS CONNECTIONS".into());
    };
    let begin = Instant::now() + Duration::from_millis(100);
    let end = begin + Duration::from_secs(seconds.into());
    let between = Duration::from_secs(1) * lanes / rate;
    let mut all = (0..lanes)
        .map(|number| {
            let stream = TcpStream::connect(("127.0.0.1", u16::try_from(port)?))?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let due = begin + between * number / lanes;
            Ok(Lane { stream, answer: Vec::new(), due, waiting: false })
        })
        .collect::<Result<Vec<_>, Box<dyn Error>>>()?;
    let mut waits = Vec::new();
    while Instant::now() < end {
        for lane in &mut all {
            if let Some(wait) = lane.poll(Instant::now())? {
                waits.push(wait);
                lane.due += between;
            }
        }
    }
    waits.sort_unstable();
    let at = |hundredths: usize| waits.get(waits.len() * hundredths / 100).map_or(0, Duration::as_micros);
    #[expect(clippy::print_stdout, reason = "the figures are what it is for")]
    {
        println!("{{\"answers\": {}, \"p50\": {}, \"p99\": {}}}", waits.len(), at(50), at(99));
    }
    Ok(())
}
