//! The units: what can be known without systemd, what its own tool says, and the service started as systemd starts it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::json;
use testkit::{Api, Process, eventually};

use super::examples;
use crate::access::SYSTEMD;
use crate::{Stage, put, sidekey};

/// Every key that the units may have; a key that systemd does not know is ignored by it without much ado.
const KNOWN: &[(&str, &[&str])] = &[
    ("Unit", &["After", "AssertPathExists", "Description", "Documentation", "PartOf", "Requires", "Wants"]),
    ("Install", &["Also", "WantedBy"]),
    ("Path", &["PathChanged"]),
    (
        "Socket",
        &["FileDescriptorName", "ListenStream", "RemoveOnStop", "SocketGroup", "SocketMode", "SocketUser"],
    ),
    (
        "Service",
        &[
            "CapabilityBoundingSet",
            "EnvironmentFile",
            "ExecStart",
            "Group",
            "LimitCORE",
            "LoadCredential",
            "LockPersonality",
            "MemoryDenyWriteExecute",
            "NoNewPrivileges",
            "PrivateDevices",
            "PrivateTmp",
            "ProtectClock",
            "ProtectControlGroups",
            "ProtectHome",
            "ProtectHostname",
            "ProtectKernelLogs",
            "ProtectKernelModules",
            "ProtectKernelTunables",
            "ProtectProc",
            "ProtectSystem",
            "RemoveIPC",
            "Restart",
            "RestartSec",
            "RestrictAddressFamilies",
            "RestrictNamespaces",
            "RestrictRealtime",
            "RestrictSUIDSGID",
            "RuntimeDirectory",
            "RuntimeDirectoryMode",
            "RuntimeDirectoryPreserve",
            "SystemCallArchitectures",
            "SystemCallErrorNumber",
            "SystemCallFilter",
            "Type",
            "UMask",
            "User",
            "WatchdogSec",
        ],
    ),
];

/// `Section.Key` and its values.
type Unit = BTreeMap<String, Vec<String>>;

fn text(name: &str) -> String {
    std::fs::read_to_string(examples().join("systemd").join(name)).unwrap()
}

fn units() -> BTreeMap<String, Unit> {
    let files = std::fs::read_dir(examples().join("systemd")).unwrap();
    let names = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let is_unit = |name: &String| [".service", ".socket", ".path"].iter().any(|end| name.ends_with(end));
    names.filter(is_unit).map(|name| (name.clone(), parsed(&name))).collect()
}

fn parsed(name: &str) -> Unit {
    let (mut section, mut unit) = ("", Unit::new());
    let text = text(name);
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.strip_suffix(']').unwrap();
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{name}: {line}"));
        let known = KNOWN.iter().find(|(known, _)| *known == section);
        let known = known.unwrap_or_else(|| panic!("{name}: unknown section {section:?}")).1;
        assert!(known.contains(&key), "{name}: unknown key {key:?} in [{section}]");
        unit.entry(format!("{section}.{key}")).or_default().push(value.to_owned());
    }
    unit
}

#[test]
fn the_units_know_each_other_and_the_configuration() {
    let (units, config) = (units(), text("agent.hcl"));
    assert_eq!(units.len(), 5);
    for (name, unit) in &units {
        for key in ["Unit.After", "Unit.Wants", "Unit.Requires", "Unit.PartOf", "Install.Also"] {
            for other in unit.get(key).into_iter().flatten().flat_map(|value| value.split(' ')) {
                let is_there = units.contains_key(other) || other.ends_with(".target");
                assert!(is_there, "{name}: there is no {other}");
            }
        }
    }
    let service = &units["sidekey.service"];
    assert_eq!(service["Service.ExecStart"], ["/usr/local/bin/sidekey agent -config=/etc/sidekey/agent.hcl"]);
    for credential in &service["Service.LoadCredential"] {
        let name = credential.split(':').next().unwrap();
        assert!(config.contains(&format!("\"/run/credentials/sidekey.service/{name}\"")), "{name}");
    }
    let socket = &units["sidekey.socket"];
    assert!(config.contains(&format!("\"systemd:{}\"", socket["Socket.FileDescriptorName"][0])));
    let file = "/run/sidekey/app.env".to_owned();
    assert!(config.contains(&format!("{file:?}")) && service["Service.RuntimeDirectory"] == ["sidekey"]);
    let app = &units["app.service"];
    assert_eq!(
        (&app["Service.EnvironmentFile"], &app["Unit.AssertPathExists"]),
        (&vec![file.clone()], &vec![file.clone()])
    );
    assert_eq!(units["app-restart.path"]["Path.PathChanged"], [file]);
    // Whoever may open the socket and read the files.
    assert_eq!(
        (&socket["Socket.SocketGroup"], &service["Service.Group"]),
        (&app["Service.Group"], &app["Service.Group"])
    );
}

