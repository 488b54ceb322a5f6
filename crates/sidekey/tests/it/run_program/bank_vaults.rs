//! What bank-vaults' programs read from the environment, read by `sidekey run`.

use super::*;

#[tokio::test]
async fn bank_vaults_variables_mean_the_same() {
    let stage = Stage::new().await;
    stage.secrets().await;
    let write = async |path: &str, body: serde_json::Value| stage.root.write(path, &body).await.unwrap();
    write("sys/mounts/pki", json!({"type": "pki"})).await;
    write("sys/mounts/transit", json!({"type": "transit"})).await;
    write("pki/root/generate/internal", json!({"common_name": "ca"})).await;
    write("pki/roles/web", json!({"allow_any_name": true})).await;
    write("transit/keys/app", json!({})).await;
    write("secret/data/mixed", json!({"data": {"oneKey": "old"}})).await;
    write("secret/data/mixed", json!({"data": {"oneKey": "new", "other": "x"}})).await;
    let sealed = write("transit/encrypt/app", json!({"plaintext": "aHVudGVyMg=="})).await;
    let sealed = sealed["data"]["ciphertext"].as_str().unwrap();
    let inline = format!("<${{{sealed}}}>");
    let issue =
        |key: &str| format!(">>vault:pki/issue/web#{key}#{{\"common_name\":\"a.example\",\"ttl\":\"1h\"}}");
    let token = stage.server.root_token();
    put(&stage.path("token"), token);
    let certificates = async || {
        let answer = stage.root.get("pki/certs?list=true").await.unwrap();
        answer.json["data"]["keys"].as_array().unwrap().len()
    };
    let before = certificates().await;
    let file = stage.path("token");
    let variables = [
        ("VAULT_TOKEN_FILE", file.to_str().unwrap()),
        ("VAULT_ROLE_ID", "for the program"),
        ("VAULT_ENV_PASSTHROUGH", "VAULT_TOKEN, VAULT_ROLE_ID"),
        ("VAULT_ENV_FROM_PATH", "secret/data/mixed#1,kv1/old"),
        ("VAULT_ENV_DELAY", "300ms"),
        ("VAULT_ENV_DAEMON", "true"),
        ("VAULT_TRANSIT_KEY_ID", "app"),
        ("VAULT_TRANSIT_PATH", "transit"),
        ("SEALED", sealed),
        ("INLINE", &inline),
        ("CERT", &issue("certificate")),
        ("KEY", &issue("private_key")),
        ("CHAIN", &issue("${index .ca_chain 0 | trunc 10}")),
        ("RANDOM", ">>vault:sys/tools/random/4#${.random_bytes | len}"),
    ];
    let begun = tokio::time::Instant::now();
    let said = stage.run(&["env"], &variables).await;
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{}", said.out);
    assert!(begun.elapsed() > Duration::from_millis(300));
    let vault_token = format!("VAULT_TOKEN={token}");
    for line in [
        "oneKey=old",
        "color=grey",
        "SEALED=hunter2",
        "INLINE=<hunter2>",
        "CERT=-----BEGIN CERTIFICATE-----",
        "KEY=-----BEGIN RSA PRIVATE KEY-----",
        "CHAIN=-----BEGIN",
        "RANDOM=8",
        "VAULT_ROLE_ID=for the program",
        &vault_token,
    ] {
        assert!(said.out.lines().any(|known| known == line), "{line}\n{}", said.out);
    }
    assert!(!said.out.contains("other="), "{}", said.out);
    // Three variables, one certificate.
    assert_eq!(certificates().await, before + 1);
    // What is asked for is looked at, not written, when nothing starts.
    let said = stage.run(&["-dry-run", "env"], &variables).await;
    assert!(
        said.out.contains("variable: CERT from >>pki/issue/web#certificate\n"),
        "{}{}",
        said.out,
        said.err
    );
    assert_eq!(certificates().await, before + 1);
    // Its log, and what is not followed.
    let more = [
        ("VAULT_LOG_LEVEL", "info"),
        ("VAULT_JSON_LOG", "true"),
        ("VAULT_REVOKE_TOKEN", "true"),
        variables[0],
    ];
    let said = stage.run(&["-secret=secret/db", "true"], &more).await;
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(
        said.err.contains("VAULT_REVOKE_TOKEN is not followed") && said.err.contains("{\"@level\":"),
        "{}",
        said.err
    );
    for (name, value, why) in [
        ("VAULT_LOG_LEVEL", "loud", "loud"),
        ("VAULT_ENV_DELAY", "soon", "VAULT_ENV_DELAY"),
        ("VAULT_TOKEN_FILE", "/none/token", "/none/token"),
        ("VAULT_ENV_FROM_PATH", "secret/mixed#9", "secret not found"),
        ("A", ">>vault:pki/issue/none#certificate", "unknown role"),
        ("A", ">>vault:pki/issue/web#certificate#{", "no JSON object"),
    ] {
        let said = stage
            .run(&["-secret=secret/db", "-on-change=none", "touch", "ran"], &[variables[0], (name, value)])
            .await;
        assert_ne!(said.code, Some(0), "{name}={value}");
        let all = said.out + &said.err;
        assert!(all.contains(why), "{name}={value}: {all}");
        assert!(!stage.path("ran").exists());
    }
}
