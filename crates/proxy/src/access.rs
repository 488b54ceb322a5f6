//! The access log: a line of JSON for each request, written by a thread of its own. Nobody waits for the disk: when
//! the lines come faster than they can be written, some are lost and counted. No line holds a value, a token, a query
//! or a header.

use std::io::{BufWriter, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, SystemTime};

use atomic_file::FileError;
use config::Endpoint;
use http::{HeaderValue, Method, Request, Response, Uri};
use serde_json::{Map, Value, json};
use tokio::net::unix::UCred;
use tokio::time::Instant;
use tracing::{error, warn};
use vault::{headers, shown, shown_path};

use crate::forward::X_CACHE;
use crate::inbound::Inbound;
use crate::target::Target;

/// Lines that wait to be written.
const WAITING: usize = 4096;

/// Mode of a file that is not there yet: the owner writes, the group reads.
const MODE: u32 = 0o640;

/// Where in an answer its request id is looked for: both servers write it first.
const BEGINNING: usize = 64;

/// The access log. Cheap to clone.
#[derive(Clone)]
pub struct AccessLog {
    queue: SyncSender<Order>,
    lost: Arc<AtomicU64>,
}

enum Order {
    Line(Box<Line>),
    Reopen,
    /// Answered when all before it is written.
    Finish(SyncSender<()>),
}

/// Where lines go.
#[derive(Clone, Debug)]
pub enum AccessTarget {
    /// Standard error.
    StandardError,
    /// A file that is added to.
    File(PathBuf),
}

impl AccessLog {
    /// Opens the file and starts the thread, which ends with the last clone.
    ///
    /// # Errors
    /// The file cannot be opened, or no thread started.
    pub fn start(target: AccessTarget) -> Result<Self, FileError> {
        let out = open(&target)?;
        let (queue, orders) = sync_channel(WAITING);
        let lost = Arc::<AtomicU64>::default();
        let started = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write_all(&target, out, &orders));
        if let Err(why) = started {
            error!(target: "accesslog", error = %why, "the access log's thread could not be started, nothing is written");
        }
        Ok(Self { queue, lost })
    }

    /// Lines that were lost because they came too fast.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// Opens the file anew: somebody has moved it away.
    pub fn reopen(&self) {
        let _ = self.queue.try_send(Order::Reopen);
    }

    /// Waits a moment until what was said is written.
    pub fn finish(&self) {
        let (done, waiting) = sync_channel(1);
        if self.queue.try_send(Order::Finish(done)).is_ok() {
            let _ = waiting.recv_timeout(Duration::from_secs(1));
        }
    }

    fn write(&self, line: Box<Line>) {
        if let Err(TrySendError::Full(_)) = self.queue.try_send(Order::Line(line)) {
            self.lost.fetch_add(1, Relaxed);
        }
    }
}

/// A listener as lines name it.
pub(crate) fn name_of(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Tcp(address) => address.to_string(),
        Endpoint::Unix { path, .. } => path.display().to_string(),
        Endpoint::Systemd { socket, .. } => format!("systemd:{socket}"),
    }
}

/// A client as lines name it: its address.
pub(crate) fn at(address: IpAddr) -> Value {
    json!({"ip": address.to_canonical().to_string()})
}

/// A process of this machine: its user and group, its number, and the program it ran when it connected.
pub(crate) fn process(peer: Option<UCred>) -> Value {
    let Some(peer) = peer else { return Value::Null };
    let mut known = Map::new();
    known.insert("uid".to_owned(), peer.uid().into());
    known.insert("gid".to_owned(), peer.gid().into());
    // 0 is a process that our namespace does not show.
    if let Some(pid) = peer.pid().filter(|pid| *pid > 0) {
        known.insert("pid".to_owned(), pid.into());
        if let Ok(program) = std::fs::read_link(format!("/proc/{pid}/exe")) {
            known.insert("exe".to_owned(), program.display().to_string().into());
        }
    }
    Value::Object(known)
}

fn open(target: &AccessTarget) -> Result<Box<dyn Write + Send>, FileError> {
    Ok(match target {
        AccessTarget::StandardError => Box::new(std::io::stderr()),
        AccessTarget::File(path) => Box::new(atomic_file::open_to_add(path, MODE)?),
    })
}

