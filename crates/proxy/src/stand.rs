//! What a listener needs to stand on without a program around it: for tests and fuzzing.

use std::sync::Arc;
use std::time::Duration;

use cache::{Cache, Mode};
use config::{Endpoint, Listener, UseAutoAuthToken};
use http::HeaderValue;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use vault::api::Caller;
use vault::{Product, TokenState, Upstream};

use crate::replay::WaitingRoom;
use crate::report::Report;
use crate::route::{Context, Handles};
use crate::tunnel::Tunnels;

/// On loopback, with every default.
pub(crate) fn listener() -> Listener {
    Listener { endpoint: Endpoint::Tcp(([127, 0, 0, 1], 8200).into()), ..Listener::default() }
}

/// Before `upstream`, without a cache. The token of `state`, if there is one, is added where a client has none.
pub(crate) fn context(upstream: Arc<dyn Upstream>, state: TokenState) -> Context {
    let caller = Caller {
        user_agent: "stand".to_owned(),
        namespace: None,
        address: "http://127.0.0.1:1".to_owned(),
        timeout: Duration::from_secs(60),
    };
    let (cache, _) = Cache::new(Mode::PassOn, upstream, caller, CancellationToken::new());
    let has_token = state.token.is_some();
    let when = if has_token { UseAutoAuthToken::WhenMissing } else { UseAutoAuthToken::No };
    Context {
        cache,
        tokens: watch::channel(state).1,
        use_auto_auth_token: when,
        has_auto_auth: has_token,
        strict_paths: false,
        namespace: None,
        product: Product::Agent,
        user_agent: HeaderValue::from_static("stand"),
        waiting_room: WaitingRoom::default(),
        tunnels: Tunnels::default(),
        passed: Arc::default(),
        identity: None,
        access: None,
        report: Arc::new(Silent),
        handles: Handles {
            refused: Arc::new(|_| Box::pin(async { false })),
            quit: Arc::new(|| {}),
            reload: Arc::new(|| Box::pin(async { Err(Vec::new()) })),
        },
    }
}

/// Nobody who knows how anything stands.
struct Silent;

impl Report for Silent {
    fn prometheus(&self) -> Option<String> {
        None
    }

    fn json(&self) -> String {
        "{}".to_owned()
    }

    fn health(&self) -> (bool, Value) {
        (false, Value::Null)
    }

    fn status(&self) -> Value {
        Value::Null
    }
}
