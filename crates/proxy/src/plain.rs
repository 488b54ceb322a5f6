//! Plain HTTP that is spoken to a listener with TLS: the client is told in words it can read, as by Go and nginx.

use std::io;
use std::time::Duration;

use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::time::timeout;
use vault::Stream;

const ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    content-length: 48\r\n\
    connection: close\r\n\r\n\
    Client sent an HTTP request to an HTTPS server.\n";

/// How long a client may take for its answer, and still be sending.
const PATIENCE: Duration = Duration::from_secs(2);

/// So much of what it sends is thrown away: closing beside unread bytes would tear the answer from its hands.
const MOST_UNREAD: usize = 1024 * 1024;

/// Whether the first byte, which stays where it is, begins a request and no TLS: methods are capital letters, and no
/// record of TLS begins with one (RFC 8446 section 5.1).
pub(crate) async fn is_spoken(stream: &mut Stream) -> io::Result<bool> {
    let mut first = [0; 1];
    let read = match stream {
        Stream::Tcp(tcp) => tcp.peek(&mut first).await?,
        Stream::Unix(unix) => {
            let peek = || Ok(recv(&*unix, &mut first, RecvFlags::PEEK)?.0);
            unix.async_io(Interest::READABLE, peek).await?
        }
        Stream::Other(_) => 0,
    };
    Ok(read == 1 && first.iter().all(u8::is_ascii_uppercase))
}

/// Says what is wrong, and closes.
pub(crate) async fn answer(mut stream: Stream) {
    let talk = async {
        stream.write_all(ANSWER).await?;
        stream.shutdown().await?;
        let (mut bin, mut unread) = ([0; 4096], 0);
        while unread < MOST_UNREAD {
            match stream.read(&mut bin).await? {
                0 => break,
                length => unread += length,
            }
        }
        io::Result::Ok(())
    };
    // It is closed either way.
    let _ = timeout(PATIENCE, talk).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_as_long_as_it_says() {
        let text = std::str::from_utf8(ANSWER).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
    }
}