/// Where the tool is; the test above has looked at every key where it is not.
#[test]
fn systemd_itself_finds_nothing_wrong() {
    let Ok(version) = Command::new("systemd-analyze").arg("--version").output() else { return };
    let version = String::from_utf8(version.stdout).unwrap();
    let version: u32 = version.split_whitespace().nth(1).unwrap().parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut paths = Vec::new();
    for name in units().into_keys() {
        let unit = text(&name).replace("/usr/local/bin/sidekey", sidekey().to_str().unwrap());
        let mut unit =
            unit.replace("/usr/local/bin/app", "/bin/true").replace("/usr/bin/systemctl", "/bin/true");
        if version < 253 {
            unit = unit.replace("Type=notify-reload", "Type=notify");
        }
        paths.push(folder.path().join(name));
        put(paths.last().unwrap(), &unit);
    }
    let verified = Command::new("systemd-analyze").arg("verify").args(&paths).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stderr);
    let is_ours = |line: &&str| {
        line.contains("sidekey") || line.contains("app") || line.contains(&*folder.path().to_string_lossy())
    };
    let said: Vec<_> = said.lines().filter(is_ours).collect();
    assert!(said.is_empty(), "{said:?}");
    if version >= 250 {
        let mut rated = Command::new("systemd-analyze");
        rated
            .args(["security", "--offline=yes", "--threshold=20"])
            .arg(folder.path().join("sidekey.service"));
        let rated = rated.output().unwrap();
        assert!(rated.status.success(), "{}", String::from_utf8_lossy(&rated.stdout));
    }
}

#[tokio::test]
async fn the_service_does_its_part() {
    let stage = Stage::new().await;
    let account = json!({"data": {"username": "app", "password": "ti\"ger"}});
    stage.root.write("secret/data/app", &account).await.unwrap();
    let unit = parsed("sidekey.service");
    let folder = stage.folder.path().to_str().unwrap();
    let ours = |text: &str| {
        text.replace("/run/credentials/sidekey.service", folder)
            .replace("/run/sidekey", folder)
            .replace("/etc/sidekey", folder)
            .replace("http://127.0.0.1:8200", &stage.server.address())
    };
    put(&stage.path("agent.hcl"), &ours(&text("agent.hcl")));
    put(&stage.path("role-id"), &stage.credentials.0);
    put(&stage.path("secret-id"), &stage.credentials.1);
    let script = SYSTEMD.replace("PROGRAM", &format!("{:?}", sidekey().to_str().unwrap()));
    atomic_file::write(&stage.path("systemd"), script.as_bytes(), &atomic_file::Attributes::new(0o700))
        .unwrap();
    let told = std::os::unix::net::UnixDatagram::bind(stage.path("notify")).unwrap();
    told.set_nonblocking(true).unwrap();
    let next = async |words: &str| {
        eventually(words, || async {
            let mut message = [0; 400];
            let length = told.recv(&mut message).ok()?;
            String::from_utf8_lossy(&message[..length]).starts_with(words).then_some(())
        })
        .await
        .unwrap();
    };
    let socket = &parsed("sidekey.socket");
    let local =
        stage.path(Path::new(&socket["Socket.ListenStream"][0]).file_name().unwrap().to_str().unwrap());
    let mut command = tokio::process::Command::new(stage.path("systemd"));
    command
        .args(ours(&unit["Service.ExecStart"][0]).split(' ').skip(1))
        .env("PASS", format!("{}={}", socket["Socket.FileDescriptorName"][0], local.display()))
        .env("NOTIFY_SOCKET", stage.path("notify"))
        // As for WatchdogSec=, a hundred times sooner.
        .env("WATCHDOG_USEC", "300000");
    let mut agent = Process::start("the service", command).unwrap();
    next("READY=1").await;
    assert_eq!(stage.read("app.env"), "DB_USER=app\nDB_PASSWORD=\"ti\\\"ger\"\n");
    let api = Api::new(&format!("unix://{}", local.display()), None).unwrap();
    assert_eq!(api.get("secret/data/app").await.unwrap().json["data"]["data"]["username"], "app");
    next("WATCHDOG=1").await;
    agent.signal(Signal::HUP);
    next("RELOADING=1").await;
    next("READY=1").await;
    assert_eq!(agent.stop().await.unwrap().code(), Some(0), "{}", agent.output().join("\n"));
    next("STOPPING=1").await;
    assert!(stage.path("app.env").exists() && local.exists());
}
