//! Changes of secrets that the server tells of (Vault Enterprise). What has changed is forgotten at once; what is
//! missed is forgotten when its time is over, as without events.

use std::sync::{Arc, Weak};
use std::time::Duration;

use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};
use vault::api::Caller;
use vault::{Body, Token, Upstream};

use super::Kv;
use super::frames::{Ended, Message, Messages, accept, key};
use super::meaning::Reach;

/// How long nothing may come before we ask whether the server is there, and how long it may take to say so.
const SILENCE: Duration = Duration::from_secs(30);
const ANSWER: Duration = Duration::from_secs(10);
/// After the end of a subscription, and while our own token is not there or may not subscribe.
const PAUSE: Duration = Duration::from_secs(10);
/// A subscription that lasted longer has worked.
const LONG_ENOUGH: Duration = Duration::from_secs(60);
/// A server without events may be replaced by one that has them.
const LONG_PAUSE: Duration = Duration::from_secs(600);

const SUBSCRIPTION: &str = "sys/events/subscribe/kv*?json=true&namespaces=*";

/// Our own token, as it is now.
pub(super) type OwnToken = Box<dyn Fn() -> Option<Arc<Token>> + Send + Sync>;

/// Listens until it is dropped, or nobody keeps secrets any more.
pub(super) async fn run(kv: Weak<Kv>, upstream: Arc<dyn Upstream>, caller: Caller, own: OwnToken) {
    // A trouble is told once, until it is another, or is over for a while.
    let mut told = None;
    loop {
        let Some(token) = own() else {
            sleep(Duration::from_secs(1)).await;
            continue;
        };
        let outcome = listen(&kv, upstream.as_ref(), &caller, &token).await;
        let Some(kv) = kv.upgrade() else { return };
        let ttl = kv.state().settings.ttl;
        drop(kv);
        let pause = match outcome {
            Outcome::NotOffered(status) => {
                if is_new(&mut told, status.to_string()) {
                    warn!(
                        target: "cache.static", status = status.as_u16(), ?ttl,
                        "the server does not let us subscribe to changes of secrets: one that is made elsewhere is seen within the ttl"
                    );
                }
                if status == StatusCode::FORBIDDEN { PAUSE } else { LONG_PAUSE }
            }
            Outcome::Failed(why) => {
                if is_new(&mut told, why.clone()) {
                    warn!(
                        target: "cache.static", why, ?ttl,
                        "no subscription to changes of secrets: one that is made elsewhere is seen within the ttl; this is tried again"
                    );
                }
                PAUSE
            }
            Outcome::Ended(why, lasted) => {
                if lasted > LONG_ENOUGH {
                    told = None;
                }
                if is_new(&mut told, why.clone()) {
                    info!(target: "cache.static", why, "the subscription to changes of secrets ended, subscribing again");
                }
                PAUSE
            }
        };
        sleep(pause + pause.mul_f64(fastrand::f64() / 4.0)).await;
    }
}

fn is_new(told: &mut Option<String>, why: String) -> bool {
    told.replace(why.clone()) != Some(why)
}

enum Outcome {
    /// The server said no.
    NotOffered(StatusCode),
    /// There was none.
    Failed(String),
    /// It was heard for so long.
    Ended(String, Duration),
}

async fn listen(kv: &Weak<Kv>, upstream: &dyn Upstream, caller: &Caller, token: &Token) -> Outcome {
    let (request, key) = (caller.request(Method::GET, SUBSCRIPTION).token(token), key());
    let request = request
        .header(HeaderName::from_static("sec-websocket-version"), "13")
        .header(HeaderName::from_static("sec-websocket-key"), &key);
    let request = vault::Request { upgrade: true, ..request };
    let tunnel = match timeout(caller.timeout, upstream.send(request)).await {
        Err(_) => return Outcome::Failed("the server does not answer".to_owned()),
        Ok(Err(why)) => return Outcome::Failed(why.to_string()),
        Ok(Ok(response)) => match response.body {
            // Whoever changed over without having understood the key speaks something else.
            Body::Tunnel(_) if !is_accepted(&response.headers, &key) => {
                return Outcome::Failed("the server's Sec-WebSocket-Accept is wrong".to_owned());
            }
            Body::Tunnel(tunnel) => tunnel,
            _ if response.status.is_server_error() => {
                return Outcome::Failed(format!("status {}", response.status));
            }
            _ => return Outcome::NotOffered(response.status),
        },
    };
    // What changed while nobody listened is not known.
    match kv.upgrade() {
        Some(kv) => {
            kv.state().drop_bodies();
        }
        None => return Outcome::Failed("nobody keeps secrets any more".to_owned()),
    };
    debug!(target: "cache.static", "subscribed to changes of secrets");
    let since = Instant::now();
    let why = hear(kv, tunnel).await.to_string();
    Outcome::Ended(why, since.elapsed())
}

