//! Free ports.

use std::net::TcpListener;

/// Below the ports that Linux gives to outgoing connections (32,768 to 60,999 unless told otherwise, ip(7)): nobody
/// gets one of these by chance between its being found free and its being used.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// A port that is free together with the next one: the server's cluster listener takes the second.
///
/// # Errors
/// None was found.
pub fn free_pair() -> std::io::Result<u16> {
    let mut failure = None;
    for _ in 0..1_000 {
        let port = fastrand::u16(PORTS);
        let both = [port, port + 1].map(|port| TcpListener::bind(("127.0.0.1", port)));
        match both {
            [Ok(_), Ok(_)] => return Ok(port),
            [Err(error), _] | [_, Err(error)] => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into()))
}
