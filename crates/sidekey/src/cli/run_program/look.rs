//! Looking before the program starts: what is asked for is there, or there is one clear error.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, stream};

use super::super::kv::{AT_ONCE, Found, Kv, KvError};
use super::asked::Whole;
use super::plan::{Naming, Plan, contents, origin};
use super::reference::{Ask, Piece, Reference, Want};
use crate::daemon::Session;

/// What is asked for.
pub(super) struct Wishes<'a> {
    pub(super) secrets: &'a [Whole],
    /// Variables whose values have references.
    pub(super) references: &'a [(String, Vec<Piece>)],
    /// What is missing is passed over.
    pub(super) ignore_missing: bool,
}

/// Looks at everything. The second value are the names of variables that are left out.
///
/// # Errors
/// The first thing that is missing, or that cannot be asked for, or two for one name.
pub(super) async fn look(session: Session, wishes: &Wishes<'_>) -> Result<(Plan, Vec<String>), String> {
    let kv = Kv::new(session);
    let mut plan = Plan::default();
    let mut left_out = Vec::new();
    let mut secrets = stream::iter(wishes.secrets).map(|whole| whole_secret(&kv, whole)).buffered(AT_ONCE);
    while let Some(found) = secrets.next().await {
        match found? {
            (Whole { path, version, prefix, keep_case }, Ok((all, passed_over))) => {
                for deleted in passed_over {
                    errln!("warning: {deleted} is left out: its latest version is deleted");
                }
                for found in &all {
                    plan.add_secret(path, *version, found, Naming { prefix, keep_case: *keep_case })?;
                }
            }
            (_, Err(error)) if error.is_missing() && wishes.ignore_missing => {
                errln!("warning: {}", told(&error));
            }
            (_, Err(error)) => return Err(told(&error)),
        }
    }
    let looked_at = all_references(&kv, wishes).await;
    'next: for (name, pieces) in wishes.references {
        let mut versioned = BTreeMap::new();
        for piece in pieces {
            let Some((path, version, want)) = read_of(piece) else { continue };
            let Some(looked) = looked_at.get(&(path, version)) else { continue };
            let Looked { versioned: is_versioned, found } =
                looked.as_ref().map_err(|error| format!("{name}: {}", told(error)))?;
            versioned.insert(path, *is_versioned);
            let found = match found {
                None => continue,
                Some(Ok(found)) => found,
                Some(Err(error)) if error.is_missing() && wishes.ignore_missing => {
                    errln!("warning: {name} is left out: {}", told(error));
                    left_out.push(name.clone());
                    continue 'next;
                }
                Some(Err(error)) => return Err(format!("{name}: {}", told(error))),
            };
            if let Want::Key(key) = want
                && !found.fields.contains_key(key)
            {
                let mut keys: Vec<&str> = found.fields.keys().map(String::as_str).collect();
                keys.sort_unstable();
                let why = format!("{path} has no key {key:?}; it has {}", keys.join(", "));
                if wishes.ignore_missing {
                    errln!("warning: {name} is left out: {why}");
                    left_out.push(name.clone());
                    continue 'next;
                }
                return Err(format!("{name}: {why}"));
            }
        }
        let contents = contents(pieces, |path| versioned.get(path).copied().unwrap_or_default());
        plan.add(name.clone(), origin(pieces), contents)?;
    }
    Ok((plan, left_out))
}

/// What a reference reads: its path, the version, and what of it. A write is made once, by the agent.
fn read_of(piece: &Piece) -> Option<(&str, Option<u64>, &Want)> {
    match piece {
        Piece::Secret(Reference { path, want, ask: Ask::Read(version) }) => Some((path, *version, want)),
        _ => None,
    }
}

/// A secret and whatever is there: all it means, and the paths that were passed over.
type Secret<'a> = (&'a Whole, Result<(Vec<Found>, Vec<String>), KvError>);

async fn whole_secret<'a>(kv: &Kv, whole: &'a Whole) -> Result<Secret<'a>, String> {
    let Whole { path, version, .. } = whole;
    if path.trim_matches('/').is_empty() {
        return Err(format!("-secret={path} names no secret; write -secret=PATH, as in -secret=secret/app"));
    }
    let place = kv.place(path.trim_matches('/')).await.map_err(|error| told(&error))?;
    if !is_key_value(&place.kind) {
        return Err(format!(
            "{path} is of the kind {:?}, where each read makes something new; name each variable: --env NAME=vault:{path}#KEY",
            place.kind
        ));
    }
    let mut passed_over = Vec::new();
    let found = match version {
        Some(_) => kv.read(path.trim_matches('/'), place.mount, *version).await.map(|found| vec![found]),
        None => kv.expand(path, |path| passed_over.push(path.to_owned())).await,
    };
    Ok((whole, found.map(|found| (found, passed_over))))
}

/// A path that a reference names.
struct Looked {
    versioned: bool,
    /// Nothing where a read makes something new.
    found: Option<Result<Found, KvError>>,
}

