//! The store alone.

use super::*;

fn lease(n: usize, store: &Store) -> NewEntry<'static> {
    let keys = crate::key::Keys::new(&Options::default(), None);
    let request = Request { target: format!("/v1/{n}"), ..Request::default() };
    static HEADERS: std::sync::LazyLock<HeaderMap> = std::sync::LazyLock::new(HeaderMap::new);
    NewEntry {
        key: keys.key(&request),
        subject: Subject::Lease { lease: LeaseId::new(format!("db/{n}")).unwrap() },
        parent: store.managed("s.own"),
        place: Place::default(),
        status: StatusCode::OK,
        headers: &HEADERS,
        body: b"{}",
        told: Span::default(),
        life: Life::new(Duration::from_secs(60), Instant::now(), 0.5),
        now: Instant::now(),
        asker: Some("s.own"),
        again: None,
    }
}

#[tokio::test(start_paused = true)]
async fn children_are_found_among_many_and_nothing_is_left_behind() {
    let mut store = Store::default();
    store.set_own(0, Arc::new(Token::new("s.own").unwrap()));
    let empty = store.bytes();
    let mut ids: Vec<_> = (0..1000).map(|n| store.insert(lease(n, &store)).id).collect();
    fastrand::Rng::with_seed(1).shuffle(&mut ids);
    for (gone, id) in ids.iter().enumerate() {
        assert_eq!(store.evict(*id), 1);
        let own = store.node(store.managed("s.own").unwrap()).unwrap();
        assert_eq!(own.children.len(), 999 - gone);
        let ranked = |(rank, child): (usize, &Id)| store.node(*child).unwrap().rank as usize == rank;
        assert!(own.children.iter().enumerate().all(ranked));
    }
    assert_eq!((store.bytes(), store.len(), store.live), (empty, 0, 1));
    assert!(store.by_lease.is_empty() && store.by_key.is_empty() && store.by_asker.is_empty());
}

#[tokio::test(start_paused = true)]
async fn there_is_one_timer_an_entry() {
    let mut store = Store::default();
    store.set_own(0, Arc::new(Token::new("s.own").unwrap()));
    let Inserted { id, at, .. } = store.insert(lease(1, &store));
    assert!(store.arm(id, at));
    assert!(!store.arm(id, at) && !store.arm(id, at + Duration::from_secs(5)));
    let sooner = at - Duration::from_secs(5);
    assert!(store.arm(id, sooner));
    // The later one counts no more.
    assert!(store.fired(id, at).is_none());
    assert!(store.fired(id, sooner).is_some());
    assert!(store.arm(id, at));
}
