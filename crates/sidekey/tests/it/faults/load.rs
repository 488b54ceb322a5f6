//! A steady stream of requests, and what became of each.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use testkit::Api;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// Clients at a time.
const CLIENTS: usize = 8;

/// Each waits so long after an answer.
const PAUSE: Duration = Duration::from_millis(40);

/// A request and its end.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
    /// The secret it wrote; none was written before at that path.
    pub(crate) wrote: Option<String>,
    /// The status, or why there was no answer.
    pub(crate) status: Result<u16, String>,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn is_fine(&self) -> bool {
        self.status.as_ref().is_ok_and(|status| *status == 200)
    }
}

/// Reads and, where asked for, writes in turn, until it is told to stop.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<Seen>>>,
}

impl Load {
    /// `writes`: the beginning of the names of what is written.
    pub(crate) fn start(listener: &Api, writes: Option<&str>) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let client = |number: usize| {
            let (listener, stop) = (listener.clone(), Arc::clone(&stop));
            let writes = writes.map(|name| format!("{name}-{number}"));
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let turn = seen.len();
                    let wrote =
                        writes.as_ref().filter(|_| turn % 2 == 1).map(|name| format!("{name}-{turn}"));
                    let began = Instant::now();
                    let answer = match &wrote {
                        Some(name) => {
                            listener.post(&format!("secret/data/{name}"), &json!({"data": {"n": turn}})).await
                        }
                        None => listener.get("secret/data/app").await,
                    };
                    let (status, body) = match answer {
                        Ok(answer) => {
                            (Ok(answer.status.as_u16()), String::from_utf8_lossy(&answer.body).into_owned())
                        }
                        Err(error) => (Err(error.to_string()), String::new()),
                    };
                    seen.push(Seen { began, ended: Instant::now(), wrote, status, body });
                    sleep(PAUSE).await;
                }
                seen
            })
        };
        Self { clients: (0..CLIENTS).map(client).collect(), stop }
    }

    /// Everything that was asked, in the order of the answers.
    pub(crate) async fn stop(self) -> Vec<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for client in self.clients {
            all.extend(client.await.unwrap());
        }
        all.sort_by_key(|seen| seen.ended);
        all
    }
}

/// The longest time without a good answer, beginning with `from`.
pub(crate) fn gap(all: &[Seen], from: Instant) -> Duration {
    let mut last = from;
    let mut longest = Duration::ZERO;
    for seen in all.iter().filter(|seen| seen.is_fine() && seen.ended >= from) {
        longest = longest.max(seen.ended - last);
        last = seen.ended;
    }
    longest
}

/// When the first good answer came after `from`.
pub(crate) fn first_after(all: &[Seen], from: Instant) -> Duration {
    let first = all.iter().find(|seen| seen.is_fine() && seen.ended >= from);
    first.map(|seen| seen.ended - from).unwrap()
}

/// Those that were not answered with 200.
pub(crate) fn refused(all: &[Seen]) -> Vec<&Seen> {
    all.iter().filter(|seen| !seen.is_fine()).collect()
}
