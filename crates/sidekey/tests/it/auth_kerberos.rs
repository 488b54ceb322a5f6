//! `kerberos` against MIT's KDC and MIT's library as the acceptor. `make setup` installs both.

mod realms;

use testkit::Program;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::{put, sidekey};
use realms::{ENCTYPES, OTHER, REALM, Realms, SERVICE};

#[tokio::test]
async fn keys_of_every_type_log_in() {
    let realms = Realms::new("", None).await;
    let mut acceptor = realms.acceptor("1h").await;
    for enctype in ENCTYPES {
        // The ticket for a service is of the service's types, and so is its session key.
        let (user, service, keytab) =
            (format!("u-{enctype}"), format!("HTTP/{enctype}"), format!("{enctype}.keytab"));
        let only = format!("-e {enctype}:normal");
        realms.principal(REALM, &user, &keytab, &only).await;
        realms.principal(REALM, &service, "service.keytab", &only).await;
        let keytab = realms.path(&keytab);
        let keys =
            [("username", user.as_str()), ("service", &service), ("keytab_path", keytab.to_str().unwrap())];
        realms.logs_in(&mut acceptor, &keys, &format!("{user}@{REALM} for {service}@{REALM}")).await;
    }
    // Somebody who need not prove himself first.
    for name in ["app", SERVICE] {
        realms.admin(REALM, &format!("modprinc -requires_preauth {name}@{REALM}")).await;
    }
    realms.logs_in(&mut acceptor, &[], &format!("app@{REALM} for {SERVICE}@{REALM}")).await;
}

#[tokio::test]
async fn the_page_in_docs_works_as_it_is_but_for_its_places() {
    let realms = Realms::new("", None).await;
    let acceptor = realms.acceptor("1h").await;
    let page = include_str!("../../../../docs/auth/kerberos.md");
    let block = |kind: &str| {
        let begin = page.split(&format!("```{kind}\n")).nth(1).unwrap();
        begin
            .split("```")
            .next()
            .unwrap()
            .replace("EXAMPLE.COM", REALM)
            .replace("example.com", "example.test")
    };
    let kdc = format!("127.0.0.1:{}", realms.port);
    let conf = block("ini").replace("kdc1.example.test", &kdc).replace("kdc2.example.test:88", "127.0.0.1:1");
    put(&realms.path("page.conf"), &conf);
    let path = |name: &str| realms.path(name).display().to_string();
    let config = block("hcl")
        .replace("https://vault.example.test:8200\"", &format!("{}\"", acceptor.1))
        .replace("/etc/sidekey/app.keytab", &path("app.keytab"))
        .replace("/etc/krb5.conf", &path("page.conf"))
        .replace("/run/sidekey/token", &path("token"));
    let program =
        Program::agent(sidekey(), realms.folder.path()).config(&config).config("exit_after_auth = true");
    let mut agent = program.start().unwrap();
    assert!(agent.ended().await.unwrap().success(), "{config}{:?}", agent.output());
    assert!(!std::fs::read_to_string(realms.path("token")).unwrap().is_empty());
}

#[tokio::test]
async fn what_logged_in_goes_with_no_later_request_and_into_no_log() {
    let realms = Realms::new("", None).await;
    let mut acceptor = realms.acceptor("3s").await;
    let mut agent = realms.agent(&acceptor.1, &[]).flag("-log-level=trace").start().unwrap();
    acceptor.0.says("/v1/auth/token/renew-self without authorization").await.unwrap();
    agent.says("renewed auth token").await.unwrap();
    agent.stop().await.unwrap();
    let lines = acceptor.0.output();
    let token = lines.iter().find_map(|line| line.strip_prefix("token ")).unwrap();
    let logged = agent.output().join("\n");
    assert!(token.len() > 100 && !logged.contains(&token[..40]), "{logged}");
    // On a busy machine the token may need a second login.
    let others =
        lines.iter().filter(|line| line.ends_with(" with authorization") && !line.contains("/login"));
    assert_eq!(others.count(), 0, "{lines:?}");
}

