//! Records that do not go together: two of the same token, lease or request.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::*;
use crate::clock::Clock;
use crate::disk::{StoredAnswer, StoredLife};

fn token(text: &str) -> StoredSubject {
    StoredSubject::Token { token: text.to_owned().into(), accessor: None }
}

fn lease(id: &str) -> StoredSubject {
    StoredSubject::Lease { lease: id.into() }
}

/// A record with an answer that is found by `key`.
fn record(id: u64, parent: Option<u64>, subject: StoredSubject, key: u8) -> Record {
    let granted = Clocks::read(&Clock::default()).wall;
    let answer = StoredAnswer {
        key: [key; 16],
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        body: Bytes::from(format!("{id}")),
        since: granted,
        told: Span::default(),
    };
    let life = StoredLife { granted, ttl: 3_600_000, fading: false, idle: 0 };
    let (namespace, asker) = (None, None);
    let (life, answer) = (Some(life), Some(answer));
    Record { id, parent, subject, namespace, path: "/v1/x".into(), asker, life, answer }
}

fn restore(records: Vec<Record>) -> (Store, Restored) {
    let mut store = Store::default();
    store.keep_journal();
    let restored = store.restore(records, Clocks::read(&Clock::default()), || 0.5);
    (store, restored)
}

fn answer(store: &mut Store, key: u8) -> Option<Bytes> {
    let hit = store.hit(&Key::from_bytes([key; 16]), Instant::now());
    match hit?.response.body {
        vault::Body::Full(body) => body,
        _ => None,
    }
}

fn gone(store: &Store) -> Vec<u64> {
    let mut gone: Vec<_> = store.journal.gone.iter().map(|(_, number)| *number).collect();
    gone.sort_unstable();
    gone
}

#[tokio::test]
async fn of_two_records_of_a_token_the_later_counts_and_takes_what_hung_on_the_other() {
    let (mut store, _) = restore(vec![
        record(1, None, token("s.a"), 1),
        record(2, Some(1), lease("db/1"), 2),
        record(3, None, token("s.a"), 3),
        // It hangs on what has given way: nobody would notice its end.
        record(4, Some(1), lease("db/2"), 4),
        record(5, Some(3), lease("db/3"), 5),
    ]);
    assert_eq!(store.live, 2);
    assert_eq!(gone(&store), [1, 2, 4], "they would come back at each start");
    for (key, there) in [(1, false), (2, false), (3, true), (4, false), (5, true)] {
        assert_eq!(answer(&mut store, key).is_some(), there, "{key}");
    }
    // All that is left hangs together.
    let id = store.managed("s.a").unwrap();
    store.evict(id);
    assert_eq!((store.live, store.lease("db/3")), (0, None));
}

#[tokio::test]
async fn a_token_that_hangs_on_itself_is_none() {
    let (store, restored) =
        restore(vec![record(1, None, token("s.a"), 1), record(2, Some(1), token("s.a"), 2)]);
    assert_eq!((store.live, restored.ended, gone(&store)), (0, 1, vec![1, 2]));
}

#[tokio::test]
async fn of_two_records_of_a_lease_the_later_counts() {
    let (mut store, _) = restore(vec![
        record(1, None, token("s.a"), 1),
        record(2, Some(1), lease("db/1"), 2),
        record(3, Some(1), lease("db/1"), 3),
    ]);
    assert_eq!((store.live, gone(&store)), (2, vec![2]));
    assert_eq!(answer(&mut store, 2), None);
    assert_eq!(answer(&mut store, 3).unwrap(), "3");
}

/// Both live at the server: both are kept alive, and the later is handed out.
#[tokio::test]
async fn of_two_records_of_a_request_both_live_and_the_later_answers() {
    let (mut store, _) = restore(vec![
        record(1, None, token("s.a"), 1),
        record(2, Some(1), lease("db/1"), 9),
        record(3, Some(1), lease("db/2"), 9),
    ]);
    assert_eq!((store.live, gone(&store)), (3, vec![]));
    assert_eq!(answer(&mut store, 9).unwrap(), "3");
    let other = store.lease("db/1").unwrap();
    assert_eq!(store.sort(other), Some((true, false)), "an answer that nobody is given takes up room");
    store.evict(other);
    assert_eq!(answer(&mut store, 9).unwrap(), "3", "it took the other's answer along");
}
