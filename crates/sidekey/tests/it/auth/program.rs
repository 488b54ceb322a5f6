//! `sidekey run` by an account of Kubernetes and by a JWT, against the real server's plugins.

use tokio::process::Command;

use super::*;

#[tokio::test]
async fn a_program_is_run_by_an_account_and_by_a_jwt() {
    let world = World::new().await;
    world.root.write("secret/data/app", &json!({"data": {"color": "blue"}})).await.unwrap();
    let policy = json!({"policy": "path \"secret/*\" { capabilities = [\"read\", \"list\"] }"});
    world.root.write("sys/policies/acl/reads", &policy).await.unwrap();
    let account = json!({
        "bound_service_account_names": ["sa"], "bound_service_account_namespaces": ["ns"],
        "token_policies": ["reads"], "token_num_uses": 0,
    });
    world.root.write("auth/kubernetes/role/run", &account).await.unwrap();
    let role = json!({
        "role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"], "token_policies": ["reads"],
    });
    world.root.write("sys/auth/team/ci", &json!({"type": "jwt"})).await.unwrap();
    let keys = json!({"jwt_validation_pubkeys": [world.signer.public_key()]});
    world.root.write("auth/team/ci/config", &keys).await.unwrap();
    for mount in ["jwt", "team/ci"] {
        world.root.write(&format!("auth/{mount}/role/run"), &role).await.unwrap();
    }
    let file = world.path("account");
    put(&file, &world.jwt("one"));
    let jwt_file = ("VAULT_JWT_FILE", file.to_str().unwrap());
    let (role, jwt) = (("VAULT_ROLE", "run"), ("VAULT_AUTH_METHOD", "jwt"));
    let run = async |flags: &[&str], variables: &[(&str, &str)]| {
        let output = Command::new(sidekey())
            .arg("run")
            .args(flags)
            .args([
                "-secret=secret/app",
                "-pass-token",
                "sh",
                "-c",
                "echo $COLOR $VAULT_TOKEN $VAULT_JWT_FILE",
            ])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", world.folder.path())
            .env("VAULT_ADDR", world.server.address())
            .envs(variables.iter().copied())
            .output()
            .await
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    for (flags, variables, path) in [
        (&[][..], &[role, jwt_file][..], "auth/kubernetes/login"),
        (&["-role=run"], &[jwt_file], "auth/kubernetes/login"),
        (&["-auth=jwt"], &[role, jwt_file], "auth/jwt/login"),
        (&["-auth-mount=team/ci"], &[role, jwt_file, jwt], "auth/team/ci/login"),
        // As bank-vaults has it: the method jwt where Kubernetes is mounted.
        (&[], &[role, jwt_file, jwt, ("VAULT_PATH", "kubernetes")], "auth/kubernetes/login"),
    ] {
        let (code, out, err) = run(flags, variables).await;
        assert_eq!((code, err.as_str()), (Some(0), ""), "{flags:?}");
        let words: Vec<&str> = out.split_whitespace().collect();
        let [color, token, shown] = words.as_slice() else { panic!("{out}") };
        assert_eq!((*color, *shown), ("blue", jwt_file.1));
        let answer = world.root.with_token(Some(token)).get("auth/token/lookup-self").await.unwrap();
        assert_eq!(answer.json["data"]["path"], path);
        assert!(file.exists(), "the JWT was removed");
    }
    let other = ("VAULT_ROLE", "other");
    for (variables, words) in [
        (&[other, jwt_file][..], "logging in with kubernetes, role \"other\""),
        (&[other, jwt_file, jwt], "logging in with jwt, role \"other\""),
        (&[role, jwt, ("VAULT_JWT_FILE", "/none/jwt")], "/none/jwt"),
        (&[jwt, jwt_file], "the method jwt needs a role"),
    ] {
        let (code, out, err) = run(&[], variables).await;
        assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
        assert!(err.contains(words) && err.contains("nothing was started"), "{err}");
        assert!(!err.contains(&world.jwt("one")), "{err}");
    }
}