#[tokio::test]
async fn each_failure_says_what_to_do() {
    let realms = Realms::new("", None).await;
    let acceptor = realms.acceptor("1h").await;
    let server = acceptor.1.as_str();
    realms.principal(REALM, "stale", "stale.keytab", "").await;
    realms.keys(REALM, "stale", "newer.keytab", "").await;
    realms.principal(REALM, "trusted", "trusted.keytab", "").await;
    realms.keys(REALM, "trusted", "newer.keytab", "").await;
    realms.admin(REALM, &format!("modprinc -requires_preauth trusted@{REALM}")).await;
    realms.principal(REALM, "locked", "locked.keytab", "").await;
    realms.admin(REALM, &format!("modprinc -allow_tix locked@{REALM}")).await;
    realms.principal(REALM, "gone", "gone.keytab", "").await;
    realms.admin(REALM, &format!("delprinc -force gone@{REALM}")).await;
    realms.principal(REALM, "HTTP/elsewhere", "elsewhere.keytab", "").await;
    realms.client_conf("dead.conf", "127.0.0.1:1", "");
    put(&realms.path("damaged.keytab"), "");
    let damaged = std::fs::read(realms.path("app.keytab")).unwrap();
    let attributes = atomic_file::Attributes::new(0o600);
    atomic_file::write(&realms.path("damaged.keytab"), &damaged[..damaged.len() - 9], &attributes).unwrap();

    let path = |name: &str| realms.path(name).display().to_string();
    let kdc = format!("Kerberos KDC at 127.0.0.1:{}: ", realms.port);
    let cases: &[(&[(&str, &str)], String)] = &[
        (
            &[("username", "stale"), ("keytab_path", &path("stale.keytab"))],
            format!(
                "{kdc}the keytab's key is not the one of stale@{REALM}: its password was changed; write the keytab anew (KDC_ERR_PREAUTH_FAILED, 24"
            ),
        ),
        (
            &[("username", "trusted"), ("keytab_path", &path("trusted.keytab"))],
            format!("its key does not open what the KDC sent to trusted@{REALM}: its password was changed"),
        ),
        (
            &[("username", "locked"), ("keytab_path", &path("locked.keytab"))],
            format!(
                "{kdc}the account of locked@{REALM} is disabled, locked or expired (KDC_ERR_CLIENT_REVOKED, 18"
            ),
        ),
        (
            &[("username", "gone"), ("keytab_path", &path("gone.keytab"))],
            format!(
                "{kdc}it does not know gone@{REALM}; see 'username' and 'realm', case counts (KDC_ERR_C_PRINCIPAL_UNKNOWN, 6"
            ),
        ),
        (
            &[("service", "HTTP/nowhere.example.test")],
            format!("{kdc}it does not know the service HTTP/nowhere.example.test@{REALM}"),
        ),
        // A ticket that is good, for somebody else: the acceptor has no key for it.
        (&[("service", "HTTP/elsewhere")], "Kerberos says no".to_owned()),
        (
            &[("username", "nobody")],
            format!(
                "keytab file {}: it has no key for nobody@{REALM}; it has keys for app@{REALM}",
                path("app.keytab")
            ),
        ),
        (&[("keytab_path", &path("damaged.keytab"))], "it is damaged at byte ".to_owned()),
        (&[("keytab_path", &path("krb5.conf"))], "it is no keytab".to_owned()),
        (&[("keytab_path", &path("none"))], format!("keytab file {}: ", path("none"))),
        (&[("krb5conf_path", &path("none"))], format!("krb5.conf file {}: ", path("none"))),
        (
            &[("krb5conf_path", &path("kdc-krb5.conf"))],
            format!("it names no kdc of the realm {REALM}: add to [realms]"),
        ),
        (
            &[("krb5conf_path", &path("dead.conf"))],
            "Kerberos KDC at 127.0.0.1:1: none can be reached: 127.0.0.1:1 (Tcp): Connection refused"
                .to_owned(),
        ),
    ];
    for (keys, said) in cases {
        realms.fails(server, keys, said).await;
    }
}

#[tokio::test]
async fn clocks_that_differ_are_told_with_the_difference() {
    let realms = Realms::new("", Some("+1h")).await;
    realms.fails("http://127.0.0.1:1", &[], "(KRB_AP_ERR_SKEW, 37").await;
    realms.fails("http://127.0.0.1:1", &[], "; its clock is 3").await;
    realms.fails("http://127.0.0.1:1", &[], " seconds ahead of ours: set the time").await;
}

