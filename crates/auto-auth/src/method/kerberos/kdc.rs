//! Asking a realm's KDCs: TCP first, as tickets of people in many groups are too long for UDP; UDP where nobody
//! answers on TCP.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio::time::timeout;

use super::super::LoginError;

/// How long one KDC may take. It answers in milliseconds; the next one is asked then.
const WITHIN: Duration = Duration::from_secs(3);

/// A request over UDP is sent again after this time: it may have been lost.
const UDP_AGAIN: Duration = Duration::from_secs(1);

/// The longest answer, in bytes: Active Directory's tickets end at about 64 KiB.
const MAX_ANSWER: usize = 1 << 18;

/// What it is called in messages.
pub(super) const WHAT: &str = "Kerberos KDC";

/// The KDCs of one realm; the one that answered last comes first.
pub(super) struct Kdcs(Vec<String>);

#[derive(Clone, Copy, Debug)]
enum Way {
    Tcp,
    Udp,
}

/// What a KDC said.
pub(super) struct Answer {
    pub(super) bytes: Vec<u8>,
    /// Which one.
    pub(super) from: String,
}

impl Kdcs {
    pub(super) fn new(addresses: &[String]) -> Self {
        Self(addresses.to_vec())
    }

    /// Asks one after the other until one answers.
    ///
    /// # Errors
    /// None did; with the reason of each.
    pub(super) async fn ask(&mut self, request: &[u8]) -> Result<Answer, LoginError> {
        let mut failures = Vec::new();
        for way in [Way::Tcp, Way::Udp] {
            for at in 0..self.0.len() {
                let Some(address) = self.0.get(at).cloned() else { continue };
                let asked = async {
                    match way {
                        Way::Tcp => over_tcp(&address, request).await,
                        Way::Udp => over_udp(&address, request).await,
                    }
                };
                let failure = match timeout(WITHIN, asked).await {
                    Ok(Ok(bytes)) => {
                        self.0.swap(0, at);
                        return Ok(Answer { bytes, from: address });
                    }
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => format!("no answer within {} seconds", WITHIN.as_secs()),
                };
                failures.push(format!("{address} ({way:?}): {failure}"));
            }
        }
        Err(LoginError::Outside {
            what: WHAT,
            url: self.0.join(", "),
            reason: format!("none can be reached: {}", failures.join("; ")),
        })
    }
}

async fn over_tcp(address: &str, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    let length = u32::try_from(request.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), request].concat()).await?;
    let length = stream.read_u32().await? as usize;
    if length > MAX_ANSWER {
        return Err(io::Error::other("its answer is too long, or it is no KDC"));
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

async fn over_udp(address: &str, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut last = io::Error::other("its name has no address");
    for address in lookup_host(address).await? {
        let own: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(own).await?;
        // Only the one asked is heard from then on.
        let exchange = async {
            socket.connect(address).await?;
            let mut answer = vec![0; usize::from(u16::MAX)];
            loop {
                socket.send(request).await?;
                if let Ok(length) = timeout(UDP_AGAIN, socket.recv(&mut answer)).await {
                    answer.truncate(length?);
                    return Ok(answer);
                }
            }
        };
        match exchange.await {
            Ok(answer) => return Ok(answer),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_kdc_that_is_silent_or_talks_rubbish_is_given_up_in_time() {
        let silent = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let at = silent.local_addr().unwrap();
        let _silent_too = UdpSocket::bind(at).await.unwrap();
        let rubbish = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let other = rubbish.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = rubbish.accept().await {
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request").await;
            }
        });
        let start = tokio::time::Instant::now();
        let mut kdcs = Kdcs::new(&[at.to_string(), other.to_string()]);
        let said = kdcs.ask(b"x").await.err().unwrap().to_string();
        assert!(
            said.contains(&format!(
                "{at} (Tcp): no answer within 3 seconds; {other} (Tcp): its answer is too long"
            )),
            "{said}"
        );
        assert!(said.contains(&format!("{at} (Udp): no answer within 3 seconds")), "{said}");
        assert!(start.elapsed() < WITHIN * 5, "{:?}", start.elapsed());
    }
}
