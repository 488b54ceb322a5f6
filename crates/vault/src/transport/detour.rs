//! Asking a proxy for a tunnel to a server: `CONNECT`, RFC 9110 section 9.3.6.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::{Address, Proxy};

/// What a proxy may say before the tunnel is there.
const MOST_HEAD: usize = 16 * 1024;

/// Headers it may say it in.
const MOST_HEADERS: usize = 64;

/// Asks for the tunnel; the stream leads to the server then. Whoever calls sets the time limit.
///
/// # Errors
/// What the proxy said instead.
pub(super) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    server: &Address,
    proxy: &Proxy,
) -> Result<S, String> {
    let authority = server.authority();
    let mut request = format!("CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n").into_bytes();
    if let Some(authorization) = proxy.authorization() {
        request.extend_from_slice(b"proxy-authorization: ");
        request.extend_from_slice(authorization.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    stream.write_all(&request).await.map_err(|error| error.to_string())?;
    stream.flush().await.map_err(|error| error.to_string())?;
    let mut head = Vec::with_capacity(512);
    loop {
        let mut part = [0; 512];
        let length = stream.read(&mut part).await.map_err(|error| error.to_string())?;
        if length == 0 {
            return Err("closed the connection before it answered".to_owned());
        }
        head.extend_from_slice(part.get(..length).unwrap_or_default());
        if let Some(left) = read(&head)? {
            // The server speaks second, in TLS.
            return if left == 0 { Ok(stream) } else { Err("said more than its answer".to_owned()) };
        }
        if head.len() > MOST_HEAD {
            return Err("sent an endless answer".to_owned());
        }
    }
}

/// How much follows the head of a 2xx; none when the head is not whole yet.
fn read(bytes: &[u8]) -> Result<Option<usize>, String> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut answer = httparse::Response::new(&mut headers);
    let end = match answer.parse(bytes) {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(format!("answered something that is no HTTP: {error}")),
    };
    match answer.code.unwrap_or_default() {
        200..=299 => Ok(Some(bytes.len() - end)),
        407 => Err("407: it wants to know who we are; put user:password@ before its host".to_owned()),
        code => Err(format!("answered {code} {}", answer.reason.unwrap_or_default().escape_debug())),
    }
}
