//! Changes of secrets that the server tells of (Vault Enterprise). What has changed is forgotten at once; what is
//! missed is forgotten when its time is over, as without events.

use std::sync::{Arc, Weak};
use std::time::Duration;

use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use serde_json::Value;
use tokio::time::{sleep, timeout};
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
/// A server without events may be replaced by one that has them.
const LONG_PAUSE: Duration = Duration::from_secs(600);

const SUBSCRIPTION: &str = "sys/events/subscribe/kv*?json=true&namespaces=*";

/// Our own token, as it is now.
pub(super) type OwnToken = Box<dyn Fn() -> Option<Arc<Token>> + Send + Sync>;

/// Listens until it is dropped, or nobody keeps secrets any more.
pub(super) async fn run(kv: Weak<Kv>, upstream: Arc<dyn Upstream>, caller: Caller, own: OwnToken) {
    let mut told = None;
    loop {
        let Some(token) = own() else {
            sleep(Duration::from_secs(1)).await;
            continue;
        };
        let outcome = listen(&kv, upstream.as_ref(), &caller, &token).await;
        let Some(kv) = kv.upgrade() else { return };
        let pause = match outcome {
            Outcome::NotOffered(status) => {
                if told.replace(status) != Some(status) {
                    let ttl = kv.state().settings.ttl;
                    warn!(
                        target: "cache.static", status = status.as_u16(), ?ttl,
                        "the server does not let us subscribe to changes of secrets: one that is made elsewhere is seen within the ttl"
                    );
                }
                if status == StatusCode::FORBIDDEN { PAUSE } else { LONG_PAUSE }
            }
            Outcome::Ended(why) => {
                told = None;
                info!(target: "cache.static", why, "the subscription to changes of secrets ended, subscribing again");
                PAUSE
            }
        };
        drop(kv);
        sleep(pause + pause.mul_f64(fastrand::f64() / 4.0)).await;
    }
}

enum Outcome {
    /// The server said no.
    NotOffered(StatusCode),
    /// It was, or could not be, heard.
    Ended(String),
}

async fn listen(kv: &Weak<Kv>, upstream: &dyn Upstream, caller: &Caller, token: &Token) -> Outcome {
    let (request, key) = (caller.request(Method::GET, SUBSCRIPTION).token(token), key());
    let request = request
        .header(HeaderName::from_static("sec-websocket-version"), "13")
        .header(HeaderName::from_static("sec-websocket-key"), &key);
    let request = vault::Request { upgrade: true, ..request };
    let tunnel = match timeout(caller.timeout, upstream.send(request)).await {
        Err(_) => return Outcome::Ended("the server does not answer".to_owned()),
        Ok(Err(why)) => return Outcome::Ended(why.to_string()),
        Ok(Ok(response)) => match response.body {
            // Whoever changed over without having understood the key speaks something else.
            Body::Tunnel(_) if !is_accepted(&response.headers, &key) => {
                return Outcome::Ended("the server's Sec-WebSocket-Accept is wrong".to_owned());
            }
            Body::Tunnel(tunnel) => tunnel,
            _ if response.status.is_server_error() => {
                return Outcome::Ended(format!("status {}", response.status));
            }
            _ => return Outcome::NotOffered(response.status),
        },
    };
    // What changed while nobody listened is not known.
    match kv.upgrade() {
        Some(kv) => {
            kv.state().drop_bodies();
        }
        None => return Outcome::Ended("nobody keeps secrets any more".to_owned()),
    };
    debug!(target: "cache.static", "subscribed to changes of secrets");
    Outcome::Ended(hear(kv, tunnel).await.to_string())
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
    use serde_json::json;

    use super::*;

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
}
