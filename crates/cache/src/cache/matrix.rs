//! What the cache is to do, and each of the older agents' faults that it is not to have, one test each.
//!
//! Where each part of it is shown. Names without a path are tests of this folder; `it` is `crates/sidekey/tests/it`,
//! where the real server answers.
//!
//! | Row | What | Tests |
//! |---|---|---|
//! | 1 | three logins are one; headers of a hit | `three_logins_are_one`, `hits_are_the_answer_byte_for_byte_without_what_was_of_the_moment`; `it/cache/logins.rs` |
//! | 2 | equal requests at once are one, KV reads too | `equal_requests_under_way_are_one`, `writes_that_are_not_remembered_are_never_shared`, `r_g_*`; `it/cache/logins.rs`, `it/kv_cache.rs` |
//! | 3 | what tells requests apart | `key.rs`: `what_describes_the_client_does_not_count`, `what_changes_the_answer_counts`, `spellings_of_one_request_are_one`, `answers_for_one_reader_are_never_shared`, `strict_keys_are_upstreams` |
//! | 4 | what is remembered | `policy.rs`: `the_table`, `bad_answers_are_passed_on`; `leases_belong_to_known_tokens`; `it/cache/engines.rs`, `it/listener.rs`: `logins_leases_and_children_are_cached_and_secrets_are_not` |
//! | 5 | renewals are carried out each time | `row_5_*`, `renewals_go_through_every_time`; `it/cache/forgotten.rs` |
//! | 6 | revocations in every form | `row_6_*`, `revocations_that_pass_by_are_obeyed_at_once`; `observe.rs`; `it/cache/forgotten.rs`, `it/cache/databases.rs`: `forms` |
//! | 7 | cache-clear | `row_7_*`, `clearing_keeps_our_own_token_known`; `clear.rs`: `refuses_with_upstreams_words`; `it/cache/clearing.rs`, beside the real agent |
//! | 8 | rhythm, maximum TTL, replacement | `row_8_*`, `f25_*`; `life.rs`; `it/cache/databases.rs`: `rhythm`, `tokens` |
//! | 9 | revoked at the server | `row_9_*`, `a_lease_that_is_gone_at_the_server_goes_at_the_next_renewal`, `a_dead_token_takes_its_leases_along`; `it/cache/databases.rs`: `revoked_elsewhere`, `it/cache/outage.rs`: `f10_f24_*` |
//! | 10 | the server is away | `row_10_*`, `f24_*`, `in_an_outage_a_lease_is_served_to_its_end_and_not_beyond`; `it/cache/outage.rs`: `f01_f03_*` |
//! | 11 | our token is replaced | `row_11_*`, `a_new_token_of_ours_leaves_nothing_of_the_old_behind`; `it/cache/databases.rs`: `rotation` |
//! | 12 | our token does not leave | `crates/proxy/src/redact.rs`, `filter.rs`; `it/listener.rs`: `the_token_does_not_leave` |
//! | 13 | Bearer and inline authentication | `s68_*`; `crates/proxy/src/token.rs`: `s3_a_bearer_is_the_token`, `the_table` |
//! | 14 | on disk (upstream's own file is not read) | `disk/tests.rs`: `many_changes_are_few_writes_and_one_record_each`, `what_was_remembered_is_there_after_a_restart`; `disk/tests/damage.rs`: `a_damaged_record_is_one_record_lost`; `it/persist.rs` |
//! | 15 | bounds, and the rate of renewals | `row_15_*`, `store/tests.rs`: `there_is_one_timer_an_entry`; memory is measured by `make bench` |
//! | 16 | KV secrets | `kv/tests/conditions.rs`: `condition_*` (the third is a check of the configuration: `plain_listeners_that_others_reach_are_refused`), `kv/tests/answers.rs`: `versions_never_go_backwards`; `it/kv_cache.rs` |
//!
//! Faults of the older agents, and the test that each would fail:
//!
//! | Fault | Test |
//! |---|---|
//! | answers to renewals are remembered, and take the place of what they renewed | `row_5_*` |
//! | the second `renew-self` with the agent's own token is a 500 | `it/cache/forgotten.rs` |
//! | nobody can have two child tokens | `clients_may_pass_by_the_cache`, `denied_paths_are_asked_for_each_time` |
//! | revocations answered 202, by URL, prefix, force or an old name evict nothing; unmounting neither | `row_6_every_form_of_revocation_evicts`, `it/cache/databases.rs`: `forms` |
//! | a revoked token is given the child it once made | `row_6_a_revoked_token_gets_no_orphan_that_it_made`, `it/cache/forgotten.rs` |
//! | a revocation that cannot be read is a 500 | `bookkeeping_never_fails_a_client` |
//! | eviction comes after the answer | `row_6_*`; `disk/tests.rs`: `a_revocation_is_on_the_disk_before_its_answer` |
//! | after clearing, nothing of the agent's own token is remembered any more | `clearing_keeps_our_own_token_known` |
//! | the file grows with every renewal; a restart renews everything at once and several times | `many_changes_are_few_writes_and_one_record_each`, `what_was_remembered_is_there_after_a_restart` |
//! | one bad record loses all of its kind | `a_damaged_record_is_one_record_lost` |
//! | a new service account token loses the file | `disk/service_account.rs`, `it/persist.rs` |
//! | the key lies in the file, and so do clients' tokens | `what_was_remembered_is_there_after_a_restart` |
//! | what was revoked comes back after a restart | `a_revocation_is_on_the_disk_before_its_answer`, `it/persist.rs` |
//! | a Bearer is overruled by the agent's own token | `s3_a_bearer_is_the_token`, `s68_*` |
//! | requests before the first login go out without a token | `crates/proxy/src/tests/targets.rs`: `what_needs_our_token_waits_for_the_first_login_and_not_for_ever` |
//! | inline authentication beside a token fails for a minute | `crates/proxy/src/token.rs`: `the_table` |
//! | `lookup` with `{}`, and wrapped lookups, tell the agent's token; an empty body is a 500 | `it/listener.rs`: `the_token_does_not_leave` |
//! | a template's own `lookup-self` says `<no value>`; template and client have two leases | `it/cache/databases.rs`: `shared` |

