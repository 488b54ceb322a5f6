//! New credentials: when they are read, and when they lead to a login.

use std::path::{Path, PathBuf};

use config::{CredentialFile, MethodKind, Removal};

use super::*;

/// Takes one password (JWT, token) and refuses others; remembers them all.
struct Gate {
    start: Instant,
    good: Mutex<String>,
    tried: Mutex<Vec<(u64, String)>>,
}

impl Gate {
    fn new(good: &str) -> Arc<Self> {
        Arc::new(Self { start: Instant::now(), good: Mutex::new(good.to_owned()), tried: Mutex::default() })
    }

    /// What was tried so far.
    fn tried(&self) -> Vec<String> {
        self.tried.lock().unwrap().iter().map(|(_, credential)| credential.clone()).collect()
    }

    /// When it was tried the last time, in seconds from the start.
    fn last_at(&self) -> u64 {
        self.tried.lock().unwrap().last().unwrap().0
    }
}

impl Upstream for Gate {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, SendError>> {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let token = request.headers.get("x-vault-token").map(|token| token.to_str().unwrap().to_owned());
        let sent = ["secret_id", "password", "jwt"].iter().find_map(|key| body.get(key)?.as_str());
        let sent = sent.map(str::to_owned).or(token).unwrap_or_default();
        let (status, body) = if request.target.contains("renew-self") {
            granted("s.renewed", 1000)
        } else {
            self.tried.lock().unwrap().push((self.start.elapsed().as_secs(), sent.clone()));
            match (sent == *self.good.lock().unwrap(), request.target.ends_with("lookup-self")) {
                (false, _) => (400, json!({"errors": ["no"]})),
                (true, true) => (200, json!({"data": {"id": sent, "ttl": 1000, "renewable": true}})),
                (true, false) => granted(&format!("s.{sent}"), 1000),
            }
        };
        Box::pin(async move {
            Ok(Response {
                status: StatusCode::from_u16(status).unwrap(),
                headers: HeaderMap::new(),
                body: Body::full(body.to_string()),
            })
        })
    }
}

fn put(path: &Path, text: &str) {
    atomic_file::write(path, text.as_bytes(), &atomic_file::Attributes::new(0o600)).unwrap();
}

/// Every method whose credential is a file, with that file.
const METHODS: [&str; 7] = ["approle", "jwt", "kubernetes", "ldap", "spiffe", "token_file", "userpass"];

fn method(name: &str, folder: &Path) -> (MethodKind, PathBuf) {
    let path = folder.join(name);
    let role_id_file = folder.join("role");
    put(&role_id_file, "role");
    let file = CredentialFile {
        path: path.clone(),
        removal: Removal::Link,
        read_period: Duration::from_millis(500),
    };
    let password = || config::Password {
        username: "ann".to_owned(),
        source: config::PasswordSource::File(file.clone()),
    };
    let role = "app".to_owned();
    let kind = match name {
        "approle" => MethodKind::AppRole(config::AppRole {
            role_id_file,
            secret_id_file: Some(path.clone()),
            remove_secret_id_file: true,
            wrapping_path: None,
        }),
        "jwt" => MethodKind::Jwt(config::Jwt { file, role }),
        "kubernetes" => MethodKind::Kubernetes(config::Kubernetes { role, token_path: path.clone() }),
        "ldap" => MethodKind::Ldap(password()),
        "spiffe" => MethodKind::Spiffe(config::Spiffe {
            path: path.clone(),
            role,
            spiffe_id: None,
            send_as: config::SendAs::Jwt,
            read_period: config::DEFAULT_READ_PERIOD,
        }),
        "token_file" => MethodKind::TokenFile(config::TokenFile { path: path.clone() }),
        _ => MethodKind::Userpass(password()),
    };
    (kind, path)
}

