//! Restored tokens are shown to the server before anything of theirs is handed out; while the server cannot be asked,
//! what is still alive is served, and marked.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use http::StatusCode;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use vault::api::Caller;
use vault::{Token, Upstream};

use crate::cache::Shared;
use crate::observe::Observation;

/// Tokens that are asked about at a time.
const AT_ONCE: usize = 16;

/// So many without an answer, one after the other, end a round.
const MOST_SILENT: usize = 4;

/// Requests wait this long for the first round, whatever the server does.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// First and longest pause while the server cannot be asked.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What the server says of a token.
#[derive(Clone, Copy, PartialEq)]
enum Said {
    Alive,
    Dead,
    Nothing,
}

/// Asks about every restored token until the server has answered for each. `settled` is cancelled after the first
/// round, or after [`PATIENCE`]: from then on nobody waits.
pub(crate) async fn confirm(
    shared: Arc<Shared>,
    upstream: Arc<dyn Upstream>,
    caller: Caller,
    settled: CancellationToken,
) {
    let in_time = async {
        sleep(PATIENCE).await;
        settled.cancel();
    };
    tokio::join!(rounds(shared, upstream, caller, &settled), in_time);
}

async fn rounds(
    shared: Arc<Shared>,
    upstream: Arc<dyn Upstream>,
    caller: Caller,
    settled: &CancellationToken,
) {
    let mut pause = PAUSES.0;
    let begun = Instant::now();
    let (mut alive, mut dead) = (0usize, 0usize);
    loop {
        let tokens = shared.store().unconfirmed();
        if tokens.is_empty() {
            break;
        }
        let mut answers = stream::iter(tokens)
            .map(|(id, token, namespace)| {
                let namespace = namespace.or_else(|| caller.namespace.clone());
                let caller = Caller { namespace, ..caller.clone() };
                let upstream = &upstream;
                async move { (id, ask(upstream.as_ref(), &caller, &token).await, token) }
            })
            .buffer_unordered(AT_ONCE);
        let (mut silent, mut in_a_row) = (false, 0);
        while let Some((id, said, token)) = answers.next().await {
            match said {
                Said::Alive => {
                    alive += 1;
                    in_a_row = 0;
                    shared.store().confirm(id);
                }
                Said::Dead => {
                    dead += 1;
                    in_a_row = 0;
                    // With what it asked for, and with answers that are under way.
                    shared.store().forget(&Observation::Token(token.expose().into()));
                    shared.kv().inspect(|kv| kv.token_gone(token.expose()));
                }
                // One may have a reason of its own; after many the next would wait for nothing as well.
                Said::Nothing => {
                    silent = true;
                    in_a_row += 1;
                    if in_a_row == MOST_SILENT {
                        break;
                    }
                }
            }
        }
        drop(answers);
        if silent && !settled.is_cancelled() {
            warn!(target: "cache.persist", "the server cannot be asked about the tokens of the last run; what lives by the clock is served, with a warning");
        }
        settled.cancel();
        if silent {
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }
    settled.cancel();
    if alive + dead > 0 {
        info!(target: "cache.persist", alive, dead, took = ?begun.elapsed(), "the server was asked about the tokens of the last run");
    }
}

async fn ask(upstream: &dyn Upstream, caller: &Caller, token: &Token) -> Said {
    match caller.lookup_self(upstream, token).await {
        Ok(_) => Said::Alive,
        // A live token without the default policy may not look at itself.
        Err(error) if error.status() == Some(StatusCode::FORBIDDEN) => {
            match caller.is_alive(upstream, token).await {
                Some(true) => Said::Alive,
                Some(false) => Said::Dead,
                None => Said::Nothing,
            }
        }
        Err(error) if matches!(error.status(), Some(StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND)) => {
            Said::Dead
        }
        Err(_) => Said::Nothing,
    }
}