use std::sync::atomic::Ordering::Relaxed;

use http::{HeaderValue, Method, header};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::tests::{Door, OWN, door_with, get, login, put};
use super::*;
use crate::{ClearRequest, Cleared};

fn door(ttl: u64) -> Door {
    door_with(ttl, Options::default())
}

fn creds() -> Request {
    get("database/creds/app")
}

fn wishing(request: Request, wish: &'static str) -> Request {
    let mut request = request;
    request.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(wish));
    request
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn issued(answer: &Value) -> Token {
    Token::new(answer["auth"]["client_token"].as_str().unwrap()).unwrap()
}

async fn raw(door: &Door, request: Request) -> (http::HeaderMap, bytes::Bytes) {
    let answer = Cache::send(&door.cache, request).await.unwrap().response;
    (answer.headers, answer.body.collect(MAX_BODY, seconds(60)).await.unwrap())
}

/// Upstream told a lease of 10 seconds at its twelfth that it had 10 more.
#[tokio::test(start_paused = true)]
async fn a_hit_says_how_long_it_still_lives() {
    let door = door(100);
    let (headers, first) = raw(&door, creds()).await;
    assert!(headers.get("x-cache-lease-remaining").is_none());
    sleep(seconds(30)).await;
    let (headers, hit) = raw(&door, creds()).await;
    assert_eq!(headers["x-cache-lease-remaining"], "69");
    let text = |bytes: &bytes::Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    // All other bytes stay.
    assert_eq!(text(&hit), text(&first).replace("\"lease_duration\":100", "\"lease_duration\":69"));
    // After a renewal it lives longer again.
    sleep(seconds(50)).await;
    let (_, answer) = door.ask(creds()).await;
    assert!((85..=95).contains(&answer["lease_duration"].as_u64().unwrap()), "{answer}");
    door.ask(login()).await;
    sleep(seconds(10)).await;
    assert_eq!(door.ask(login()).await.1["auth"]["lease_duration"], 89);
}

#[tokio::test(start_paused = true)]
async fn clients_may_pass_by_the_cache() {
    let door = door(3600);
    assert_eq!(door.origin(wishing(creds(), "only-if-cached")).await, "504");
    let (_, first) = door.ask(creds()).await;
    assert_eq!(door.origin(wishing(creds(), "only-if-cached")).await, "HIT");
    // Neither read nor written.
    assert_eq!(door.origin(wishing(creds(), "no-store")).await, "MISS");
    assert_eq!(door.ask(creds()).await.1["lease_id"], first["lease_id"]);
    // Not read, but written: the next have the new one.
    let (origin, second) = door.ask(wishing(creds(), "no-cache")).await;
    assert_eq!(origin, "MISS");
    assert_ne!(second["lease_id"], first["lease_id"]);
    assert_eq!(door.ask(creds()).await.1["lease_id"], second["lease_id"]);
    // Two that want to be alone are.
    let before = door.server.count("database/creds/app");
    tokio::join!(door.ask(wishing(creds(), "no-store")), door.ask(wishing(creds(), "no-store")));
    assert_eq!(door.server.count("database/creds/app"), before + 2);
    // What was replaced is kept alive: somebody may hold it.
    sleep(seconds(2800)).await;
    assert_eq!(door.server.count("sys/leases/renew"), 2);
}

