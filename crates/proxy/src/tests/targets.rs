//! S1 and S3: one canonical request.

use proptest::prelude::*;

use super::{Front, OURS, get};
use crate::stand;

/// What becomes of a target: it reaches the server like this, with our token or without, or it is refused.
enum Becomes {
    Ours(&'static str),
    Bare(&'static str),
    Refused(u16),
}
use Becomes::{Bare, Ours, Refused};

const TARGETS: &[(&str, Becomes)] = &[
    // As they are.
    ("/v1/secret/data/app", Ours("/v1/secret/data/app")),
    ("/v1/a-b_c~d.e", Ours("/v1/a-b_c~d.e")),
    ("/v1/a:b@c", Ours("/v1/a:b@c")),
    ("/v1/a!$&'()*+,;=b", Ours("/v1/a!$&'()*+,;=b")),
    ("/v1/...", Ours("/v1/...")),
    ("/v1/a..b/c..", Ours("/v1/a..b/c..")),
    ("/v1/.hidden", Ours("/v1/.hidden")),
    // One spelling.
    ("/v1/secret/data/app/", Ours("/v1/secret/data/app")),
    ("/v1/%73ecret", Ours("/v1/secret")),
    ("/v1/%53ecret", Ours("/v1/Secret")),
    ("/%761/a", Ours("/v1/a")),
    ("/v1%2Fa", Ours("/v1/a")),
    ("/v1/a%2fb", Ours("/v1/a/b")),
    ("/v1/a%2F", Ours("/v1/a")),
    ("/v1/foo%2Fbar%20x/baz/", Ours("/v1/foo/bar%20x/baz")),
    ("/v1/a%c3%a9", Ours("/v1/a%C3%A9")),
    ("/v1/a%ff", Ours("/v1/a%FF")),
    ("/v1/%7Ea%2Da", Ours("/v1/~a-a")),
    ("/v1/a%25zz", Ours("/v1/a%25zz")),
    ("/v1/a%252e%252e", Ours("/v1/a%252e%252e")),
    ("/v1/a%3Fb", Ours("/v1/a%3Fb")),
    ("/v1/a%23b", Ours("/v1/a%23b")),
    ("/v1/a\\b", Ours("/v1/a%5Cb")),
    ("/v1/a|b", Ours("/v1/a%7Cb")),
    // Queries go as they came.
    ("/v1/a?list=true", Ours("/v1/a?list=true")),
    ("/v1/a/?list=true", Ours("/v1/a?list=true")),
    ("/v1/a?b=1&a=2&b=3", Ours("/v1/a?b=1&a=2&b=3")),
    ("/v1/a?x=%2e%2e/", Ours("/v1/a?x=%2e%2e/")),
    ("/v1/a?x=a+b%20c", Ours("/v1/a?x=a+b%20c")),
    ("/v1/a?", Ours("/v1/a")),
    ("/v1/a??", Ours("/v1/a??")),
    ("/v1/a?x=//y", Ours("/v1/a?x=//y")),
    ("/v1/a?x=%zz", Refused(400)),
    ("/v1/a?x=%", Refused(400)),
    ("/v1/a?x=a;b", Refused(400)),
    // Dot segments.
    ("/v1/../sys", Refused(400)),
    ("/v1/..", Refused(400)),
    ("/..", Refused(400)),
    ("/v1/./a", Refused(400)),
    ("/v1/a/.", Refused(400)),
    ("/v1/%2e%2e/sys", Refused(400)),
    ("/v1/%2E./sys", Refused(400)),
    ("/v1/a%2f..%2fb", Refused(400)),
    ("/v1/a/.%2fb", Refused(400)),
    ("/v1/../../v1/a", Refused(400)),
    // Control characters.
    ("/v1/a%00", Refused(400)),
    ("/v1/a%0a", Refused(400)),
    ("/v1/a%0d%0aX:y", Refused(400)),
    ("/v1/a%09b", Refused(400)),
    ("/v1/a%1b[31m", Refused(400)),
    ("/v1/a%7f", Refused(400)),
    ("/v1/a%c2%85", Refused(400)),
    ("/v1/a\tb", Refused(400)),
    ("/v1/a\u{0}", Refused(400)),
    ("/v1/a\rb", Refused(400)),
    // Bad escapes.
    ("/v1/%", Refused(400)),
    ("/v1/%2", Refused(400)),
    ("/v1/%zz", Refused(400)),
    ("/v1/%+1", Refused(400)),
    ("/v1/%u002e", Refused(400)),
    // Empty segments: the client is sent to the right place.
    ("/v1//a", Refused(307)),
    ("//v1/a", Refused(307)),
    ("/v1/a//", Refused(307)),
    ("/v1/a%2F%2Fb", Refused(307)),
    ("//evil.example/v1/a", Refused(307)),
    ("/v1//a/..", Refused(400)),
    // Other forms.
    ("http://localhost/v1/a", Ours("/v1/a")),
    ("http://127.0.0.1:8200/v1/a/?x=1", Ours("/v1/a?x=1")),
    ("https://[::1]/v1/a", Ours("/v1/a")),
    ("http://localhost", Bare("/")),
    ("http://evil.example/v1/a", Refused(421)),
    ("http://localhost@evil.example/v1/a", Refused(421)),
    ("http://evil@localhost/v1/a", Refused(421)),
    ("ftp://localhost/v1/a", Refused(400)),
    ("localhost:8200", Refused(400)),
    ("localhost", Refused(400)),
    ("*", Refused(400)),
    ("v1/a", Refused(400)),
    ("?x=1", Refused(400)),
    ("/v1/a#b", Refused(400)),
    ("#", Refused(400)),
    ("/v1/a b", Refused(400)),
    // Outside the API, and what needs no token.
    ("/", Bare("/")),
    ("/ui", Bare("/ui")),
    ("/ui/", Bare("/ui")),
    ("/v1", Bare("/v1")),
    ("/v1/", Bare("/v1")),
    ("/V1/a", Bare("/V1/a")),
    ("/v2/a", Bare("/v2/a")),
    ("/v1/sys/health", Bare("/v1/sys/health")),
    ("/v1/sys/%68ealth/", Bare("/v1/sys/health")),
    ("/agent/v1/other", Bare("/agent/v1/other")),
    // Ours.
    ("/agent/v1/quit", Refused(404)),
    ("/agent/v1/%71uit/", Refused(404)),
    ("/agent/v1/health", Refused(503)),
];

#[tokio::test(start_paused = true)]
async fn s01_each_target_becomes_one_thing() {
    assert!(TARGETS.len() >= 60);
    for (raw, becomes) in TARGETS {
        let front = Front::new();
        let answer = front.ask(get(raw)).await;
        let (status, seen) = match becomes {
            Ours(target) => (200, vec![format!("GET {target} {OURS}")]),
            Bare(target) => (200, vec![format!("GET {target} -")]),
            Refused(status) => (*status, vec![]),
        };
        assert_eq!((answer.statuses(), front.seen()), (vec![status], seen), "{raw:?}: {}", answer.text);
    }
}

#[tokio::test(start_paused = true)]
async fn s01_an_empty_segment_leads_to_the_clean_path_and_not_elsewhere() {
    for (raw, location) in [
        ("/v1//a?x=1&y=//", "location: /v1/a?x=1&y=//"),
        ("//evil.example/v1", "location: /evil.example/v1"),
        ("///evil.example", "location: /evil.example"),
        ("/v1/a%2F%2Fb%20/", "location: /v1/a/b%20"),
    ] {
        let head = Front::new().ask(get(raw)).await.head();
        assert!(head.lines().any(|line| line == location), "{raw}: {head}");
    }
}

#[tokio::test(start_paused = true)]
async fn s01_connect_and_options_of_everything_are_refused() {
    for (raw, status) in [
        ("CONNECT localhost:8200 HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        ("CONNECT /v1/a HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        ("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ] {
        let front = Front::new();
        let answer = front.ask(raw).await;
        assert_eq!((answer.statuses(), front.seen().len()), (vec![status], 0), "{raw}");
    }
}

#[tokio::test(start_paused = true)]
async fn s01_the_namespace_has_one_form_too() {
    for (given, becomes) in [
        ("X-Vault-Namespace: a/b\r\n", Ok(Some("a/b"))),
        ("X-Vault-Namespace: /a/b/\r\n", Ok(Some("a/b"))),
        ("X-Vault-Namespace: a/\r\n", Ok(Some("a"))),
        ("X-Vault-Namespace: /\r\n", Ok(None)),
        ("X-Vault-Namespace:\r\n", Ok(None)),
        ("", Ok(None)),
        ("X-Vault-Namespace: a\r\nX-Vault-Namespace: a\r\n", Err(400)),
        ("X-Vault-Namespace: a/../b\r\n", Err(400)),
        ("X-Vault-Namespace: a//b\r\n", Err(400)),
        ("X-Vault-Namespace: .\r\n", Err(400)),
        ("X-Vault-Namespace: \u{e9}\r\n", Err(400)),
    ] {
        let front = Front::new();
        let answer = front.ask(format!("GET /v1/a HTTP/1.1\r\nHost: localhost\r\n{given}\r\n")).await;
        let seen = front.recorder.seen.lock().unwrap();
        let sent = seen.iter().map(|request| {
            request.headers.get("x-vault-namespace").map(|value| value.to_str().unwrap().to_owned())
        });
        let (status, want) = match becomes {
            Ok(namespace) => (200, vec![namespace.map(str::to_owned)]),
            Err(status) => (status, vec![]),
        };
        assert_eq!((answer.statuses(), sent.collect::<Vec<_>>()), (vec![status], want), "{given:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// P9: what reaches the server is a function of the canonical target alone, and so is whose token goes with it.
    #[test]
    fn s01_the_forwarded_request_is_a_function_of_the_canonical_one(
        raw in "/(v1|%761|ui|agent/v1)?(/|%2[fF])?[a-z0-9%/._~?=&;:#\u{0}-\u{20}é-]{0,30}",
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let front = Front::new();
            let answer = front.ask(get(&raw)).await;
            let seen = front.seen();
            assert!(seen.len() <= 1 && answer.statuses().len() == 1, "{raw:?}: {seen:?} {answer:?}");
            if let Some(line) = seen.first() {
                let forwarded = line.split(' ').nth(1).unwrap();
                // Sent again as it was forwarded, it is forwarded the same way, token and all.
                front.ask(get(forwarded)).await;
                assert_eq!(front.seen().last(), Some(line), "{raw:?}");
                let path = forwarded.split('?').next().unwrap();
                assert!(!path.contains("//") && !path.split('/').any(|part| part == ".." || part == "."));
                assert!(path == "/" || !path.ends_with('/'), "{raw:?}: {forwarded}");
            }
        });
    }
}

/// As Vault's proxy has it; whoever reads the namespace behind us sees the whole one.
#[tokio::test(start_paused = true)]
async fn a_configured_namespace_stands_before_the_requests_own() {
    for (ours, theirs, sent) in [
        (None, "", None),
        (None, "X-Vault-Namespace: a\r\n", Some("a")),
        (Some("team"), "", Some("team")),
        (Some("team"), "X-Vault-Namespace: /a/b/\r\n", Some("team/a/b")),
        (Some("team/x"), "X-Vault-Namespace: a\r\n", Some("team/x/a")),
        // The one above all others, in each of its spellings, is ours here.
        (Some("team"), "X-Vault-Namespace: root\r\n", Some("team")),
        (Some("team"), "X-Vault-Namespace: /\r\n", Some("team")),
        // Nobody leaves it.
        (Some("team"), "X-Vault-Namespace: ../b\r\n", None),
        (Some("team"), "X-Vault-Namespace: a\r\nX-Vault-Namespace: b\r\n", None),
        (Some("team"), "X-Vault-Namespace: a\r\nConnection: X-Vault-Namespace\r\n", Some("team/a")),
    ] {
        let mut front = Front::new();
        let mut context =
            stand::context(std::sync::Arc::clone(&front.recorder) as _, vault::TokenState::default());
        context.namespace = ours.and_then(vault::Namespace::new);
        front.before(context);
        let answer = front.ask(format!("GET /v1/a HTTP/1.1\r\nHost: localhost\r\n{theirs}\r\n")).await;
        let seen = front.recorder.seen.lock().unwrap();
        if theirs.contains("..") || theirs.contains(": b") {
            assert_eq!((answer.statuses(), seen.len()), (vec![400], 0), "{theirs}");
            continue;
        }
        let found = seen[0].headers.get("x-vault-namespace").map(|value| value.to_str().unwrap());
        assert_eq!(found, sent, "{ours:?} {theirs}");
    }
}

/// Upstream sent it without any token.
#[tokio::test(start_paused = true)]
async fn what_needs_our_token_waits_for_the_first_login_and_not_for_ever() {
    let mut front = Front::new();
    let upstream = || std::sync::Arc::clone(&front.recorder) as _;
    let state = |token: Option<&str>| vault::TokenState {
        token: token.map(|token| std::sync::Arc::new(vault::Token::new(token.to_owned()).unwrap())),
        ..vault::TokenState::default()
    };
    let (tokens, none) = tokio::sync::watch::channel(state(None));
    let context = crate::route::Context { tokens: none, ..stand::context(upstream(), state(Some(OURS))) };
    front.before(context);
    let mut client = front.connect();
    client.send(get("/v1/a")).await;
    tokio::time::sleep(std::time::Duration::from_secs(11)).await;
    let refused = client.hear().await;
    assert_eq!((refused.statuses(), front.seen().len()), (vec![503], 0));
    assert!(
        refused.head().contains("retry-after: 1") && refused.text.contains("not logged in yet"),
        "{}",
        refused.text
    );
    // What needs none does not wait.
    assert_eq!(front.ask(get("/v1/sys/health")).await.statuses(), [200]);
    let (answer, ()) = tokio::join!(front.ask(get("/v1/a")), async {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        tokens.send_replace(state(Some(OURS)));
    });
    assert_eq!(answer.statuses(), [200]);
    assert_eq!(front.seen(), ["GET /v1/sys/health -".to_owned(), format!("GET /v1/a {OURS}")]);
}
