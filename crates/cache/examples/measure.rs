//! What the cache costs: memory for each token and lease, and processor time for renewing a hundred thousand leases
//! of an hour. The server is a function, and an hour passes at once.
//!
//!     cargo run --release -p cache --example measure
//!
//! Each line is of words `name=number`, which `bench/holding.py` reads.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a program for people, run by hand")]

use std::fs::read_to_string;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use cache::{Cache, Mode, Options};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tokio_util::sync::CancellationToken;
use vault::api::Caller;
use vault::{Body, BoxFuture, Request, Response, SendError, Token, Upstream};

const HOUR: Duration = Duration::from_secs(3600);

#[derive(Default)]
struct Server {
    count: AtomicU64,
    renewals: AtomicU64,
}

impl Upstream for Server {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>> {
        let n = self.count.fetch_add(1, Relaxed);
        let path = request.path();
        let mut body = if path.ends_with("/login") {
            format!(
                r#"{{"auth":{{"client_token":"hvs.CAESI{n:0>86}","accessor":"{n:0>24}","lease_duration":3600,"renewable":true,"orphan":true}},"pad":""#
            )
        } else if path.contains("renew") {
            self.renewals.fetch_add(1, Relaxed);
            let said = r#""lease_duration":3600,"renewable":true"#;
            return answer(format!(r#"{{"lease_id":"x",{said},"auth":{{"client_token":"x",{said}}}}}"#));
        } else {
            format!(
                r#"{{"lease_id":"database/creds/app/{n:0>24}","lease_duration":3600,"renewable":true,"pad":""#
            )
        };
        while body.len() < 498 {
            body.push('x');
        }
        body.push_str("\"}");
        answer(body)
    }
}

fn answer(body: String) -> BoxFuture<'static, Result<Response, SendError>> {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Box::pin(async { Ok(Response { status: StatusCode::OK, headers, body: Body::full(body) }) })
}

/// Resident bytes of this process.
fn resident() -> u64 {
    let pages = read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// Processor seconds of this process.
fn processor() -> f64 {
    let stat = read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

async fn measure(kind: &str, count: u64) {
    let server = Arc::new(Server::default());
    let (upstream, stop) = (Arc::clone(&server) as _, CancellationToken::new());
    let (cache, keep_alive) = Cache::with_options(
        Mode::Remember,
        Options::default(),
        None,
        upstream,
        Caller::default(),
        stop.clone(),
    );
    let keeping = tokio::spawn(keep_alive);
    let own = Token::new("hvs.own").unwrap();
    cache.set_own_token(0, Arc::new(own.clone()));
    let ask = async |n: u64| {
        let request = match kind {
            "tokens" => Request {
                body: format!(r#"{{"id":{n}}}"#).into(),
                ..Request::new(Method::POST, "auth/a/login")
            },
            _ => Request::new(Method::GET, &format!("database/creds/app?n={n}")).token(&own),
        };
        cache.send(request).await.unwrap();
    };
    // What is there once is no part of an entry.
    ask(u64::MAX).await;
    let before = resident();
    for n in 0..count {
        ask(n).await;
    }
    let grown = (resident() - before) / count;
    assert_eq!(cache.len() as u64, count + 1);
    let reckoned = cache.numbers().bytes as u64 / count;
    let (began, renewed) = (processor(), server.renewals.load(Relaxed));
    let (mut most, mut last) = (0, renewed);
    for _ in 0..3 * 360 {
        tokio::time::sleep(HOUR / 360).await;
        let now = server.renewals.load(Relaxed);
        (most, last) = (most.max(now - last), now);
    }
    let (spent, renewals) = (processor() - began, server.renewals.load(Relaxed) - renewed);
    println!(
        "{kind} count={count} bytes_each={grown} reckoned={reckoned} renewals={renewals} most_per_second={} core_percent={:.3}",
        most.div_ceil(10),
        spent / 10_800.0 * 100.0
    );
    stop.cancel();
    keeping.await.unwrap();
}

/// A line for each, in a process of its own: what one has freed the next would not ask for.
fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, kind, count] = arguments.as_slice() {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        return runtime.block_on(measure(kind, count.parse().unwrap()));
    }
    for count in ["10000", "100000"] {
        for kind in ["tokens", "leases"] {
            let program = std::env::current_exe().unwrap();
            let done = std::process::Command::new(program).args([kind, count]).status().unwrap();
            assert!(done.success());
        }
    }
}