#[tokio::test(start_paused = true)]
async fn client_control_can_be_turned_off() {
    let door = door_with(3600, Options { client_control: false, ..Options::default() });
    door.ask(creds()).await;
    for wish in ["no-cache", "no-store", "only-if-cached"] {
        assert_eq!(door.origin(wishing(creds(), wish)).await, "HIT", "{wish}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_replaced_is_revoked_where_that_is_wanted() {
    let door = door_with(3600, Options { revoke_replaced: true, ..Options::default() });
    door.ask(creds()).await;
    door.ask(wishing(creds(), "no-cache")).await;
    sleep(seconds(1)).await;
    assert_eq!(door.server.count("sys/leases/revoke"), 1);
    assert_eq!(door.origin(creds()).await, "HIT");
}

#[tokio::test(start_paused = true)]
async fn denied_paths_are_asked_for_each_time() {
    let door =
        door_with(3600, Options { deny_paths: vec!["auth/token/create*".into()], ..Options::default() });
    let create = || put("auth/token/create", &json!({}));
    let (one, two) = tokio::join!(door.ask(create()), door.ask(create()));
    assert_ne!(one.1, two.1);
    assert_eq!(door.origin(create()).await, "MISS");
    door.ask(creds()).await;
    assert_eq!(door.origin(creds()).await, "HIT");
}

/// `disable_caching_dynamic_secrets`: each asks for its own; equal reads at once are still one.
#[tokio::test(start_paused = true)]
async fn leases_and_tokens_may_be_left_out() {
    let door = door_with(100, Options { leases: false, ..Options::default() });
    let (one, two) = tokio::join!(door.ask(login()), door.ask(login()));
    assert_ne!(one.1, two.1);
    let (_, first) = door.ask(creds()).await;
    assert_ne!(door.ask(creds()).await.1["lease_id"], first["lease_id"]);
    assert_eq!(door.origin(wishing(creds(), "only-if-cached")).await, "504");
    let before = door.server.count("sys/mounts");
    tokio::join!(door.ask(get("sys/mounts")), door.ask(get("sys/mounts")));
    assert_eq!(door.server.count("sys/mounts"), before + 1);
    // Nobody keeps them alive, and a revocation that passes by finds nothing.
    sleep(seconds(200)).await;
    door.ask(put("sys/leases/revoke", &json!({"lease_id": first["lease_id"]}))).await;
    assert_eq!((door.server.count("sys/leases/renew"), door.cache.len()), (0, 0));
}

/// In upstream the second renewal of a token was answered from memory, and renewed nothing.
#[tokio::test(start_paused = true)]
async fn row_5_renewals_reach_the_server_and_take_nothings_place() {
    let door = door(3600);
    let (_, lease) = door.ask(creds()).await;
    for _ in 0..2 {
        assert_eq!(
            door.origin(put("sys/leases/renew", &json!({"lease_id": lease["lease_id"]}))).await,
            "MISS"
        );
    }
    assert_eq!(door.server.count("sys/leases/renew"), 2);
    // There a renewal took the lease's place in the index, and a revocation then missed the lease itself.
    door.ask(put("sys/leases/revoke", &json!({"lease_id": lease["lease_id"]}))).await;
    assert_eq!(door.origin(creds()).await, "MISS");
}

/// In upstream 202, the URL, a prefix and force evicted nothing.
#[tokio::test(start_paused = true)]
async fn row_6_every_form_of_revocation_evicts() {
    let door = door(3600);
    let id = "database/creds/app/1";
    let ways = [
        put("sys/leases/revoke", &json!({"LEASE_ID": id, "sync": false})),
        put(&format!("sys/leases/revoke/{id}"), &json!({})),
        put("sys/leases/revoke-prefix/database", &json!({})),
        put("sys/leases/revoke-prefix/database/creds/app/", &json!({})),
        put(&format!("sys/leases/revoke-prefix/{id}"), &json!({})),
        put("sys/leases/revoke-force/database", &json!({})),
        put("sys/revoke-prefix/database", &json!({})),
        Request { method: Method::DELETE, ..put("sys/mounts/database", &json!({})) },
        put("sys/mounts/database/tune", &json!({"max_lease_ttl": "1h"})),
        put("sys/remount", &json!({"from": "database", "to": "db"})),
    ];
    let body = json!({"lease_id": id, "lease_duration": 3600, "renewable": true}).to_string();
    door.server.says.lock().unwrap().insert("database/creds/app".into(), (200, "application/json", body));
    for status in [200, 202, 204] {
        for way in &ways {
            door.ask(creds()).await;
            assert_eq!(door.origin(creds()).await, "HIT");
            let path = way.path().trim_start_matches("/v1/").to_owned();
            door.server
                .says
                .lock()
                .unwrap()
                .insert(path.clone(), (status, "application/json", String::new()));
            door.ask(way.clone()).await;
            assert_eq!(door.origin(creds()).await, "MISS", "{status} {way:?}");
            // Refused, it is no revocation.
            door.server.says.lock().unwrap().insert(path, (403, "application/json", "{}".into()));
            door.ask(way.clone()).await;
            assert_eq!(door.origin(creds()).await, "HIT", "{way:?}");
            door.cache.clear(&Clear::All);
        }
    }
}

/// In upstream a revoked token was still answered with the valid child it had once made.
#[tokio::test(start_paused = true)]
async fn row_6_a_revoked_token_gets_no_orphan_that_it_made() {
    for stranger in [true, false] {
        let door = door(3600);
        let maker = match stranger {
            true => Token::new("s.stranger").unwrap(),
            false => issued(&door.ask(login()).await.1),
        };
        let orphan = || Request::new(Method::POST, "auth/token/create-orphan").token(&maker).json(&json!({}));
        let child = issued(&door.ask(orphan()).await.1);
        assert_eq!(door.origin(orphan()).await, "HIT");
        let held = door.cache.numbers().held.tokens;
        door.ask(put("auth/token/revoke", &json!({"token": maker.expose()}))).await;
        assert_eq!(door.origin(orphan()).await, "MISS");
        // The orphan itself lives, and is kept alive.
        assert!(door.cache.0.shared.store().managed(child.expose()).is_some());
        assert!(door.cache.numbers().held.tokens >= held - usize::from(!stranger));
    }
}

#[tokio::test(start_paused = true)]
async fn row_6_a_namespace_takes_along_what_is_in_it() {
    let door = door(3600);
    let within = |path: &str| {
        let namespace = vault::Namespace::new("ns1");
        Request::new(Method::POST, path).namespace(namespace.as_ref()).json(&json!({"role_id": "r"}))
    };
    door.server
        .says
        .lock()
        .unwrap()
        .insert("sys/namespaces/ns1".into(), (204, "application/json", "".into()));
    door.ask(within("auth/approle/login")).await;
    door.ask(login()).await;
    let delete = Request { method: Method::DELETE, ..put("sys/namespaces/ns1", &json!({})) };
    door.ask(delete).await;
    assert_eq!(door.origin(login()).await, "HIT");
    assert_eq!(door.origin(within("auth/approle/login")).await, "MISS");
}

/// A body that is no JSON made a successful revocation a 500.
#[tokio::test(start_paused = true)]
async fn bookkeeping_never_fails_a_client() {
    let door = door(3600);
    for body in ["", "x", "[", "{\"token\":5}", "null"] {
        for path in
            ["auth/token/revoke", "sys/leases/revoke", "sys/leases/renew", "auth/token/revoke-accessor"]
        {
            let request = Request { body: body.to_owned().into(), ..put(path, &json!({})) };
            assert!(Cache::send(&door.cache, request).await.is_ok(), "{path} {body}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn row_6_an_answer_that_was_under_way_during_a_revocation_is_not_remembered() {
    for way in ["sys/leases/revoke-prefix/database", "auth/token/revoke-self"] {
        let door = door(3600);
        let revoke = async {
            sleep(Duration::from_millis(50)).await;
            door.server.says.lock().unwrap().insert(way.into(), (204, "application/json", "".into()));
            door.ask(put(way, &json!({}))).await;
            door.cache.set_own_token(0, Arc::new(Token::new(OWN).unwrap()));
        };
        // Answered after the revocation was; the server made it before.
        let slow = async {
            sleep(Duration::from_millis(60)).await;
            door.ask(creds()).await
        };
        tokio::join!(slow, revoke);
        assert_eq!(door.origin(creds()).await, "MISS", "{way}");
    }
}

#[tokio::test(start_paused = true)]
async fn row_7_clear_has_ways_of_its_own() {
    let door = door(3600);
    let clear = |body: Value| door.cache.clear_as(&ClearRequest::parse(body.to_string().as_bytes()).unwrap());
    door.ask(creds()).await;
    let child = issued(&door.ask(login()).await.1);
    door.ask(Request::new(Method::GET, "database/creds/app").token(&child)).await;
    let all = Cleared { answers: 3, tokens: 1, leases: 2, revoking: 0 };
    assert_eq!(clear(json!({"type": "all", "dry_run": true})), all);
    assert_eq!(clear(json!({"type": "all", "older_than": "1m"})), Cleared::default());
    assert_eq!(clear(json!({"type": "mount", "value": "database", "dry_run": true})).leases, 2);
    assert_eq!(clear(json!({"type": "mount", "value": "data"})), Cleared::default());
    assert_eq!(door.origin(creds()).await, "HIT");
    sleep(seconds(120)).await;
    let cleared = clear(json!({"type": "all", "older_than": 60, "revoke": true}));
    // The child's lease goes with the child.
    assert_eq!(cleared, Cleared { revoking: cleared.revoking, ..all });
    assert!((2..=3).contains(&cleared.revoking));
    sleep(seconds(1)).await;
    assert_eq!(door.server.count("auth/token/revoke-self"), 1);
    assert!(door.server.count("sys/leases/revoke") >= 1);
    // Our own token is still known.
    assert_eq!((door.origin(creds()).await, door.origin(creds()).await), ("MISS", "HIT"));
}

#[tokio::test(start_paused = true)]
async fn row_7_a_namespace_may_be_spelled_in_any_way() {
    for (namespace, path, value) in [
        ("ns1/", "", "/v1/auth/app"),
        ("ns1", "", "/v1/auth"),
        ("ns1", "ns1/", "/v1/auth"),
        ("", "ns1/", "/v1/ns1/"),
    ] {
        let door = door(3600);
        let given = vault::Namespace::new("ns1").filter(|_| path.is_empty());
        let login =
            Request::new(Method::POST, &format!("{path}auth/approle/login")).namespace(given.as_ref());
        door.server.says.lock().unwrap().insert(
            format!("{path}auth/approle/login"),
            (200, "application/json", json!({"auth": {"client_token": "s.1", "lease_duration": 60, "renewable": true, "orphan": true}}).to_string()),
        );
        door.ask(login).await;
        let elsewhere = Clear::RequestPath { path: value.into(), namespace: "ns2".into() };
        assert_eq!(door.cache.clear(&elsewhere), 0);
        let clear = Clear::RequestPath { path: value.into(), namespace: namespace.into() };
        assert_eq!(door.cache.clear(&clear), 1, "{namespace} {path} {value}");
    }
}

/// Upstream served dead credentials for two thirds of their TTL.
#[tokio::test(start_paused = true)]
async fn row_9_a_refusal_is_looked_into_once() {
    let door = door(3600);
    let token = issued(&door.ask(login()).await.1);
    let creds = || Request::new(Method::GET, "database/creds/app").token(&token);
    door.ask(creds()).await;
    door.server.refuse("secret/data/app", 403);
    for _ in 0..50 {
        door.ask(Request::new(Method::GET, "secret/data/app").token(&token)).await;
    }
    // The token lives: nothing goes, and it is not asked for each refusal.
    assert!((1..=2).contains(&door.server.count("sys/internal/ui/mounts")));
    assert_eq!(door.origin(creds()).await, "HIT");
    sleep(seconds(11)).await;
    door.server.refuse("sys/internal/ui/mounts", 403);
    door.ask(Request::new(Method::GET, "secret/data/app").token(&token)).await;
    sleep(seconds(1)).await;
    assert!(door.cache.is_empty());
}

#[tokio::test(start_paused = true)]
async fn row_9_everything_may_be_verified_now_and_then() {
    let door = door_with(3600, Options { verify_interval: Some(seconds(60)), ..Options::default() });
    door.ask(creds()).await;
    sleep(seconds(300)).await;
    let checks = door.server.count("sys/leases/lookup");
    assert!((4..=6).contains(&checks), "{checks}");
    assert_eq!(door.origin(creds()).await, "HIT");
    door.server.refuse("sys/leases/lookup", 400);
    sleep(seconds(62)).await;
    assert_eq!(door.origin(creds()).await, "MISS");
}

/// A server that says when it wants to be asked again is asked then.
#[tokio::test(start_paused = true)]
async fn row_10_retry_after_is_honoured() {
    let door = door(1000);
    door.ask(creds()).await;
    door.server
        .says
        .lock()
        .unwrap()
        .insert("sys/leases/renew".into(), (429, "application/json", "{}".into()));
    sleep(seconds(745)).await;
    // Due at 700 to 735, then each 20 seconds and not each 5 to 10.
    let asked = door.server.count("sys/leases/renew");
    assert!((1..=3).contains(&asked), "{asked}");
    assert_eq!(door.origin(creds()).await, "HIT");
}

#[tokio::test(start_paused = true)]
async fn row_10_leases_age_while_the_machine_sleeps() {
    let door = door(3600);
    let token = issued(&door.ask(login()).await.1);
    let creds = || Request::new(Method::GET, "database/creds/app").token(&token);
    door.ask(creds()).await;
    door.slept.store(1_800_000, Relaxed);
    assert_eq!(door.origin(creds()).await, "HIT");
    door.slept.store(2_700_000, Relaxed);
    sleep(seconds(11)).await;
    assert_eq!(door.server.count("sys/leases/renew"), 1, "the timer stood still");
    door.slept.store(2_700_000 + 3_600_000, Relaxed);
    assert_eq!(door.origin(creds()).await, "MISS");
}

/// Timers are late after a suspend: what hangs below a token that ended meanwhile is not handed out before they fire.
#[tokio::test(start_paused = true)]
async fn row_10_a_lease_ends_with_its_token_at_the_latest() {
    let door = door(3600);
    let said = json!({"auth": {"client_token": "s.short", "lease_duration": 100, "renewable": true, "orphan": true}});
    let said = (200, "application/json", said.to_string());
    door.server.says.lock().unwrap().insert("auth/approle/login".into(), said);
    let token = issued(&door.ask(login()).await.1);
    let creds = || Request::new(Method::GET, "database/creds/app").token(&token);
    let orphan = || Request::new(Method::POST, "auth/token/create-orphan").token(&token).json(&json!({}));
    door.ask(creds()).await;
    door.ask(orphan()).await;
    assert_eq!((door.origin(creds()).await, door.origin(orphan()).await), ("HIT", "HIT"));
    door.slept.store(200_000, Relaxed);
    assert_eq!(door.origin(creds()).await, "MISS");
    let door = &door;
    door.slept.store(400_000, Relaxed);
    assert_eq!(door.origin(orphan()).await, "MISS");
}

#[tokio::test(start_paused = true)]
async fn row_11_leases_of_our_former_token_go_when_it_is_dead() {
    let door = door(3600);
    door.ask(creds()).await;
    door.server.refuse("sys/internal/ui/mounts", 403);
    door.cache.set_own_token(0, Arc::new(Token::new("s.next").unwrap()));
    sleep(seconds(1)).await;
    assert!(door.cache.is_empty());
    sleep(seconds(3600)).await;
    assert_eq!(door.server.count("sys/leases/renew"), 0, "renewed with a dead token");
    // While it lives, its leases do.
    let door = self::door(3600);
    door.ask(creds()).await;
    door.cache.set_own_token(0, Arc::new(Token::new("s.next").unwrap()));
    sleep(seconds(3000)).await;
    assert_eq!(door.server.count("sys/leases/renew"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_hangs_on_an_identity_that_is_gone_goes_with_it() {
    let door = door(3600);
    let other = Arc::new(Token::new("s.other").unwrap());
    let others = || Request::new(Method::GET, "database/creds/app").token(&Token::new("s.other").unwrap());
    door.cache.set_own_token(1, Arc::clone(&other));
    for request in [creds(), others()] {
        assert_eq!(door.origin(request.clone()).await, "MISS");
        assert_eq!(door.origin(request).await, "HIT");
    }
    door.cache.forget_own_tokens_but(&[0, 1]);
    assert_eq!(door.cache.len(), 2);
    door.cache.forget_own_tokens_but(&[0]);
    assert_eq!((door.cache.len(), door.cache.numbers().held.leases), (1, 1));
    assert_eq!(door.origin(creds()).await, "HIT");
    // Not remembered either, as of any token that is not known.
    for _ in 0..2 {
        assert_eq!(door.origin(others()).await, "MISS");
    }
    sleep(seconds(3000)).await;
    assert_eq!(door.server.count("sys/leases/renew"), 1, "the other's lease was renewed");
    // It comes back.
    door.cache.set_own_token(1, other);
    assert_eq!(door.origin(others()).await, "MISS");
    assert_eq!(door.origin(others()).await, "HIT");

    // A token that a client got through us is the client's as well.
    let child = issued(&door.ask(login()).await.1);
    let below = || Request::new(Method::GET, "database/creds/app").token(&child);
    assert_eq!(door.origin(below()).await, "MISS");
    door.cache.set_own_token(2, Arc::new(child.clone()));
    door.cache.forget_own_tokens_but(&[0]);
    assert_eq!(door.origin(below()).await, "HIT");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_asks_for_may_be_let_go() {
    let door = door_with(100, Options { max_idle_renewals: 2, ..Options::default() });
    door.ask(creds()).await;
    sleep(seconds(1000)).await;
    assert_eq!(door.server.count("sys/leases/renew"), 2);
    assert!(door.cache.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_renewed_is_replaced_before_its_end_where_that_is_wanted() {
    let door = door_with(100, Options { refresh_ahead: true, ..Options::default() });
    let (_, first) = door.ask(creds()).await;
    let said = json!({"lease_id": first["lease_id"], "lease_duration": 25, "renewable": true}).to_string();
    door.server.says.lock().unwrap().insert("sys/leases/renew".into(), (200, "application/json", said));
    sleep(seconds(75)).await;
    let (origin, second) = door.ask(creds()).await;
    assert_eq!(origin, "HIT");
    assert_ne!(second["lease_id"], first["lease_id"]);
    assert_eq!(door.server.count("database/creds/app"), 2);
}

/// A renewal's answer that says it was the last one.
#[tokio::test(start_paused = true)]
async fn row_8_what_says_that_it_cannot_be_renewed_again_is_not() {
    let door = door(100);
    door.ask(creds()).await;
    let said = json!({"lease_id": "x", "lease_duration": 100, "renewable": false}).to_string();
    door.server.says.lock().unwrap().insert("sys/leases/renew".into(), (200, "application/json", said));
    sleep(seconds(165)).await;
    assert_eq!(door.origin(creds()).await, "HIT");
    assert_eq!(door.server.count("sys/leases/renew"), 1);
    sleep(seconds(15)).await;
    assert_eq!(door.origin(creds()).await, "MISS");
}

/// Bad answers are handed on as they are, and not remembered.
#[tokio::test(start_paused = true)]
async fn bad_answers_reach_the_client_as_they_are() {
    let door = door(3600);
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let lease = |ttl: &str| {
        format!(r#"{{"lease_id":"database/creds/app/1","lease_duration":{ttl},"renewable":true}}"#)
    };
    for (kind, body, remembered) in [
        ("application/json", "<html>".to_owned(), false),
        ("application/json", String::new(), false),
        ("application/json", deep, false),
        (
            "application/json",
            r#"{"lease_id":"a","lease_id":"b","lease_duration":60,"renewable":true}"#.to_owned(),
            false,
        ),
        ("text/html", lease("60"), false),
        ("application/json", lease("0"), false),
        ("application/json", lease("-5"), false),
        ("application/json", lease("9223372036854775807"), true),
        ("application/json", lease("9223372036854775808"), true),
        ("application/json", lease("-9223372036854775808"), false),
        ("application/json", lease("18446744073709551615"), true),
        ("application/json", lease("18446744073709551616"), false),
    ] {
        door.server.says.lock().unwrap().insert("database/creds/app".into(), (200, kind, body.clone()));
        let (_, given) = raw(&door, creds()).await;
        assert_eq!(given, body.as_bytes());
        let shown = &body[..body.len().min(60)];
        assert_eq!(door.origin(creds()).await == "HIT", remembered, "{shown}");
        assert!(door.cache.numbers().held.soonest.is_none_or(|left| left < seconds(4_000_000_000)));
        sleep(seconds(5)).await;
        door.cache.clear(&Clear::All);
    }
}

#[tokio::test(start_paused = true)]
async fn row_15_there_is_an_end_to_what_is_remembered() {
    let door = door_with(3600, Options { max_entries: 20, ..Options::default() });
    let token = issued(&door.ask(login()).await.1);
    let creds = |n: usize| Request::new(Method::GET, &format!("database/creds/{n}")).token(&token);
    for n in 0..10 {
        door.ask(creds(n)).await;
    }
    let other = |n: usize| Request::new(Method::POST, "auth/approle/login").json(&json!({"secret_id": n}));
    for n in 0..100 {
        door.ask(other(n)).await;
    }
    let numbers = door.cache.numbers();
    assert!(numbers.entries <= 20 && numbers.dropped >= 91, "{numbers:?}");
    // Idle tokens went, leases stayed, and the last comer is there.
    assert_eq!(numbers.held.leases, 10);
    assert_eq!(door.origin(other(99)).await, "HIT");
    let bytes = numbers.bytes;
    let door = door_with(3600, Options { max_bytes: bytes / 2, ..Options::default() });
    for n in 0..100 {
        door.ask(other(n)).await;
    }
    assert!(door.cache.numbers().bytes <= bytes / 2);
    assert!(door.cache.len() > 3);
    door.cache.clear(&Clear::All);
    assert!(door.cache.numbers().bytes < 1000, "what is gone costs nothing: {:?}", door.cache.numbers());
}

#[tokio::test(start_paused = true)]
async fn other_options_count_from_the_next_request_on() {
    let no_store = || wishing(creds(), "no-store");
    let door = door(600);
    let other = |n: usize| get(&format!("database/creds/{n}"));
    for n in 0..20 {
        door.ask(other(n)).await;
    }
    let (first, _) = (door.ask(creds()).await, door.ask(creds()).await);
    sleep(seconds(100)).await;
    let left = |answer: &Value| answer["lease_duration"].as_u64().unwrap();
    assert!(left(&door.ask(creds()).await.1) <= left(&first.1) - 100);
    assert_eq!(door.origin(no_store()).await, "MISS");

    let set = |options: Options| door.cache.set_options(options);
    set(Options { adjust_ttl: false, client_control: false, strict_keys: true, ..Options::default() });
    assert_eq!(left(&door.ask(creds()).await.1), left(&first.1));
    assert_eq!(door.origin(no_store()).await, "HIT", "keys were to stay as they are");
    set(Options { deny_paths: vec!["database/creds/app".into()], ..Options::default() });
    assert_eq!((door.origin(creds()).await, door.origin(other(1)).await), ("MISS", "HIT"));
    set(Options::default());
    assert_eq!(door.origin(creds()).await, "HIT", "what was there is there again");
    // One of them is our own token.
    set(Options { max_entries: 6, ..Options::default() });
    assert_eq!((door.cache.len(), door.cache.numbers().dropped), (5, 16));
    assert_eq!(door.cache.numbers().held.leases, 5);
}

#[tokio::test(start_paused = true)]
async fn another_rate_of_renewals_counts_at_once() {
    let door = door_with(600, Options { renewals_per_second: 2, ..Options::default() });
    let asks = (0..100).map(|n| door.ask(get(&format!("database/creds/{n}"))));
    futures_util::future::join_all(asks.collect::<Vec<_>>()).await;
    let renewed = || door.server.count("sys/leases/renew");
    while renewed() == 0 {
        sleep(seconds(1)).await;
    }
    let before = renewed();
    sleep(seconds(10)).await;
    assert!(renewed() - before <= 21, "{}", renewed() - before);
    door.cache.set_options(Options { renewals_per_second: 100, ..Options::default() });
    let before = renewed();
    sleep(seconds(10)).await;
    assert!(renewed() - before > 40, "{}", renewed() - before);
}

/// Many leases that came together are renewed at no more than the rate, and in time.
#[tokio::test(start_paused = true)]
async fn row_15_renewals_are_spread() {
    let door = door_with(600, Options { renewals_per_second: 50, ..Options::default() });
    let asks = (0..2000).map(|n| door.ask(get(&format!("database/creds/{n}"))));
    futures_util::future::join_all(asks.collect::<Vec<_>>()).await;
    let mut last = 0;
    for _ in 0..200 {
        sleep(seconds(3)).await;
        let now = door.server.count("sys/leases/renew");
        assert!(now - last <= 150 + 16, "{}", now - last);
        last = now;
    }
    assert_eq!(door.cache.len(), 2000);
    assert!(last >= 2000, "{last}");
}

/// One that hangs does not hold the others; no more than one in five seconds asks again.
#[tokio::test(start_paused = true)]
async fn r_g_a_hung_login_is_tried_again_by_one_of_those_who_wait() {
    struct Hangs(std::sync::atomic::AtomicUsize);
    impl Upstream for Hangs {
        fn send(&self, _: Request) -> BoxFuture<'_, Result<Response, SendError>> {
            Box::pin(async {
                if self.0.fetch_add(1, Relaxed) == 0 {
                    sleep(seconds(3600)).await;
                }
                let body = json!({"auth": {"client_token": "s.1", "lease_duration": 600, "renewable": true, "orphan": true}});
                let headers = http::HeaderMap::from_iter([(
                    header::CONTENT_TYPE,
                    HeaderValue::from_static("application/json"),
                )]);
                Ok(Response {
                    status: http::StatusCode::OK,
                    headers,
                    body: vault::Body::full(body.to_string()),
                })
            })
        }
    }
    use vault::Response;
    let server = Arc::new(Hangs(0.into()));
    let (upstream, stop) = (Arc::clone(&server) as _, CancellationToken::new());
    let (cache, _keep_alive) = Cache::new(Mode::Remember, upstream, Caller::default(), stop);
    let first = tokio::spawn({
        let cache = cache.clone();
        async move { Cache::send(&cache, login()).await.is_ok() }
    });
    sleep(Duration::from_millis(1)).await;
    let began = Instant::now();
    let asks: Vec<_> = (0..100).map(|_| Cache::send(&cache, login())).collect();
    for answer in futures_util::future::join_all(asks).await {
        assert!(answer.is_ok());
    }
    assert!(began.elapsed() <= seconds(6));
    assert_eq!(server.0.load(Relaxed), 2);
    first.abort();
}

/// An outage is told to all who wait at once, with one request.
#[tokio::test(start_paused = true)]
async fn r_g_a_failed_read_fails_for_all_and_a_failed_write_for_one() {
    let door = door(3600);
    door.server.refuse("secret/data/app", 503);
    let asks: Vec<_> = (0..20).map(|_| door.ask(get("secret/data/app"))).collect();
    futures_util::future::join_all(asks).await;
    assert_eq!(door.server.count("secret/data/app"), 1);
    door.server.refuse("auth/approle/login", 503);
    let asks: Vec<_> = (0..5).map(|_| door.ask(login())).collect();
    futures_util::future::join_all(asks).await;
    assert_eq!(door.server.count("auth/approle/login"), 5);
}

/// The client that asked leaves; one of those who waited asks, not all.
#[tokio::test(start_paused = true)]
async fn r_g_a_client_that_leaves_is_followed_by_one() {
    let door = door(3600);
    door.ask(get("secret/data/app")).await;
    let leaving = timeout(Duration::from_millis(10), door.ask(get("secret/data/app")));
    let staying: Vec<_> = (0..10).map(|_| door.ask(get("secret/data/app"))).collect();
    let (left, _) = tokio::join!(leaving, futures_util::future::join_all(staying));
    assert!(left.is_err());
    assert_eq!(door.server.count("secret/data/app"), 3);
}
