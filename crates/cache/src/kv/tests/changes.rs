//! Changes that the server tells of.

use super::*;

/// A server of Vault Enterprise, as far as it tells of changes.
async fn telling(
    accept: impl Fn(&str) -> String + Send + 'static,
) -> (std::net::SocketAddr, tokio::sync::mpsc::Sender<Vec<u8>>, tokio::task::JoinHandle<String>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, mut frames) = tokio::sync::mpsc::channel::<Vec<u8>>(8);
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let text = String::from_utf8(head.clone()).unwrap();
        let key = text.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap();
        let accepted = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {}\r\n\r\n",
            accept(key)
        );
        stream.write_all(accepted.as_bytes()).await.unwrap();
        while let Some(frame) = frames.recv().await {
            stream.write_all(&frame).await.unwrap();
        }
        String::from_utf8(head).unwrap()
    });
    (address, sender, task)
}

/// Subscribes at one server; everything else is the fake's.
struct Both {
    fake: Arc<FakeServer>,
    telling: vault::Client,
}

impl Upstream for Both {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>> {
        if request.upgrade { self.telling.send(request) } else { self.fake.send(request) }
    }
}

#[tokio::test]
async fn changes_that_the_server_tells_of_are_heeded_at_once() {
    let (address, frames, task) = telling(frames::accept).await;
    let fake = Arc::new(FakeServer::default());
    fake.write("a", 1);
    fake.token("s.a", &[A]);
    let client = vault::ClientSettings::new(format!("http://{address}").parse().unwrap());
    let both = Both { fake: Arc::clone(&fake), telling: vault::Client::new(&client).unwrap() };
    let (cache, keep_alive) =
        Cache::new(Mode::Remember, Arc::new(both), Caller::default(), CancellationToken::new());
    tokio::spawn(keep_alive);
    cache.set_own_token(0, Arc::new(Token::new("s.own").unwrap()));
    let kept = StaticSecrets { events: true, ..settings() };
    tokio::spawn(cache.keep_static_secrets(&kept, Caller::default(), CancellationToken::new()));
    let door = Door { server: fake, cache };
    let until = async |word: &str| {
        for _ in 0..500 {
            if door.word("s.a", A).await == word {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        unreachable!("{word} never came");
    };
    // The subscription first: what came before it is forgotten.
    frames.send(b"\x89\x00".to_vec()).await.unwrap();
    sleep(Duration::from_millis(300)).await;
    until("HIT").await;
    door.server.write("a", 2);
    let event = json!({"data": {"namespace": "", "event": {"metadata": {"path": "secret/data/a", "modified": "true"}}}});
    let event = event.to_string();
    let mut frame = vec![0x81, 126, 0, u8::try_from(event.len()).unwrap()];
    frame.extend_from_slice(event.as_bytes());
    frames.send(frame).await.unwrap();
    until("MISS").await;
    assert_eq!(door.ask(get("s.a", A)).await.2, 2);
    drop(frames);
    let head = task.await.unwrap();
    assert!(
        head.starts_with("GET /v1/sys/events/subscribe/kv*?json=true&namespaces=* HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(head.to_lowercase().contains("x-vault-token: s.own"), "{head}");
}

/// A server that changes over and did not understand: what it says is not heard.
#[tokio::test]
async fn a_server_that_did_not_understand_the_key_is_not_listened_to() {
    let (address, frames, task) = telling(|key| format!("not {key}")).await;
    let client = vault::ClientSettings::new(format!("http://{address}").parse().unwrap());
    let both = Both { fake: Arc::default(), telling: vault::Client::new(&client).unwrap() };
    let (cache, keep_alive) =
        Cache::new(Mode::Remember, Arc::new(both), Caller::default(), CancellationToken::new());
    tokio::spawn(keep_alive);
    cache.set_own_token(0, Arc::new(Token::new("s.own").unwrap()));
    let kept = StaticSecrets { events: true, ..settings() };
    tokio::spawn(cache.keep_static_secrets(&kept, Caller::default(), CancellationToken::new()));
    // It hangs up; a write to the closed connection fails in the end.
    for _ in 0..500 {
        if frames.send(b"\x89\x00".to_vec()).await.is_err() {
            assert!(task.await.unwrap_err().is_panic());
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    unreachable!("it listens on");
}
