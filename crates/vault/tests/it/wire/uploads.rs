//! Bodies that are sent as they come in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use vault::{Client, ClientSettings, Request, SendError, Upload, Upstream as _};

use super::{ok, put, status, text};

/// A body of `pieces` pieces of 64 KiB, each counted when it is asked for.
struct Source {
    pieces: usize,
    given: Arc<AtomicUsize>,
    sized: bool,
}

const PIECE: usize = 64 * 1024;

impl http_body::Body for Source {
    type Data = Bytes;
    type Error = String;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, String>>> {
        if self.pieces == 0 {
            return std::task::Poll::Ready(None);
        }
        self.pieces -= 1;
        self.given.fetch_add(1, Ordering::SeqCst);
        std::task::Poll::Ready(Some(Ok(http_body::Frame::data(vec![b'x'; PIECE].into()))))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self.sized {
            true => http_body::SizeHint::with_exact((self.pieces * PIECE) as u64),
            false => http_body::SizeHint::default(),
        }
    }
}

fn upload(pieces: usize, sized: bool) -> (Request, Arc<AtomicUsize>) {
    let given = Arc::new(AtomicUsize::new(0));
    let source = Source { pieces, given: Arc::clone(&given), sized };
    (Request { upload: Some(Upload::new(source)), ..put("begun") }, given)
}

#[tokio::test]
async fn long_bodies_go_out_as_they_come_in_with_back_pressure_and_once() {
    // Of known length, to a server that reads nothing for a while.
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let settings = ClientSettings::new(format!("http://{}", listener.local_addr().unwrap()).parse().unwrap());
    let client = Client::new(&settings).unwrap();
    let (request, given) = upload(1000, true);
    let sending = tokio::spawn({
        let client = client.clone();
        async move { client.send(request).await }
    });
    let (mut stream, _) = listener.accept().await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(
        given.load(Ordering::SeqCst) < 200,
        "{given:?} pieces were taken in without anybody reading them"
    );
    let (mut seen, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
    while seen.windows(4).all(|w| w != b"\r\n\r\n") {
        let read = stream.read(&mut buffer).await.unwrap();
        seen.extend_from_slice(&buffer[..read]);
    }
    let head = String::from_utf8_lossy(&seen[..400.min(seen.len())]).into_owned();
    assert!(head.contains(&format!("content-length: {}\r\n", 1000 * PIECE + 5)), "{head}");
    let body = seen.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let mut total = seen.len() - body;
    while total < 1000 * PIECE + 5 {
        total += stream.read(&mut buffer).await.unwrap();
    }
    stream.write_all(&ok("done")).await.unwrap();
    assert_eq!(text(sending.await.unwrap().unwrap()).await, "done");

    // Of unknown length: in chunks. Refused by the server it is not sent again, though the refusal could be repeated.
    let (request, _) = upload(3, false);
    let again = request.clone();
    let sending = tokio::spawn(async move { (client.send(request).await, client.send(again).await) });
    let (mut stream, mut seen) = (stream, Vec::new());
    while !seen.ends_with(b"\r\n0\r\n\r\n") {
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0);
        seen.extend_from_slice(&buffer[..read]);
    }
    let text_seen = String::from_utf8(seen).unwrap();
    assert!(
        text_seen.contains("transfer-encoding: chunked\r\n")
            && text_seen.contains("\r\n\r\n5\r\nbegun\r\n10000\r\n")
    );
    stream.write_all(&status(503, "no")).await.unwrap();
    let (first, second) = sending.await.unwrap();
    assert_eq!(first.unwrap().status.as_u16(), 503);
    assert!(matches!(second, Err(SendError::Upload(_))));
}

#[tokio::test]
async fn an_answer_before_the_body_is_sent_ends_the_upload() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let settings = ClientSettings::new(format!("http://{}", listener.local_addr().unwrap()).parse().unwrap());
    let client = Client::new(&settings).unwrap();
    let (request, given) = upload(5000, true);
    let sending = tokio::spawn(async move { client.send(request).await });
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.write_all(&status(413, "too long")).await.unwrap();
    let response = sending.await.unwrap().unwrap();
    assert_eq!(response.status.as_u16(), 413);
    assert_eq!(text(response).await, "too long");
    assert!(given.load(Ordering::SeqCst) < 1000);
}