fn write_all(target: &AccessTarget, out: Box<dyn Write + Send>, orders: &Receiver<Order>) {
    let mut out = BufWriter::new(out);
    let mut failing = false;
    while let Ok(order) = orders.recv() {
        let mut next = Some(order);
        while let Some(order) = next {
            match order {
                Order::Line(line) => {
                    let written = writeln!(out, "{}", line.json());
                    tell(&mut failing, written);
                }
                Order::Reopen => match open(target) {
                    Ok(new) => {
                        let _ = out.flush();
                        out = BufWriter::new(new);
                    }
                    Err(why) => {
                        error!(target: "accesslog", error = %why, "the access log could not be opened again, the old file stays in use");
                    }
                },
                Order::Finish(done) => {
                    let _ = out.flush();
                    let _ = done.try_send(());
                }
            }
            next = orders.try_recv().ok();
        }
        tell(&mut failing, out.flush());
    }
}

/// Tells of the first of several failures.
fn tell(failing: &mut bool, outcome: std::io::Result<()>) {
    if let (Err(why), false) = (&outcome, *failing) {
        warn!(target: "accesslog", error = %why, "the access log cannot be written");
    }
    *failing = outcome.is_err();
}

/// What a line says of a request whose client left before there was an answer.
const LEFT: u16 = 499;

/// A request's line: written when this is dropped, whatever ended the request.
pub(crate) struct Entry {
    line: Option<Box<Line>>,
    log: AccessLog,
    /// What was asked, until the answer says it better.
    asked: Option<(Uri, Option<HeaderValue>)>,
}

impl Entry {
    /// Of a request that is about to be answered.
    pub(crate) fn new<B>(log: &AccessLog, listener: &Arc<str>, peer: Value, request: &Request<B>) -> Self {
        let namespace = request.headers().get(headers::NAMESPACE).cloned();
        let asked = Some((request.uri().clone(), namespace));
        let line = Line::new(listener, peer, request.method().clone());
        Self { line: Some(line), log: log.clone(), asked }
    }

    /// Of what was no request.
    pub(crate) fn refused(log: &AccessLog, listener: &Arc<str>, peer: Value) -> Self {
        Self { line: Some(Line::new(listener, peer, Method::GET)), log: log.clone(), asked: None }
    }

    /// The head of the answer is known.
    pub(crate) fn answered<B>(&mut self, response: &mut Response<B>) {
        self.asked = None;
        if let Some(line) = &mut self.line {
            line.answered(response);
        }
    }

    /// A piece of the answer's body left.
    pub(crate) fn sent(&mut self, data: &[u8]) {
        if let Some(line) = &mut self.line {
            line.sent(data);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let Some(mut line) = self.line.take() else { return };
        if let Some((uri, namespace)) = self.asked.take() {
            let target = uri.path_and_query().and_then(|t| Target::parse(t.as_str(), usize::MAX).ok());
            line.path = target.map(|target| shown_path(target.path()).to_owned());
            line.namespace = namespace.and_then(|value| value.to_str().ok().map(str::to_owned));
        }
        line.end(&self.log);
    }
}

/// A request and what became of it, as far as is known.
struct Line {
    time: SystemTime,
    began: Instant,
    listener: Arc<str>,
    peer: Value,
    method: Method,
    path: Option<String>,
    namespace: Option<String>,
    identity: Option<Value>,
    cache: Option<String>,
    request_id: Option<String>,
    status: u16,
    bytes: u64,
    took: Duration,
}

/// In an answer's extensions: what only its way knew.
#[derive(Clone, Default)]
pub(crate) struct Noted {
    pub(crate) path: Option<String>,
    pub(crate) namespace: Option<String>,
    /// Our token was used; the name of whose, `null` for the one without a name.
    pub(crate) identity: Option<Value>,
}

impl Noted {
    /// Of a request to a canonical path.
    pub(crate) fn of(path: &str, request: &Request<Inbound>) -> Self {
        let namespace = request.headers().get(headers::NAMESPACE).and_then(|value| value.to_str().ok());
        Self {
            path: Some(shown_path(path).to_owned()),
            namespace: namespace.map(str::to_owned),
            identity: None,
        }
    }
}

impl Line {
    fn new(listener: &Arc<str>, peer: Value, method: Method) -> Box<Self> {
        Box::new(Self {
            time: SystemTime::now(),
            began: Instant::now(),
            listener: Arc::clone(listener),
            peer,
            method,
            path: None,
            namespace: None,
            identity: None,
            cache: None,
            request_id: None,
            status: LEFT,
            bytes: 0,
            took: Duration::ZERO,
        })
    }

