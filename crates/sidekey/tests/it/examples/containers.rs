//! What stands in manifests, compose files and the Dockerfile, run as real processes: their folders are ours, and what
//! a kubelet or Docker would do is done here.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testkit::{Api, Process, eventually};
use tokio::process::Command;

use super::examples;
use crate::auth::World;
use crate::{Stage, put, sidekey};

/// Turns what `parseYAML` makes of a document into JSON, which knows no keys but text.
const TO_JSON: &str = r#"{{ define "node" }}{{ $kind := printf "%T" . -}}
{{ if eq $kind "map[interface {}]interface {}" -}}
{ {{- $more := false }}{{ range $key, $value := . }}{{ if $more }},{{ end }}{{ $more = true -}}
{{ print $key | toJSON }}:{{ template "node" $value }}{{ end }} }
{{- else if eq $kind "[]interface {}" -}}
[ {{- range $place, $value := . }}{{ if $place }},{{ end }}{{ template "node" $value }}{{ end }} ]
{{- else }}{{ toJSON . }}{{ end }}{{ end }}{{ template "node" (file "doc" | parseYAML) }}"#;

/// The documents of a file of YAML.
async fn documents(name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(examples().join(name)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    put(&path("t"), TO_JSON);
    let mut found = Vec::new();
    for document in text.split("\n---\n") {
        put(&path("data"), &json!({"files": {"doc": document}}).to_string());
        let mut command = Command::new(sidekey());
        command.args(["template", "test"]).arg(path("t")).arg("--data").arg(path("data"));
        let output = command.output().await.unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        found.push(serde_json::from_slice(&output.stdout).unwrap());
    }
    found
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

async fn passes_a_strict_check(config: &str) {
    let folder = tempfile::tempdir().unwrap();
    put(&folder.path().join("agent.hcl"), config);
    let mut command = Command::new(sidekey());
    let output =
        command.arg("check").arg(folder.path().join("agent.hcl")).arg("-strict").output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// A manifest, and the folders that its volumes are here.
struct Manifest {
    pod: Value,
    sidekey: Value,
    config: String,
    folder: tempfile::TempDir,
}

impl Manifest {
    async fn read(name: &str) -> Self {
        let all = documents(name).await;
        let kind = |kind: &str| all.iter().find(|one| one["kind"] == kind);
        let workload = kind("Job").or(kind("Deployment")).unwrap();
        let pod = workload["spec"]["template"]["spec"].clone();
        assert_eq!(kind("ServiceAccount").unwrap()["metadata"]["name"], pod["serviceAccountName"]);
        for one in &all {
            assert_eq!(one["metadata"]["namespace"], "app", "{name}");
        }
        if workload["kind"] == "Deployment" {
            let labels = &workload["spec"]["template"]["metadata"]["labels"];
            assert_eq!(&workload["spec"]["selector"]["matchLabels"], labels);
        }
        let map = kind("ConfigMap").unwrap();
        let config = map["data"]["agent.hcl"].as_str().unwrap().to_owned();
        passes_a_strict_check(&config).await;
        let manifest = Self {
            sidekey: pod["initContainers"][0].clone(),
            pod,
            config,
            folder: tempfile::tempdir().unwrap(),
        };
        assert_eq!(manifest.volume("config")["configMap"]["name"], map["metadata"]["name"]);
        assert_eq!(manifest.volume("rendered")["emptyDir"]["medium"], "Memory");
        manifest.is_confined();
        manifest
    }

    fn volume(&self, name: &str) -> &Value {
        let volumes = self.pod["volumes"].as_array().unwrap();
        volumes.iter().find(|volume| volume["name"] == name).unwrap_or_else(|| panic!("no volume {name}"))
    }

    fn is_confined(&self) {
        let context = &self.pod["securityContext"];
        assert_eq!(
            (&context["runAsNonRoot"], &context["seccompProfile"]["type"]),
            (&json!(true), &json!("RuntimeDefault"))
        );
        let app = self.pod["containers"].as_array().unwrap();
        for container in app.iter().chain([&self.sidekey]) {
            let context = &container["securityContext"];
            assert_eq!(context["allowPrivilegeEscalation"], false);
            assert_eq!(context["readOnlyRootFilesystem"], true);
            assert_eq!(context["capabilities"]["drop"], json!(["ALL"]));
            for mount in container["volumeMounts"].as_array().unwrap() {
                self.volume(mount["name"].as_str().unwrap());
                assert!(mount.get("subPath").is_none());
            }
        }
        // The application reads what Sidekey writes, under the same path.
        let mount = |container: &Value, name: &str| {
            let mounts = container["volumeMounts"].as_array().unwrap();
            mounts.iter().find(|mount| mount["name"] == name).unwrap()["mountPath"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        let rendered = mount(&self.sidekey, "rendered");
        assert_eq!(mount(&app[0], "rendered"), rendered);
        assert!(self.config.contains(&format!("= \"{rendered}/")));
        let token = &self.volume("account")["projected"]["sources"][0]["serviceAccountToken"];
        let token = format!("{}/{}", mount(&self.sidekey, "account"), token["path"].as_str().unwrap());
        assert!(self.config.contains(&format!("token_path = {token:?}")), "{token}");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the container `sidekey` in our folders.
    fn start(&self, world: &World) -> Process {
        let mut config = self.config.replace("https://vault.example.com:8200", &world.server.address());
        config = config.replace("127.0.0.1:8100", "127.0.0.1:0").replace("0.0.0.0:9102", "127.0.0.1:0");
        let mut arguments = texts(&self.sidekey["command"]);
        assert_eq!(arguments.remove(0), "/usr/local/bin/sidekey");
        for mount in self.sidekey["volumeMounts"].as_array().unwrap() {
            let place = self.path(mount["name"].as_str().unwrap());
            atomic_file::create_folders(&place).unwrap();
            let path = mount["mountPath"].as_str().unwrap();
            config = config.replace(&format!("\"{path}/"), &format!("\"{}/", place.display()));
            for argument in &mut arguments {
                *argument = argument.replace(&format!("={path}/"), &format!("={}/", place.display()));
            }
        }
        put(&self.path("config/agent.hcl"), &config);
        let mut command = Command::new(sidekey());
        command.args(arguments).env_clear().current_dir("/");
        Process::start("the container", command).unwrap()
    }

    fn rendered(&self) -> String {
        std::fs::read_to_string(self.path("rendered/app.conf")).unwrap_or_default()
    }
}

/// A server that knows the service account.
async fn cluster() -> World {
    let world = World::new().await;
    let policy = json!({"policy": "path \"secret/data/app\" { capabilities = [\"read\"] }"});
    world.root.write("sys/policies/acl/app", &policy).await.unwrap();
    let role = json!({
        "bound_service_account_names": ["sa"], "bound_service_account_namespaces": ["ns"], "audience": "vault",
        "token_policies": ["app"],
    });
    world.root.write("auth/kubernetes/role/app", &role).await.unwrap();
    secret(&world, "tiger").await;
    world
}

async fn secret(world: &World, password: &str) {
    let data = json!({"data": {"password": password}});
    eventually("the mount", || async { world.root.write("secret/data/app", &data).await.ok() })
        .await
        .unwrap();
}

#[tokio::test]
async fn an_init_container_and_a_native_sidecar_of_kubernetes() {
    let world = cluster().await;
    let init = Manifest::read("kubernetes/init.yaml").await;
    assert!(init.sidekey.get("restartPolicy").is_none() && init.pod["restartPolicy"] == "OnFailure");
    assert!(init.config.contains("exit_after_auth = true"));
    atomic_file::create_folders(&init.path("account")).unwrap();
    put(&init.path("account/token"), &world.jwt("init"));
    let mut process = init.start(&world);
    assert_eq!(process.ended().await.unwrap().code(), Some(0), "{}", process.output().join("\n"));
    assert_eq!(init.rendered(), "password = tiger\n");

    let sidecar = Manifest::read("kubernetes/sidecar.yaml").await;
    assert_eq!(sidecar.sidekey["restartPolicy"], "Always");
    let ports = sidecar.sidekey["ports"].as_array().unwrap();
    let ask = async |probe: &str, api: &Api| {
        let get = &sidecar.sidekey[probe]["httpGet"];
        // By the name of a port that the configuration listens on.
        let port =
            ports.iter().find(|port| port["name"] == get["port"]).unwrap()["containerPort"].as_u64().unwrap();
        let listener = format!("\"0.0.0.0:{port}\"");
        let block = sidecar.config.split("listener ").find(|block| block.contains(&listener)).unwrap();
        assert!(block.contains("role        = \"metrics_only\""), "{block}");
        api.send("GET", get["path"].as_str().unwrap(), &[], "").await.unwrap().status.as_u16()
    };
    let waits =
        |probe: &str, key: &str, default: u64| sidecar.sidekey[probe][key].as_u64().unwrap_or(default);
    assert!(waits("startupProbe", "failureThreshold", 3) * waits("startupProbe", "periodSeconds", 10) >= 60);

    // The kubelet is late with the account's token: alive, and not yet started.
    let mut process = sidecar.start(&world);
    let mut addresses = Vec::new();
    for nth in 1..=2 {
        let line = process.says(&format!("Api Address {nth}: ")).await.unwrap();
        addresses.push(line.split(": ").nth(1).unwrap().trim().to_owned());
    }
    let kubelet = Api::new(&addresses[1], None).unwrap();
    assert_eq!(ask("startupProbe", &kubelet).await, 503);
    assert_eq!(ask("livenessProbe", &kubelet).await, 200);
    put(&sidecar.path("account/token"), &world.jwt("sidecar"));
    eventually("the startup probe", || async { (ask("startupProbe", &kubelet).await == 200).then_some(()) })
        .await
        .unwrap();
    assert_eq!(sidecar.rendered(), "password = tiger\n");
    assert_eq!((ask("readinessProbe", &kubelet).await, ask("livenessProbe", &kubelet).await), (200, 200));
    assert_eq!(
        kubelet.get("secret/data/app").await.unwrap().status.as_u16(),
        404,
        "health and metrics alone"
    );

    // The application asks at its VAULT_ADDR without a token.
    let variable = &sidecar.pod["containers"][0]["env"][0];
    let address = variable["value"].as_str().unwrap().strip_prefix("http://").unwrap();
    assert!(variable["name"] == "VAULT_ADDR" && sidecar.config.contains(&format!("\"{address}\"")));
    let app = Api::new(&addresses[0], None).unwrap();
    let headers = [("x-vault-request", "true")];
    let answer = app.send("GET", "/v1/secret/data/app", &headers, "").await.unwrap();
    assert_eq!(answer.json["data"]["data"]["password"], "tiger");
    assert_eq!(process.stop().await.unwrap().code(), Some(0), "{}", process.output().join("\n"));
    assert_eq!(sidecar.rendered(), "password = tiger\n");
}

/// The words of an instruction in JSON's form.
fn instruction(dockerfile: &str, name: &str) -> Vec<String> {
    let line =
        dockerfile.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"));
    texts(&serde_json::from_str(line).unwrap_or_else(|_| panic!("{name} needs a shell, which is not there")))
}

fn seconds(text: &str) -> u64 {
    text.strip_suffix('s').unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_image_with_sidekey_in_front_of_the_program() {
    let stage = Stage::new().await;
    let dockerfile = std::fs::read_to_string(examples().join("docker/Dockerfile")).unwrap();
    for line in dockerfile.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let word = line.split(' ').next().unwrap();
        assert!(["CMD", "COPY", "ENTRYPOINT", "ENV", "FROM", "RUN", "WORKDIR"].contains(&word), "{line}");
    }
    let compose = documents("docker/compose.yaml").await.remove(0);
    let app = &compose["services"]["app"];
    let mut words = instruction(&dockerfile, "ENTRYPOINT ");
    assert_eq!(words.remove(0), "/usr/local/bin/sidekey");
    let timeout = words.iter().find_map(|word| word.strip_prefix("-stop-timeout=")).unwrap();
    assert!(seconds(timeout) < seconds(app["stop_grace_period"].as_str().unwrap()));
    assert!(dockerfile.contains(&format!("/{} /usr/local/bin/sidekey\n", "sidekey/target/release/sidekey")));

    let program = "#!/bin/sh\ntrap 'exit 9' TERM\necho \"$COLOR ${VAULT_ROLE_ID-none} $$\" > told\nwhile :; do sleep 0.02; done\n";
    atomic_file::write(&stage.path("app"), program.as_bytes(), &atomic_file::Attributes::new(0o700)).unwrap();
    for (name, value) in [("role-id", &stage.credentials.0), ("secret-id", &stage.credentials.1)] {
        put(&stage.path(name), value);
        assert!(compose["secrets"][name]["file"].is_string());
    }
    let ours = |text: &str| {
        let folder = stage.folder.path().to_str().unwrap();
        text.replace("/run/secrets", folder)
            .replace("/usr/local/bin", folder)
            .replace("/run/sidekey", folder)
            .replace("/etc/sidekey", folder)
            .replace("https://vault.example.com:8200", &stage.server.address())
            .replace("127.0.0.1:8100", "127.0.0.1:0")
    };
    let mut command = Command::new(sidekey());
    command.args(&words).args(instruction(&dockerfile, "CMD ").iter().map(|word| ours(word)));
    command.env_clear().current_dir(stage.folder.path());
    let set = dockerfile.lines().filter_map(|line| line.strip_prefix("ENV ")?.split_once('='));
    command.envs(set.map(|(name, value)| (name, ours(value))));
    for (name, value) in app["environment"].as_object().unwrap() {
        let value = value.as_str().unwrap();
        command.env(
            name,
            if value.starts_with("${VAULT_ROLE_ID:?") { stage.credentials.0.clone() } else { ours(value) },
        );
    }
    let mut process = Process::start("the image", command).unwrap();
    let told = async || Some(stage.read("told")).filter(|told| told.ends_with('\n'));
    let told = eventually("the program", told).await.unwrap_or_else(|_| panic!("{:?}", process.output()));
    assert!(told.starts_with("blue none "), "{told}");
    assert_eq!(process.stop().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn an_agent_beside_a_program_that_knows_nothing_of_it() {
    let stage = Stage::new().await;
    stage.root.write("secret/data/app", &json!({"data": {"password": "tiger"}})).await.unwrap();
    let compose = documents("docker/compose.yaml").await.remove(0);
    let agent = &compose["services"]["agent"];
    let config = compose["configs"]["agent"]["content"].as_str().unwrap();
    passes_a_strict_check(config).await;
    let words = texts(&agent["entrypoint"]);
    assert_eq!(words[..2], ["/usr/local/bin/sidekey", "agent"]);
    assert_eq!(words[2], format!("-config={}", agent["configs"][0]["target"].as_str().unwrap()));
    for name in texts(&agent["secrets"]) {
        assert!(config.contains(&format!("\"/run/secrets/{name}\"")), "{name}");
    }
    let web = &compose["services"]["web"];
    assert_eq!(web["depends_on"]["agent"]["condition"], "service_healthy");
    let volume = agent["volumes"][0].as_str().unwrap();
    assert_eq!(web["volumes"][0], format!("{volume}:ro"));
    let (name, place) = volume.split_once(':').unwrap();
    assert_eq!(compose["volumes"][name]["driver_opts"]["type"], "tmpfs");
    assert!(
        Path::new("/run/sidekey") == Path::new(place) && config.contains(&format!("\"{place}/app.conf\""))
    );

    let folder = stage.folder.path().to_str().unwrap();
    let config = config
        .replace("/run/secrets", folder)
        .replace("/run/sidekey", folder)
        .replace("https://vault.example.com:8200", &stage.server.address())
        .replace("127.0.0.1:8100", "127.0.0.1:0");
    put(&stage.path("agent.hcl"), &config);
    put(&stage.path("role-id"), &stage.credentials.0);
    put(&stage.path("secret-id"), "not yet");
    let mut command = Command::new(sidekey());
    command.arg("agent").arg(format!("-config={}", stage.path("agent.hcl").display()));
    let mut process = Process::start("the agent", command).unwrap();
    let line = process.says("Api Address 1: ").await.unwrap();
    let address = line.split(": ").nth(1).unwrap().trim().to_owned();
    let test = texts(&agent["healthcheck"]["test"]);
    assert_eq!(test[..2], ["CMD", "/usr/local/bin/sidekey"]);
    let healthy = async || {
        let words = test[2..].iter().map(|word| word.replace("http://127.0.0.1:8100", &address));
        Command::new(sidekey()).args(words).output().await.unwrap().status.code()
    };
    assert_eq!(healthy().await, Some(1));
    put(&stage.path("secret-id"), &stage.credentials.1);
    eventually("its health", || async { (healthy().await == Some(0)).then_some(()) }).await.unwrap();
    assert_eq!(stage.read("app.conf"), "password = tiger\n");
    process.stop().await.unwrap();
}