fn begin(kind: MethodKind, gate: &Arc<Gate>, reauth_on_new_credentials: bool) -> watch::Receiver<TokenState> {
    let method = config::Method {
        mount: Mount::new(&format!("auth/{}", kind.name())),
        kind,
        namespace: None,
        min_backoff: Duration::from_secs(250),
        max_backoff: Duration::from_secs(300),
        exit_on_err: false,
        wrap_ttl: None,
    };
    let settings = config::AutoAuth {
        name: None,
        namespace: None,
        method,
        sinks: Vec::new(),
        reauth_on_new_credentials,
        revoke_previous_token: false,
        token_store: None,
    };
    let (sender, tokens) = watch::channel(TokenState::default());
    let (reauth, requests) = Reauth::new();
    let upstream = Arc::clone(gate) as _;
    let auto_auth = AutoAuth::new(&settings, upstream, Caller::default(), Arc::default(), sender, requests);
    tokio::spawn(async move {
        let _kept = reauth;
        auto_auth.run().await
    });
    tokens
}

/// A poll comes within a minute, whatever the system tells.
const SOON: Duration = Duration::from_secs(62);

#[tokio::test(start_paused = true)]
async fn while_logins_fail_new_credentials_are_tried_at_once() {
    for reauth in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        for name in METHODS {
            let (kind, file) = method(name, folder.path());
            let gate = Gate::new("c.c.good");
            let tokens = begin(kind, &gate, reauth);
            // The file is not there at first, then holds what the server refuses, then something it likes.
            sleep(Duration::from_secs(1)).await;
            assert!(gate.tried().is_empty(), "{name}");
            put(&file, "c.c.bad");
            sleep(SOON).await;
            assert_eq!(gate.tried(), ["c.c.bad"], "{name}");
            put(&file, "c.c.good");
            sleep(SOON).await;
            assert_eq!(gate.tried(), ["c.c.bad", "c.c.good"], "{name}");
            assert!(gate.last_at() < 2 * 62 + 1, "{name}");
            assert!(tokens.borrow().token.is_some(), "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_token_lives_they_lead_to_a_login_if_that_is_wanted_and_wait_for_the_next_one_else() {
    for reauth in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        for name in METHODS {
            let (kind, file) = method(name, folder.path());
            put(&file, "c.c.one");
            let gate = Gate::new("c.c.one");
            let tokens = begin(kind, &gate, reauth);
            sleep(Duration::from_secs(5)).await;
            assert_eq!(gate.tried(), ["c.c.one"], "{name}");
            "c.c.two".clone_into(&mut gate.good.lock().unwrap());
            put(&file, "c.c.two");
            sleep(SOON).await;
            let now = if reauth { vec!["c.c.one", "c.c.two"] } else { vec!["c.c.one"] };
            assert_eq!(gate.tried(), now, "{name}");
            // The same once more is no news.
            put(&file, "c.c.two");
            sleep(SOON).await;
            assert_eq!(gate.tried(), now, "{name}");
            assert_eq!(tokens.borrow().generation, if reauth { 2 } else { 1 }, "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_read_in_passing_serves_for_the_next_login() {
    let folder = tempfile::tempdir().unwrap();
    let (kind, file) = method("jwt", folder.path());
    put(&file, "c.c.one");
    let gate = Gate::new("c.c.one");
    let tokens = begin(kind, &gate, false);
    sleep(Duration::from_secs(5)).await;
    put(&file, "c.c.two");
    sleep(Duration::from_secs(5)).await;
    assert!(!file.exists(), "it was not read");
    "c.c.two".clone_into(&mut gate.good.lock().unwrap());
    // Renewals go on for ever here; nothing but a dead token makes a login.
    assert_eq!((gate.tried(), tokens.borrow().generation), (vec!["c.c.one".to_owned()], 1));
}

#[tokio::test(start_paused = true)]
async fn the_backoff_goes_on_where_it_was_when_the_new_ones_fail_too() {
    let folder = tempfile::tempdir().unwrap();
    let (kind, file) = method("userpass", folder.path());
    let gate = Gate::new("never");
    put(&file, "c.c.0");
    let _tokens = begin(kind, &gate, false);
    for nth in 1..=5 {
        sleep(Duration::from_secs(5)).await;
        put(&file, &format!("c.c.{nth}"));
    }
    sleep(Duration::from_secs(5)).await;
    assert_eq!(gate.tried().len(), 6);
    // From now on only the back-off: its longest wait, not its first.
    sleep(Duration::from_secs(1200)).await;
    assert!(gate.tried().len() <= 6 + 6, "{:?}", gate.tried.lock().unwrap());
}