/// Looks at whatever references name, each path and version once, several at a time. What is not asked for any more
/// behind an error is not in there.
async fn all_references<'a>(
    kv: &Kv,
    wishes: &Wishes<'a>,
) -> BTreeMap<(&'a str, Option<u64>), Result<Looked, KvError>> {
    let reads = wishes.references.iter().flat_map(|(_, pieces)| pieces).filter_map(read_of);
    let mut seen = BTreeSet::new();
    let wanted: Vec<(&str, Option<u64>)> =
        reads.map(|(path, version, _)| (path, version)).filter(|one| seen.insert(*one)).collect();
    let look = async |(path, version): (&'a str, Option<u64>)| {
        let place = match kv.place(path).await {
            Ok(place) => place,
            Err(error) => return ((path, version), Err(error)),
        };
        let versioned = place.mount.as_ref().is_some_and(|mount| mount.versioned);
        let found = match is_key_value(&place.kind) {
            true => Some(kv.read(path, place.mount, version).await),
            false => None,
        };
        ((path, version), Ok(Looked { versioned, found }))
    };
    let mut looks = stream::iter(wanted).map(look).buffered(AT_ONCE);
    let mut all = BTreeMap::new();
    while let Some((key, looked)) = looks.next().await {
        let goes_on = match &looked {
            Ok(Looked { found: Some(Err(error)), .. }) => error.is_missing() && wishes.ignore_missing,
            Ok(_) => true,
            Err(_) => false,
        };
        all.insert(key, looked);
        if !goes_on {
            break;
        }
    }
    all
}

/// Where a read changes nothing.
fn is_key_value(kind: &str) -> bool {
    matches!(kind, "kv" | "generic" | "cubbyhole")
}

fn told(error: &KvError) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use serde_json::json;
    use tokio::time::{Instant, sleep};
    use vault::api::Caller;
    use vault::{Body, BoxFuture, Request, Response, SendError, Token, Upstream};

    use super::super::reference::{Transit, parse};
    use super::*;

    /// Answers after a second; the further behind in the alphabet a path is, the sooner.
    #[derive(Default)]
    struct Slow {
        now: AtomicUsize,
        most: AtomicUsize,
        asked: Mutex<Vec<String>>,
    }

    impl Upstream for Slow {
        fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>> {
            let path = request.target.trim_start_matches("/v1/").to_owned();
            Box::pin(async move {
                let now = self.now.fetch_add(1, Relaxed) + 1;
                self.most.fetch_max(now, Relaxed);
                self.asked.lock().unwrap().push(path.clone());
                let sooner = u64::from(path.bytes().last().unwrap_or_default());
                sleep(Duration::from_millis(1000 - sooner)).await;
                self.now.fetch_sub(1, Relaxed);
                let (status, body) = if path.starts_with("sys/internal/ui/mounts/") {
                    (200, json!({"data": {"path": "kv/", "type": "kv", "options": {"version": "1"}}}))
                } else if path.contains("none") {
                    (404, json!({"errors": []}))
                } else {
                    (200, json!({"data": {"k": "v"}}))
                };
                let status = http::StatusCode::from_u16(status).unwrap();
                Ok(Response { status, headers: http::HeaderMap::new(), body: Body::full(body.to_string()) })
            })
        }
    }

    async fn looked(
        server: &Arc<Slow>,
        values: &[String],
        ignore_missing: bool,
    ) -> Result<(Plan, Vec<String>), String> {
        let references: Vec<(String, Vec<Piece>)> = values
            .iter()
            .enumerate()
            .map(|(nth, value)| (format!("V{nth}"), parse(value, Transit::default()).unwrap().unwrap()))
            .collect();
        let upstream: Arc<dyn Upstream> = Arc::clone(server) as _;
        let token = Arc::new(Token::new("s.1").unwrap());
        let session = Session { upstream, caller: Caller::default(), token };
        look(session, &Wishes { secrets: &[], references: &references, ignore_missing }).await
    }

    #[tokio::test(start_paused = true)]
    async fn several_are_asked_for_at_a_time_and_each_once() {
        let server = Arc::<Slow>::default();
        let began = Instant::now();
        let values: Vec<String> = (0..64).map(|nth| format!("vault:kv/{}#k", nth % 32)).collect();
        let (plan, left_out) = looked(&server, &values, false).await.unwrap();
        assert_eq!((plan.0.len(), left_out.len()), (64, 0));
        assert_eq!((server.most.load(Relaxed), server.asked.lock().unwrap().len()), (AT_ONCE, 33));
        let took = began.elapsed();
        assert!(took <= Duration::from_secs(5), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_that_is_missing_is_told_whoever_answers_first() {
        let server = Arc::<Slow>::default();
        let values = ["kv/a", "kv/none-a", "kv/none-z", "kv/z"].map(|path| format!("vault:{path}#k"));
        let why = looked(&server, &values, false).await.err().unwrap();
        assert!(why.starts_with("V1: ") && why.contains("kv/none-a"), "{why}");
        let (plan, left_out) = looked(&server, &values, true).await.unwrap();
        assert_eq!((plan.0.len(), left_out), (2, vec!["V1".to_owned(), "V2".to_owned()]));
    }
}