#[tokio::test]
async fn a_kdc_that_speaks_udp_only_is_asked_over_udp_and_a_dead_one_is_passed_over() {
    let realms = Realms::new(" kdc_tcp_listen = \"\"", None).await;
    let mut acceptor = realms.acceptor("1h").await;
    let kdcs = format!("127.0.0.1:1\n kdc = 127.0.0.1:{}", realms.port);
    realms.client_conf("krb5.conf", &kdcs, "");
    realms.logs_in(&mut acceptor, &[], &format!("app@{REALM} for ")).await;
}

#[tokio::test]
async fn services_of_another_realm_are_found_by_our_file_or_by_the_kdc() {
    let realms = Realms::new("", None).await;
    let service = "HTTP/vault.other.test";
    realms.principal(OTHER, service, "service.keytab", "").await;
    let mut acceptor = realms.acceptor("1h").await;
    let keys = [("service", service)];
    let accepted = format!("app@{REALM} for {service}@{OTHER}");
    realms.logs_in(&mut acceptor, &keys, &accepted).await;
    let kdc = format!("127.0.0.1:{}", realms.port);
    realms.client_conf("krb5.conf", &kdc, &format!("[domain_realm]\nvault.other.test = {OTHER}\n"));
    realms.logs_in(&mut acceptor, &keys, &accepted).await;
    // No way leads there.
    realms.client_conf("krb5.conf", &kdc, "[domain_realm]\nvault.other.test = NOWHERE.TEST\n");
    realms.fails(&acceptor.1, &keys, "it does not know the service krbtgt/NOWHERE.TEST@EXAMPLE.TEST").await;
}

/// What is done to the messages between us and the KDC.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Meddling {
    /// The end of the time asked for is another one.
    Request,
    /// The first ticket is the one of an earlier login.
    Answer,
    /// The first ticket is asked for another service, of a name as long.
    Service,
}

/// A man in the middle; gives his address.
async fn meddler(kdc: String, meddling: Meddling) -> String {
    let relay = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = relay.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut kept: Option<Vec<u8>> = None;
        while let Ok((mut ours, _)) = relay.accept().await {
            let mut request = vec![0; 65536];
            let length = ours.read(&mut request).await.unwrap();
            let request = &mut request[..length];
            // Behind the length: 0x6a begins a request for a first ticket, 0x6b its answer.
            if meddling == Meddling::Request && request[4] == 0x6a {
                let at = request.windows(2).rposition(|pair| pair == [0x18, 15]).unwrap();
                request[at + 15] = b'0' + (request[at + 15] - b'0' + 1) % 10;
            }
            if meddling == Meddling::Service && request[4] == 0x6a {
                let at = request.windows(6).position(|word| word == b"krbtgt").unwrap();
                request[at..at + 6].copy_from_slice(b"victim");
            }
            let mut theirs = TcpStream::connect(&kdc).await.unwrap();
            theirs.write_all(request).await.unwrap();
            let length = theirs.read_u32().await.unwrap();
            let mut answer = vec![0; length as usize];
            theirs.read_exact(&mut answer).await.unwrap();
            if meddling == Meddling::Answer && answer[0] == 0x6b {
                answer = kept.get_or_insert(answer).clone();
            }
            let length = (answer.len() as u32).to_be_bytes();
            let _ = ours.write_all(&[&length, &answer[..]].concat()).await;
        }
    });
    address
}

#[tokio::test]
async fn messages_changed_on_their_way_are_noticed() {
    let realms = Realms::new("", None).await;
    let mut acceptor = realms.acceptor("1h").await;
    let kdc = format!("127.0.0.1:{}", realms.port);
    realms.client_conf("krb5.conf", &meddler(kdc.clone(), Meddling::Request).await, "");
    realms.fails(&acceptor.1, &[], "the request it answered is not the one that was sent").await;
    let unconfirmed = [("disable_fast_negotiation", "true")];
    realms.logs_in(&mut acceptor, &unconfirmed, &format!("app@{REALM} for ")).await;

    let victim = format!("victim/{REALM}");
    realms.principal(REALM, &victim, "victim.keytab", "").await;
    realms.client_conf("krb5.conf", &meddler(kdc.clone(), Meddling::Service).await, "");
    let said = format!("it gave a ticket for {victim}@{REALM}");
    realms.fails(&acceptor.1, &unconfirmed, &said).await;

    realms.client_conf("krb5.conf", &meddler(kdc, Meddling::Answer).await, "");
    realms.logs_in(&mut acceptor, &unconfirmed, &format!("app@{REALM} for ")).await;
    realms.fails(&acceptor.1, &unconfirmed, "its answer belongs to another request").await;
}
