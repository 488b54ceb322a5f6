//! Free ports.

use std::net::TcpListener;

/// A port that is free together with the next one: the server's cluster listener takes the second.
///
/// Another program may take it before it is used; whoever starts a server tries again then.
pub fn free_pair() -> std::io::Result<u16> {
    loop {
        let first = TcpListener::bind(("127.0.0.1", 0))?;
        let port = first.local_addr()?.port();
        if port < u16::MAX && TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return Ok(port);
        }
    }
}
