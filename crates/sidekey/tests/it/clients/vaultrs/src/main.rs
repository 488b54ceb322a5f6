//! vaultrs does what its users do; see clients.rs for what becomes of what is printed.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Debug;
use std::sync::Arc;

use serde_json::{Value, json};
use vaultrs::api::ResponseWrapper as _;
use vaultrs::api::kv1::requests::GetSecretRequest;
use vaultrs::client::{Client as _, VaultClient, VaultClientSettingsBuilder};
use vaultrs::{kv1, kv2, sys, token};

type Anything = Box<dyn Error>;

fn connect(address: &str, token: &str, namespace: Option<&str>) -> Result<VaultClient, Anything> {
    let ca = std::env::var("CA").into_iter().collect::<Vec<_>>();
    let mut settings = VaultClientSettingsBuilder::default();
    settings.address(address).ca_certs(ca).token(token);
    if let Some(namespace) = namespace {
        settings.set_namespace(namespace.to_owned());
    }
    Ok(VaultClient::new(settings.build()?)?)
}

fn step<T: Debug, E: Debug>(name: &str, result: Result<T, E>) {
    println!("{name} {result:?}");
}

#[tokio::main]
async fn main() -> Result<(), Anything> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, area, role_id, secret_id] = &arguments[..] else { return Err("four arguments".into()) };
    let token = std::env::var("TOKEN").unwrap_or_default();
    let client = connect(address, &token, None)?;
    if area == "steady" {
        for _ in 0..50 {
            let read: HashMap<String, u64> = kv1::get(&client, "plain", "steady").await?;
            if read["n"] != 1 {
                return Err("not what was written".into());
            }
        }
        println!("1");
        return Ok(());
    }
    let at = |name: &str| format!("{area}/{name}");

    // KV version 2
    let written = kv2::set(&client, "secret", &at("app"), &json!({"color": "blue"})).await;
    step("write", written.map(|written| written.version));
    step("read", kv2::read::<Value>(&client, "secret", &at("app")).await);
    step("version", kv2::read_version::<Value>(&client, "secret", &at("app"), 1).await);
    step(
        "metadata",
        kv2::read_metadata(&client, "secret", &at("app")).await.map(|data| data.current_version),
    );
    step("list", kv2::list(&client, "secret", area).await);
    step("delete", kv2::delete_latest(&client, "secret", &at("app")).await);
    step("undelete", kv2::undelete_versions(&client, "secret", &at("app"), vec![1]).await);
    step("read again", kv2::read::<Value>(&client, "secret", &at("app")).await);
    step("destroy", kv2::delete_metadata(&client, "secret", &at("app")).await);

    // KV version 1
    step("write 1", kv1::set(&client, "plain", &at("app"), &HashMap::from([("n", 1.5)])).await);
    step("read 1", kv1::get::<Value>(&client, "plain", &at("app")).await);
    step("list 1", kv1::list(&client, "plain", area).await.map(|list| list.data.keys));
    step("delete 1", kv1::delete(&client, "plain", &at("app")).await);
    step("gone 1", kv1::get::<Value>(&client, "plain", &at("app")).await);

    // Names, escaped as the crate's users have to. It writes what cannot stand in a URL itself.
    for name in [
        "with space",
        "ünï/日本",
        "per%25cent",
        "escaped%2Fslash",
        "a+b",
        "q%3Fx=1%23y",
        "semi;colon",
        "tilde~",
    ] {
        let path = at(&format!("names/{name}"));
        step(name, kv1::set(&client, "plain", &path, &HashMap::from([("name", name)])).await);
        step("name back", kv1::get::<Value>(&client, "plain", &path).await);
    }
    step("names", kv1::list(&client, "plain", &at("names")).await.map(|list| list.data.keys));

    // Logins
    let login = vaultrs::auth::approle::login(&client, "approle", role_id, secret_id).await?;
    let mut own = connect(address, "", None)?;
    own.set_token(&login.client_token);
    step("login", own.lookup().await.map(|found| (found.policies, found.id == login.client_token)));
    step(
        "login, wrong",
        vaultrs::auth::approle::login(&client, "approle", role_id, "wrong").await.map(|_| ()),
    );
    let child = connect(address, &token::new(&client, None).await?.client_token, None)?;
    step("child", kv2::list(&child, "secret", "").await.map(|keys| !keys.is_empty()));
    step("child ends", child.revoke().await);
    step("child ended", child.lookup().await.map(|found| found.policies));
    println!("~ self {:?}", client.lookup().await);
    let renewed = client.renew(None).await;
    println!("~ {renewed:?}");
    step("renew", renewed.map(|auth| auth.policies));

    // Wrapping
    kv1::set(&client, "plain", &at("wrapped"), &HashMap::from([("color", "blue")])).await?;
    let wrapped =
        GetSecretRequest::builder().mount("plain").path(at("wrapped")).build()?.wrap(&client).await?;
    step("wrapped", wrapped.lookup(&client).await.map(|found| found.creation_ttl));
    step("unwrap", sys::wrapping::unwrap::<Value>(&client, Some(&wrapped.info.token)).await);
    step("unwrap, again", sys::wrapping::unwrap::<Value>(&client, Some(&wrapped.info.token)).await);

    // Errors
    step("404", kv2::read::<Value>(&client, "secret", &at("none")).await);
    step("403", kv1::get::<Value>(&connect(address, "s.bogus", None)?, "plain", "x").await);
    step(
        "400",
        kv1::set(&client, "secret", &format!("data/{area}/x"), &HashMap::from([("no", "data")])).await,
    );
    step("no route", kv1::get::<Value>(&client, "nowhere", "at/all").await);

    // Namespace
    let team = connect(address, &token, Some("team"))?;
    step("namespace", kv1::set(&team, "own", &at("app"), &HashMap::from([("of", "team")])).await);
    step("namespace back", kv1::get::<Value>(&team, "own", &at("app")).await);
    step("by path", kv1::get::<Value>(&client, "team/own", &at("app")).await);
    step("no namespace", kv1::get::<Value>(&connect(address, &token, Some("none"))?, "own", "app").await);

    // What needs no token
    step("status", client.status().await.map_err(|_| "an answer of OpenBao that this crate cannot read"));

    // Size
    let text = "x".repeat(500_000);
    let names: Vec<String> = (0..10).map(|n| format!("k{n}")).collect();
    let large: HashMap<&str, &str> = names.iter().map(|name| (name.as_str(), text.as_str())).collect();
    step("5 MB up", kv1::set(&client, "plain", &at("large"), &large).await);
    let read: HashMap<String, String> = kv1::get(&client, "plain", &at("large")).await?;
    println!("5 MB down {}", read.len() == 10 && read.values().all(|value| *value == text));

    // Many at a time
    let client = Arc::new(client);
    let tasks: Vec<_> = (0..100)
        .map(|n| {
            let (client, path) = (Arc::clone(&client), at(&format!("many/{n}")));
            tokio::spawn(async move { kv1::set(&*client, "plain", &path, &HashMap::from([("n", n)])).await })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    step("many, listed", kv1::list(&*client, "plain", &at("many")).await.map(|list| list.data.keys.len()));
    Ok(())
}
