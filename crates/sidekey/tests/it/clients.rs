//! The official clients, through the listener, with no token set.

use std::path::Path;

use tokio::process::Command;

use crate::{Stage, python_package};

async fn run(program: &Path, arguments: &[&str], environment: &[(&str, &str)], home: &Path) -> String {
    let mut command = Command::new(program);
    for name in ["BAO_TOKEN", "VAULT_TOKEN", "BAO_ADDR", "VAULT_ADDR", "BAO_AGENT_ADDR", "VAULT_AGENT_ADDR"] {
        command.env_remove(name);
    }
    command.args(arguments).envs(environment.iter().copied()).env("HOME", home);
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[tokio::test]
async fn the_command_line_client_and_hvac() {
    let stage = Stage::new().await;
    let (mut agent, _) = stage.front().start_listening().await.unwrap();
    let line = agent.says("Api Address 1: ").await.unwrap();
    let address = line.split(": ").nth(1).unwrap().trim().to_owned();
    agent.says("token written").await.unwrap();
    let bao = stage.server.binary().to_owned();
    let home = stage.folder.path();
    for variable in ["BAO_ADDR", "BAO_AGENT_ADDR"] {
        let environment = [(variable, address.as_str())];
        assert_eq!(run(&bao, &["kv", "get", "-field=color", "secret/app"], &environment, home).await, "blue");
        let read =
            run(&bao, &["read", "-field=token_ttl", "auth/approle/role/app"], &environment, home).await;
        assert_eq!(read, "3600");
    }
    let hvac = python_package("hvac");
    let script = "import hvac, sys\nclient = hvac.Client(url=sys.argv[1])\n\
                  print(client.secrets.kv.v2.read_secret_version(path='app', raise_on_deleted_version=True)['data']['data']['color'])\n\
                  login = client.auth.approle.login(role_id=sys.argv[2], secret_id=sys.argv[3], use_token=False)\n\
                  print(login['auth']['client_token'] == client.auth.approle.login(role_id=sys.argv[2], secret_id=sys.argv[3], use_token=False)['auth']['client_token'])";
    let arguments = ["-c", script, &address, &stage.credentials.0, &stage.credentials.1];
    let said = run(Path::new("python3"), &arguments, &[("PYTHONPATH", hvac.to_str().unwrap())], home).await;
    assert_eq!(said, "blue\nTrue");
    agent.stop().await.unwrap();
}
