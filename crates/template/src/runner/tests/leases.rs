//! Leases: kept as long as they live, and never one more than needed.

use tokio::time::Instant;

use super::*;

/// A database: accounts of 10 s, renewable up to 60 s.
#[derive(Default)]
struct Database {
    /// When each account was made, and until when it lives.
    accounts: Mutex<Vec<(Instant, Instant)>>,
    renewals: Mutex<usize>,
}

const TTL: Duration = Duration::from_secs(10);
const MAX_TTL: Duration = Duration::from_secs(60);

impl Database {
    fn count(&self) -> usize {
        self.accounts.lock().unwrap().len()
    }

    fn is_alive(&self, account: usize) -> bool {
        self.accounts.lock().unwrap()[account].1 > Instant::now()
    }

    fn make(&self) -> Value {
        let mut accounts = self.accounts.lock().unwrap();
        let (nth, now) = (accounts.len(), Instant::now());
        accounts.push((now, now + TTL));
        json!({"lease_id": format!("db/{nth}"), "lease_duration": 10, "renewable": true, "data": {"user": nth.to_string()}})
    }

    fn renew(&self, lease: &str) -> Option<Value> {
        *self.renewals.lock().unwrap() += 1;
        let nth: usize = lease.strip_prefix("db/")?.parse().ok()?;
        let now = Instant::now();
        let mut accounts = self.accounts.lock().unwrap();
        let (made, end) = accounts.get_mut(nth).filter(|(_, end)| *end > now)?;
        *end = (now + TTL).min(*made + MAX_TTL);
        let left = (*end - now).as_secs();
        Some(json!({"lease_id": lease, "lease_duration": left, "renewable": true}))
    }
}

impl Upstream for Database {
    fn send(&self, request: Request) -> vault::BoxFuture<'_, Result<Response, SendError>> {
        Box::pin(async move {
            sleep(Duration::from_millis(20)).await;
            let body = match request.target.trim_start_matches("/v1/") {
                "db/creds/app" => Some(self.make()),
                "sys/leases/renew" => {
                    let asked: Value = serde_json::from_slice(&request.body).unwrap();
                    self.renew(asked["lease_id"].as_str().unwrap())
                }
                _ => None,
            };
            let status = if body.is_some() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
            let body = body.unwrap_or_else(|| json!({"errors": ["no"]}));
            Ok(Response { status, headers: HeaderMap::new(), body: Body::full(body.to_string()) })
        })
    }
}

#[tokio::test(start_paused = true)]
async fn in_ten_minutes_nobody_meets_a_dead_account_and_none_is_made_in_vain() {
    let mut stage = stage();
    let database = Arc::new(Database::default());
    stage.template("user", r#"{{with secret "db/creds/app"}}{{.Data.user}}{{end}}"#);
    let _running = stage.start_at(Arc::clone(&database) as _);
    stage.ready.wait().await;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(600) {
        let account: usize = stage.read("user").parse().unwrap();
        assert!(database.is_alive(account), "account {account} is dead after {:?}", start.elapsed());
        sleep(Duration::from_millis(50)).await;
    }
    let (made, renewals) = (database.count(), *database.renewals.lock().unwrap());
    // Ten would serve for ten minutes only if each were replaced in the very moment of its end, and then its reader met a
    // dead one. Each is replaced a little earlier, so there is one more; were it earlier than this, there would be two.
    let lead = MAX_TTL - Duration::from_secs(600) / 11;
    assert!(lead > Duration::from_secs(5) && lead < TTL, "{lead:?}");
    assert_eq!(made, 11, "accounts in ten minutes");
    assert!(renewals <= made * 8, "{renewals} renewals of {made} accounts");
}

fn leased(stage: &mut Stage, duration: u64, renewable: bool) {
    let body = json!({"lease_id": "kv/lease/1", "lease_duration": duration, "renewable": renewable, "data": {"value": "u"}});
    stage.server.answer("kv/lease", 200, body);
    let renewed = json!({"lease_id": "kv/lease/1", "lease_duration": duration, "renewable": renewable});
    stage.server.answer("sys/leases/renew", 200, renewed);
    stage.template("out", r#"{{with secret "kv/lease"}}{{.Data.value}}{{end}}"#);
}

#[tokio::test(start_paused = true)]
async fn a_new_token_keeps_leases_while_the_old_one_lives() {
    for renewable in [true, false] {
        let mut stage = stage();
        leased(&mut stage, 3600, renewable);
        let ttl = |ttl: u64| json!({"data": {"ttl": ttl}});
        stage.server.answer("auth/token/lookup-self", 200, ttl(100));
        let running = stage.start();
        stage.ready.wait().await;
        stage.token(2);
        sleep(Duration::from_secs(79)).await;
        assert_eq!(stage.server.count("kv/lease"), 1, "replaced while it lives");
        sleep(Duration::from_secs(12)).await;
        assert_eq!(stage.server.count("kv/lease"), 2, "not replaced before the old token's end");
        // A token without an end.
        stage.server.answer("auth/token/lookup-self", 200, ttl(0));
        stage.token(3);
        sleep(Duration::from_secs(600)).await;
        assert_eq!((stage.server.count("kv/lease"), stage.server.count("auth/token/lookup-self")), (2, 2));
        // A dead one.
        stage.server.answer("auth/token/lookup-self", 403, json!({"errors": ["bad token"]}));
        stage.token(4);
        sleep(Duration::from_secs(1)).await;
        running.abort();
        // The lease was made by token 2, and token 3 is dead: nothing of it.
        assert_eq!(stage.server.count("kv/lease"), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn leases_of_a_dead_token_are_replaced_at_once() {
    for renewable in [true, false] {
        let mut stage = stage();
        leased(&mut stage, 3600, renewable);
        stage.server.answer("auth/token/lookup-self", 403, json!({"errors": ["bad token"]}));
        let _running = stage.start();
        stage.ready.wait().await;
        stage.token(2);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(stage.server.count("kv/lease"), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_say_how_long_the_old_token_lives_is_waited_for_ten_seconds() {
    for renewable in [true, false] {
        let mut stage = stage();
        leased(&mut stage, 3600, renewable);
        stage.server.answer("auth/token/lookup-self", 0, json!({}));
        let _running = stage.start();
        stage.ready.wait().await;
        stage.token(2);
        sleep(Duration::from_millis(9900)).await;
        let asked = |path| stage.server.count(path);
        assert_eq!((asked("auth/token/lookup-self"), asked("kv/lease")), (1, 1));
        sleep(Duration::from_millis(200)).await;
        assert_eq!((asked("auth/token/lookup-self"), asked("kv/lease")), (1, 2));
    }
}