fn is_accepted(headers: &HeaderMap, key: &str) -> bool {
    let mut given = headers.get_all(header::SEC_WEBSOCKET_ACCEPT).iter();
    given.next().is_some_and(|given| given.as_bytes() == accept(key).as_bytes()) && given.next().is_none()
}

async fn hear(kv: &Weak<Kv>, tunnel: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin) -> Ended {
    let mut frames = Messages::new(tunnel);
    loop {
        let heard = match timeout(SILENCE, frames.next()).await {
            Ok(heard) => heard,
            Err(_) => {
                if let Err(why) = frames.ping().await {
                    return why;
                }
                match timeout(ANSWER, frames.next()).await {
                    Ok(heard) => heard,
                    Err(_) => return Ended::Malformed("nothing, though it was asked"),
                }
            }
        };
        let text = match heard {
            Ok(Message::Text(text)) => text,
            Ok(Message::Alive) => continue,
            Err(why) => return why,
        };
        let Some(kv) = kv.upgrade() else { return Ended::Closed };
        for place in changed(&text) {
            kv.state().wrote(&place, Reach::Path, None);
        }
    }
}

/// The places that an event says have changed.
fn changed(event: &[u8]) -> Vec<String> {
    let Ok(event) = serde_json::from_slice::<Value>(event) else { return Vec::new() };
    let data = &event["data"];
    let metadata = &data["event"]["metadata"];
    if metadata["modified"].as_str() != Some("true") {
        return Vec::new();
    }
    let namespace = data["namespace"].as_str().or(event["namespace"].as_str()).unwrap_or_default();
    let namespace = vault::Namespace::new(namespace);
    let namespace = namespace.as_ref().map_or("", vault::Namespace::as_str);
    let paths = ["path", "data_path"].into_iter().filter_map(|name| metadata[name].as_str());
    paths.map(|path| format!("/v1/{namespace}{}", path.trim_start_matches('/'))).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tracing::span;
    use vault::{BoxFuture, Request, Response, SendError};

    use serde_json::json;

    use super::super::tests::settings;
    use super::*;
    use crate::StaticSecrets;

    #[test]
    fn events_name_what_changed() {
        let event = |namespace: &str, modified: &str| {
            json!({"data": {"namespace": namespace, "event": {"metadata": {"path": "secret/delete/a", "data_path": "secret/data/a", "modified": modified}}}}).to_string()
        };
        let places = |text: String| changed(text.as_bytes());
        assert_eq!(places(event("", "true")), ["/v1/secret/delete/a", "/v1/secret/data/a"]);
        assert_eq!(places(event("ns1/", "true"))[0], "/v1/ns1/secret/delete/a");
        assert_eq!(places(event("root/", "true"))[0], "/v1/secret/delete/a");
        assert!(places(event("", "false")).is_empty());
        for wrong in ["", "[]", "{}", r#"{"data": 5}"#] {
            assert!(places(wrong.to_owned()).is_empty());
        }
    }

    /// Answers each subscription as the time says.
    struct Failing;

    impl Upstream for Failing {
        fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>> {
            let status = match request.upgrade {
                true if began().elapsed() < Duration::from_secs(100) => StatusCode::SERVICE_UNAVAILABLE,
                true => StatusCode::BAD_GATEWAY,
                false => StatusCode::OK,
            };
            Box::pin(
                async move { Ok(Response { status, headers: HeaderMap::new(), body: Body::full("{}") }) },
            )
        }
    }

    fn began() -> Instant {
        static BEGAN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *BEGAN.get_or_init(Instant::now)
    }

    /// The levels of what is logged.
    #[derive(Clone, Default)]
    struct Levels(Arc<Mutex<Vec<tracing::Level>>>);

    impl tracing::Subscriber for Levels {
        fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
            *metadata.level() <= tracing::Level::INFO
        }

        fn event(&self, event: &tracing::Event<'_>) {
            self.0.lock().unwrap().push(*event.metadata().level());
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_fails_is_told_of_once_until_it_fails_in_another_way() {
        let levels = Levels::default();
        let _logs = tracing::subscriber::set_default(levels.clone());
        began();
        let settings = StaticSecrets { events: true, ..settings() };
        let own = Box::new(|| Token::new("s.own").ok().map(Arc::new));
        let (_kv, run) =
            Kv::new(&settings, true, None, Arc::default(), Arc::new(Failing), Caller::default(), own);
        timeout(Duration::from_secs(200), run).await.unwrap_err();
        assert_eq!(*levels.0.lock().unwrap(), [tracing::Level::WARN; 2]);
    }
}