    fn answered<B>(&mut self, response: &mut Response<B>) {
        self.status = response.status().as_u16();
        let verdict = response.headers().get(X_CACHE).and_then(|verdict| verdict.to_str().ok());
        self.cache = verdict.map(str::to_ascii_lowercase);
        if let Some(noted) = response.extensions_mut().remove::<Noted>() {
            (self.path, self.namespace, self.identity) = (noted.path, noted.namespace, noted.identity);
        }
    }

    fn sent(&mut self, data: &[u8]) {
        if self.bytes == 0 {
            self.request_id = request_id(data);
        }
        self.bytes += data.len() as u64;
    }

    /// Its connection closed or its answer is over.
    fn end(mut self: Box<Self>, log: &AccessLog) {
        self.took = self.began.elapsed();
        log.write(self);
    }

    fn json(&self) -> Value {
        let mut line = Map::new();
        let micros = u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX);
        let mut put = |key: &str, value: Value| {
            if !value.is_null() {
                line.insert(key.to_owned(), value);
            }
        };
        put("time", time(self.time).into());
        put("listener", (&*self.listener).into());
        put("peer", self.peer.clone());
        put("method", shown(self.method.as_str()).into());
        put("path", self.path.clone().into());
        put("namespace", self.namespace.as_deref().map(shown).into());
        put("status", self.status.into());
        put("bytes", self.bytes.into());
        put("duration_ms", json!(micros as f64 / 1000.0));
        put("cache", self.cache.clone().into());
        put("request_id", self.request_id.clone().into());
        if let Some(identity) = &self.identity {
            line.insert("token".to_owned(), json!({"auto_auth": identity}));
        }
        Value::Object(line)
    }
}

/// The server's name for a request: the first key of its JSON. Nothing but what looks like one.
fn request_id(data: &[u8]) -> Option<String> {
    let text = data.get(..data.len().min(BEGINNING))?;
    let rest = text.strip_prefix(b"{\"request_id\":\"")?;
    let id = rest.split(|byte| *byte == b'"').next()?;
    let sound = id.len() == 36 && id.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
    sound.then(|| String::from_utf8_lossy(id).into_owned())
}

/// In UTC, to the millisecond.
fn time(at: SystemTime) -> String {
    let at = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let days = i64::try_from(at.as_secs() / 86_400).unwrap_or_default();
    let (second, milli) = (at.as_secs() % 86_400, at.subsec_millis());
    // Days to a date: Howard Hinnant's civil_from_days, for times after 1970.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (second, shown) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_772_323_199, "2026-02-28T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(time(SystemTime::UNIX_EPOCH + Duration::from_secs(second)), shown);
        }
    }

    #[test]
    fn a_request_id_is_one_or_nothing_is_told() {
        let id = "9d3d4a5c-6c1b-3f6a-8f8f-0f2d4e6a8c0e";
        let body = |id: &str| format!("{{\"request_id\":\"{id}\",\"data\":{{}}}}").into_bytes();
        assert_eq!(request_id(&body(id)).as_deref(), Some(id));
        for odd in ["hvs.CANARYCANARYCANARYCANARYCANARYCANARY", "", "9d3d"] {
            assert_eq!(request_id(&body(odd)), None, "{odd}");
        }
        assert_eq!(request_id(b"{\"data\":{\"request_id\":\"x\"}}"), None);
    }

    #[test]
    fn what_looks_like_a_token_is_in_no_line() {
        let token = "hvs.CAESICanary-Canary_CanaryCanary";
        let mut line = Line::new(&"http://a".into(), Value::Null, token.parse().unwrap());
        (line.namespace, line.path) = (Some(format!("team/{token}")), Some(shown_path(token).to_owned()));
        let json = line.json();
        assert!(!json.to_string().contains("Canary"), "{json}");
        assert_eq!(json["namespace"], "team/");
    }

    #[test]
    fn lines_that_come_too_fast_are_lost_and_counted_and_nobody_waits() {
        let (queue, orders) = sync_channel(1);
        let log = AccessLog { queue, lost: Arc::default() };
        for _ in 0..3 {
            Line::new(&"http://a".into(), Value::Null, Method::GET).end(&log);
        }
        assert_eq!(log.lost(), 2);
        drop(orders);
        Line::new(&"http://a".into(), Value::Null, Method::GET).end(&log);
    }
}
