//! `exec` and `env_template`: a child with secrets in its environment, against the real server.

use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::json;
use testkit::{Process, Program, Server, eventually, server_binary};

use crate::{Stage, put, sidekey};

const COLOR: &str = "env_template \"COLOR\" {\n contents = \"{{ with secret \\\"secret/data/app\\\" }}{{ .Data.data.color }}{{ end }}\"\n}\n";

/// Often enough for tests.
const QUICK: &str = "template_config {\n static_secret_render_interval = \"1s\"\n}\n";

/// A stanza for a shell with `line`, and more keys.
fn exec(line: &str, keys: &str) -> String {
    format!("exec {{\n command = [\"sh\", \"-c\", {line:?}]\n change_delay = \"100ms\"\n{keys}\n}}\n")
}

impl Stage {
    fn exec(&self, config: &str) -> Process {
        self.agent(&[]).config(QUICK).config(config).start().unwrap()
    }

    async fn color(&self, color: &str) {
        self.root.write("secret/data/app", &json!({"data": {"color": color}})).await.unwrap();
    }

    /// Waits until the file in our folder is this.
    async fn holds(&self, name: &str, text: &str, agent: &Process) {
        eventually(name, || async { Some(()).filter(|()| self.read(name) == text) })
            .await
            .unwrap_or_else(|why| panic!("{why}: {:?}\n{}", self.read(name), agent.output().join("\n")));
    }

    /// Waits for a process id in a file in our folder.
    async fn pid(&self, name: &str) -> Pid {
        eventually(name, || async { self.read(name).trim().parse().ok().and_then(Pid::from_raw) })
            .await
            .unwrap()
    }
}

/// Waits until there is no such process, or a zombie that nobody buries.
async fn gone(pid: Pid) {
    eventually("the end of the process", || async { (!lives(pid)).then_some(()) }).await.unwrap();
}

fn lives(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

#[tokio::test]
async fn f18_it_starts_restarts_on_change_alone_and_its_end_is_ours() {
    let stage = Stage::new().await;
    let line = "trap 'exit 7' USR1; echo $COLOR >> colors; while :; do sleep 0.02; done";
    let mut agent = stage.exec(&(COLOR.to_owned() + &exec(line, "")));
    stage.holds("colors", "blue\n", &agent).await;
    // Read again, the same: nothing happens, and nobody waits for it to happen.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(stage.read("colors"), "blue\n");
    stage.color("scarlet").await;
    stage.holds("colors", "blue\nscarlet\n", &agent).await;
    agent.says("stopping process").await.unwrap();
    assert!(agent.has_said("[INFO] (child) spawning: sh -c trap "));
    assert!(!agent.output().join("\n").contains("scarlet"), "a secret stands in the log");
    let child = stage_child(&agent);
    kill_process(child, Signal::USR1).unwrap();
    assert_eq!(agent.ended().await.unwrap().code(), Some(7));
    assert!(agent.has_said("runtime error encountered: error=\"process exited with 7\" exitCode=7"));
    assert!(agent.has_said("Error encountered during run, refer to logs for more details."));
}

/// The child that was started last.
fn stage_child(agent: &Process) -> Pid {
    let output = agent.output();
    let line = output.iter().rev().find(|line| line.contains("the child process runs")).unwrap();
    Pid::from_raw(line.split("process_id=").nth(1).unwrap().trim().parse().unwrap()).unwrap()
}

#[tokio::test]
async fn f18_codes_and_signals_are_mirrored() {
    let stage = Stage::new().await;
    for (line, code, told) in [
        ("exit 0", 0, "exec server stopped"),
        ("exit 3", 3, "error=\"process exited with 3\" exitCode=3"),
        ("kill -9 $$", 137, "error=\"process exited with 137 (killed by signal 9)\" exitCode=137"),
    ] {
        let mut agent = stage.exec(&(COLOR.to_owned() + &exec(line, "")));
        assert_eq!(agent.ended().await.unwrap().code(), Some(code), "{line}");
        assert!(agent.has_said(told), "{}", agent.output().join("\n"));
    }
    for (command, told) in [
        ("/nonexistent", "fork/exec /nonexistent: no such file or directory"),
        ("no-such-program", "executable file not found in $PATH"),
        ("/", "fork/exec /: permission denied"),
    ] {
        let mut agent = stage.exec(&format!("{COLOR}exec {{\n command = [{command:?}]\n}}\n"));
        assert_eq!(agent.ended().await.unwrap().code(), Some(1), "{command}");
        let whole = agent.output().join("\n");
        assert!(
            whole.contains("unable to restart the child process: error starting the child process: "),
            "{whole}"
        );
        assert!(whole.contains(told) || whole.contains(&told.replace('"', "\\\"")), "{whole}");
    }
}

/// As a terminal does it, and systemd.
#[tokio::test]
async fn a_signal_to_both_means_us() {
    let stage = Stage::new().await;
    for line in
        ["echo $$ > pid; exec sleep 600", "trap 'exit 143' TERM; echo $$ > pid; while :; do sleep 0.01; done"]
    {
        put(&stage.path("pid"), "");
        let mut agent = stage.exec(&(COLOR.to_owned() + &exec(line, "")));
        let child = stage.pid("pid").await;
        kill_process(child, Signal::TERM).unwrap();
        agent.says("exec server stopped").await.unwrap();
        agent.signal(Signal::TERM);
        assert_eq!(agent.ended().await.unwrap().code(), Some(0), "{}", agent.output().join("\n"));
    }
}

/// The guard that this agent has posted.
fn guard_of(agent: u32) -> Option<Pid> {
    let children = std::fs::read_to_string(format!("/proc/{agent}/task/{agent}/children")).unwrap();
    let is_guard = |id: &&str| {
        std::fs::read_to_string(format!("/proc/{id}/comm")).is_ok_and(|name| name == "exec-guard\n")
    };
    children.split_whitespace().find(is_guard).and_then(|id| Pid::from_raw(id.parse().unwrap()))
}

/// It is seen by all, and outlives us: it knows nothing, holds nothing, ends with the child, and costs next to nothing.
#[tokio::test]
async fn the_guard_holds_nothing_and_has_a_successor() {
    let stage = Stage::new().await;
    let line = "echo $$ > pid; trap 'exit 0' USR1; while :; do sleep 0.02; done";
    let keys = "child_process_stdout = \"out\"";
    let config = COLOR.to_owned() + &exec(line, keys);
    let mut agent = stage.agent(&[]).config(QUICK).config(&config).env("HIDDEN", "s.never").start().unwrap();
    let child = stage.pid("pid").await;
    let guard = eventually("the guard", || async { guard_of(agent.pid().unwrap()) }).await.unwrap();
    let of = |name: &str| std::fs::read(format!("/proc/{}/{name}", guard.as_raw_nonzero())).unwrap();
    assert_eq!(of("environ"), b"");
    assert!(of("cmdline").ends_with(b"\0exec-guard\0"), "{:?}", of("cmdline"));
    let files = std::fs::read_dir(format!("/proc/{}/fd", guard.as_raw_nonzero())).unwrap();
    let mut files: Vec<_> = files
        .map(|entry| std::fs::read_link(entry.unwrap().path()).unwrap().to_str().unwrap().to_owned())
        .collect();
    files.sort();
    assert!(
        matches!(files.as_slice(), [null, other, pipe] if null == "/dev/null" && other == null && pipe.starts_with("pipe:")),
        "{files:?}"
    );
    // Whoever ends all of us by a signal does not end it.
    kill_process(guard, Signal::TERM).unwrap();
    kill_process(guard, Signal::HUP).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(guard_of(agent.pid().unwrap()), Some(guard));
    kill_process(guard, Signal::KILL).unwrap();
    agent.says("the child's guard was ended, another takes its place").await.unwrap();
    let second = eventually("another guard", || async { guard_of(agent.pid().unwrap()) }).await.unwrap();
    agent.kill().await;
    gone(child).await;
    gone(second).await;

    // What is left behind in the background when all is over lives on, and no guard minds.
    let line = "sleep 600 & echo $! > inner; exit 0";
    let mut agent = stage.exec(&(COLOR.to_owned() + &exec(line, "")));
    assert_eq!(agent.ended().await.unwrap().code(), Some(0));
    let inner = stage.pid("inner").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(lives(inner), "it was ended");
    kill_process(inner, Signal::KILL).unwrap();

    // Nobody is to mind.
    put(&stage.path("pid"), "");
    let mut agent =
        stage.exec(&(COLOR.to_owned() + &exec("echo $$ > pid; exec sleep 600", "pdeathsig = \"SIGNULL\"")));
    let child = stage.pid("pid").await;
    assert_eq!(guard_of(agent.pid().unwrap()), None);
    agent.kill().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(lives(child), "it was ended");
    kill_process(child, Signal::KILL).unwrap();
}

#[tokio::test]
async fn f18_nobody_is_left_behind_when_the_agent_is_killed_or_stopped() {
    let stage = Stage::new().await;
    // Whoever does not mind being asked; whoever has started another, which nobody asks but us; and whoever wants to end
    // in good order, and may.
    let line = "sleep 600 & echo $! > inner; echo $$ > pid; sleep 600";
    let deaf = "trap '' TERM; sleep 600 & echo $! > inner; echo $$ > pid; while :; do sleep 0.02; done";
    let tidy = "trap 'sleep 0.3; echo tidied up > done; exit' TERM; sleep 600 & echo $! > inner; echo $$ > pid; \
                while :; do sleep 0.02; done";
    for line in [line, deaf, tidy] {
        ["pid", "inner"].iter().for_each(|name| put(&stage.path(name), ""));
        let mut agent = stage.exec(&(COLOR.to_owned() + &exec(line, "stop_timeout = \"1s\"")));
        let (child, inner) = (stage.pid("pid").await, stage.pid("inner").await);
        let guard = guard_of(agent.pid().unwrap()).unwrap();
        agent.kill().await;
        gone(child).await;
        gone(inner).await;
        gone(guard).await;
    }
    assert_eq!(stage.read("done"), "tidied up\n");

    // In good order: the child first, with its own way of ending, and what it has started with it.
    let line = "(trap 'echo inner >> ends; exit' TERM; echo up > up; while :; do sleep 0.02; done) & \
                trap 'echo outer >> ends; exit 9' TERM; while :; do sleep 0.02; done";
    let mut agent = stage.exec(&(COLOR.to_owned() + &exec(line, "")));
    stage.holds("up", "up\n", &agent).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(agent.stop().await.unwrap().code(), Some(0), "{}", agent.output().join("\n"));
    let ends = stage.read("ends");
    assert!(ends.contains("inner") && ends.contains("outer"), "{ends}");

    // One that does not listen is killed when its time is up, or when somebody asks again.
    for (timeout, ask_again, told) in [
        ("500ms", false, "did not end when it was asked to"),
        ("60s", true, "asked again, the child is killed"),
    ] {
        let deaf = exec(
            "echo $$ > deaf; trap '' TERM; while :; do sleep 0.02; done",
            &format!("stop_timeout = {timeout:?}"),
        );
        put(&stage.path("deaf"), "");
        let mut agent = stage.exec(&(COLOR.to_owned() + &deaf));
        let child = stage.pid("deaf").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let asked = SystemTime::now();
        agent.signal(Signal::TERM);
        if ask_again {
            agent.says("stopping process").await.unwrap();
            agent.signal(Signal::TERM);
        }
        assert_eq!(agent.ended().await.unwrap().code(), Some(0));
        assert!(asked.elapsed().unwrap() < Duration::from_secs(8));
        assert!(agent.has_said(told), "{}", agent.output().join("\n"));
        gone(child).await;
    }
}

#[tokio::test]
async fn signals_are_ours_and_handed_on_where_asked() {
    let stage = Stage::new().await;
    let line = "for s in HUP USR1 USR2 QUIT WINCH; do trap \"echo $s >> signals\" $s; done; echo up >> signals; while :; do sleep 0.02; done";
    let keys = "forward_signals = [\"SIGHUP\", \"SIGQUIT\", \"SIGUSR1\"]";
    let mut agent = stage.exec(&(COLOR.to_owned() + &exec(line, keys)));
    stage.holds("signals", "up\n", &agent).await;
    // What has no meaning is survived, real-time signals too.
    let line = format!("for n in 16 $(seq 34 63); do kill -$n {}; done", agent.pid().unwrap());
    assert!(std::process::Command::new("sh").args(["-c", &line]).status().unwrap().success());
    agent.signal(Signal::USR2);
    for (signal, told) in [
        (Signal::HUP, "up\nHUP\n"),
        (Signal::QUIT, "up\nHUP\nQUIT\n"),
        (Signal::USR1, "up\nHUP\nQUIT\nUSR1\n"),
    ] {
        agent.signal(signal);
        stage.holds("signals", told, &agent).await;
    }
    agent.says("config reload triggered").await.unwrap();
    agent.says("configuration reloaded").await.unwrap();
    let child = stage_child(&agent);
    for _ in 0..200 {
        agent.signal(Signal::HUP);
        agent.signal(Signal::USR2);
    }
    assert_eq!(stage_child(&agent), child, "a reload restarted it");
    assert_eq!(agent.stop().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn what_it_sees_of_our_environment() {
    let stage = Stage::new().await;
    let line = "env > all; cat; ulimit -Sn > limit; echo out; echo err >&2; exit 0";
    let keys = "child_process_stdout = \"out\"\nchild_process_stderr = \"err\"\nenv {\n denylist = [\"HIDDEN*\"]\n custom = [\"MORE=1\"]\n}";
    put(&stage.path("out"), "before\n");
    let mut agent = stage
        .agent(&[])
        .config(&(COLOR.to_owned() + &exec(line, keys)))
        .env("VAULT_TOKEN", "s.never")
        .env("BAO_TOKEN", "s.never")
        .env("NOTIFY_SOCKET", "/nowhere")
        .env("COLOR", "weaker")
        .env("HIDDEN_KEY", "x")
        .env("PLAIN", "x")
        .start()
        .unwrap();
    assert_eq!(agent.ended().await.unwrap().code(), Some(0), "{}", agent.output().join("\n"));
    let all = stage.read("all");
    for has in ["COLOR=blue\n", "PLAIN=x\n", "MORE=1\n", "PATH="] {
        assert!(all.contains(has), "{has} is missing: {all}");
    }
    for hidden in ["s.never", "NOTIFY_SOCKET", "weaker", "HIDDEN"] {
        assert!(!all.contains(hidden), "{hidden}: {all}");
    }
    assert_eq!((stage.read("out"), stage.read("err")), ("before\nout\n".into(), "err\n".into()));
    let soft = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap();
    assert_eq!(stage.read("limit"), format!("{soft}\n"));

    let keys = "child_process_stdout = \"nowhere/out\"";
    let mut agent = stage.exec(&(COLOR.to_owned() + &exec("true", keys)));
    assert_eq!(agent.ended().await.unwrap().code(), Some(1));
    agent.says("could not create exec server: could not open nowhere/out: No such file").await.unwrap();
}

#[tokio::test]
async fn a_value_that_cannot_be_leaves_the_child_as_it_is() {
    let stage = Stage::new().await;
    stage.color("one\ntwo\n").await;
    let decoded = "env_template \"COLOR\" {\n contents = \"{{ with secret \\\"secret/data/app\\\" }}{{ .Data.data.color }}{{ with .Data.data.more }}{{ base64Decode . }}{{ end }}{{ end }}\"\n}\n";
    let line = "printf '%s' \"$COLOR\" > color; echo $$ >> starts; while :; do sleep 0.02; done";
    let mut agent = stage.exec(&(decoded.to_owned() + &exec(line, "")));
    // Newlines stay as they are.
    stage.holds("color", "one\ntwo\n", &agent).await;
    let child = stage_child(&agent);
    let nul = json!({"data": {"color": "hidden", "more": "AAAA"}});
    stage.root.write("secret/data/app", &nul).await.unwrap();
    agent.says("error rendering \\\"(dynamic)\\\" => \\\"COLOR\\\": the value has a NUL byte").await.unwrap();
    // A template that fails is its own trouble, and a secret that cannot be had, too.
    stage.root.send("DELETE", "/v1/secret/metadata/app", &[], "").await.unwrap();
    agent.says("no secret exists at secret/data/app").await.unwrap();
    test_kill_process(child).unwrap();
    assert_eq!(stage.read("starts").lines().count(), 1);
    stage.color("good").await;
    stage.holds("color", "good", &agent).await;
    let log = agent.output().join("\n");
    assert!(!log.contains("hidden"), "{log}");
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn f18_a_crash_loop_slows_down() {
    let stage = Stage::new().await;
    let keys = "restart_on_exit = \"on_failure\"";
    let mut agent = stage.exec(&(COLOR.to_owned() + &exec("echo x >> starts; exit 4", keys)));
    tokio::time::sleep(Duration::from_secs(4)).await;
    let starts = stage.read("starts").lines().count();
    assert!((2..=4).contains(&starts), "{starts} starts");
    assert!(agent.has_said("the child has ended and will be started again: error=\"process exited with 4\""));
    // While it waits, too, it ends at once.
    let asked = SystemTime::now();
    assert_eq!(agent.stop().await.unwrap().code(), Some(0));
    assert!(asked.elapsed().unwrap() < Duration::from_secs(2));
}

#[tokio::test]
async fn files_a_listener_and_our_token_beside_it() {
    let stage = Stage::new().await;
    let file = format!(
        "template {{\n contents = \"{{{{ with secret \\\"secret/data/app\\\" }}}}{{{{ .Data.data.color }}}}{{{{ end }}}}\"\n \
         destination = {:?}\n command = [\"sh\", \"-c\", \"sleep 0.3; echo done > after\"]\n}}\n",
        stage.path("file")
    );
    let socket = stage.path("sock");
    let listener = format!("listener \"unix\" {{\n address = {socket:?}\n tls_disable = true\n}}\n");
    // Files and their commands are there before the child, and the listener still serves while the child ends.
    let line = "cat file after > seen; trap 'curl -s --unix-socket sock http://x/v1/secret/data/app > last; exit' TERM; \
                echo up > up; while :; do sleep 0.02; done";
    let config = format!(
        "{COLOR}{file}{listener}cache {{}}\napi_proxy {{\n use_auto_auth_token = true\n}}\n{}",
        exec(line, "")
    );
    let mut agent = stage.exec(&config);
    stage.holds("up", "up\n", &agent).await;
    assert_eq!(stage.read("seen"), "bluedone\n");
    let api = testkit::Api::new(&format!("unix://{}", socket.display()), None).unwrap();
    let headers = [("x-vault-request", "true")];
    let status = api.send("GET", "/agent/v1/status", &headers, "").await.unwrap().json;
    assert_eq!((&status["child"]["starts"], &status["ready"]), (&json!(1), &json!(true)), "{status}");
    assert!(status["child"]["process_id"].as_i64().unwrap() > 1);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(agent.stop().await.unwrap().code(), Some(0));
    let last = stage.read("last");
    assert!(last.contains("blue"), "{last}\n{}", agent.output().join("\n"));

    // Files alone will do.
    let mut agent = stage.exec(&format!("{file}{}", exec("cat file > alone; exit 0", "")));
    assert_eq!(agent.ended().await.unwrap().code(), Some(0));
    assert_eq!(stage.read("alone"), "blue");
}

/// The signal is that of `exec`, whatever a changed variable leads to, or SIGHUP where it has none.
#[tokio::test]
async fn a_changed_file_signals_or_restarts_it() {
    let stage = Stage::new().await;
    let template = |word: &str, field: &str| {
        format!(
            "template {{\n contents = \"{{{{ with secret \\\"secret/data/app\\\" }}}}{{{{ .Data.data.{field} }}}}{{{{ end }}}}\"\n \
             destination = {:?}\n on_change = {word:?}\n}}\n",
            stage.path(word)
        )
    };
    let files = template("signal", "color") + &template("restart", "shape");
    let write = async |color: &str, shape: &str| {
        let data = json!({"data": {"color": color, "shape": shape}});
        stage.root.write("secret/data/app", &data).await.unwrap();
    };
    for (keys, signal) in [
        ("", "HUP"),
        ("change_signal = \"SIGUSR1\"", "USR1"),
        ("on_change = \"signal\"\nchange_signal = \"usr2\"", "USR2"),
    ] {
        let line = format!(
            "trap 'echo {signal} $(cat signal) >> {signal}' {signal}; echo start $(cat restart) >> {signal}; \
             while :; do sleep 0.02; done"
        );
        write("red", "round").await;
        let mut agent = stage.exec(&(files.clone() + &exec(&line, keys)));
        stage.holds(signal, "start round\n", &agent).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        write("green", "round").await;
        stage.holds(signal, &format!("start round\n{signal} green\n"), &agent).await;
        let child = stage_child(&agent);
        write("green", "square").await;
        stage.holds(signal, &format!("start round\n{signal} green\nstart square\n"), &agent).await;
        assert_ne!(stage_child(&agent), child);
        agent.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_new_login_changes_nothing() {
    let stage = Stage::with_ttl(2, 2).await;
    let mut agent =
        stage.exec(&(COLOR.to_owned() + &exec("echo $COLOR >> colors; while :; do sleep 0.05; done", "")));
    stage.holds("colors", "blue\n", &agent).await;
    eventually("three logins", || async {
        let logins = agent.output().iter().filter(|line| line.contains("authentication successful")).count();
        (logins >= 3).then_some(())
    })
    .await
    .unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(stage.read("colors"), "blue\n");
    agent.stop().await.unwrap();
}

#[tokio::test]
async fn each_variable_with_an_identity_of_its_own() {
    let server = Server::dev(&server_binary().unwrap()).await.unwrap();
    let root = server.root_api().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut config = String::new();
    for name in ["one", "two"] {
        let policy = format!("path \"secret/data/{name}\" {{ capabilities = [\"read\"] }}");
        let (role_id, secret_id) = server.approle(name, &policy, 600, 3600).await.unwrap();
        root.write(&format!("secret/data/{name}"), &json!({"data": {"of": name}})).await.unwrap();
        let path = |kind: &str| folder.path().join(format!("{name}.{kind}"));
        put(&path("role"), &role_id);
        put(&path("secret"), &secret_id);
        config += &format!(
            "auto_auth \"{name}\" {{\n method \"approle\" {{ config = {{ role_id_file_path = {:?} secret_id_file_path = {:?} }} }}\n}}\n\
             env_template \"{}\" {{\n contents = \"{{{{ with secret \\\"secret/data/{name}\\\" }}}}{{{{ .Data.data.of }}}}{{{{ end }}}}\"\n{}}}\n",
            path("role"),
            path("secret"),
            name.to_uppercase(),
            // The other one's comes from `exec`.
            if name == "one" { " auto_auth = \"one\"\n" } else { "" },
        );
    }
    config += &exec("echo $ONE-$TWO > both", "auto_auth = \"two\"");
    let agent = Program::agent(sidekey(), folder.path()).server(&server.address()).config(&config);
    let mut agent = agent.start().unwrap();
    assert_eq!(agent.ended().await.unwrap().code(), Some(0), "{}", agent.output().join("\n"));
    assert_eq!(std::fs::read_to_string(folder.path().join("both")).unwrap(), "one-two\n");
}

/// Whether this machine lets us be process 1 of something.
fn may_unshare() -> bool {
    let probe = std::process::Command::new("unshare").args(["-Urpf", "--mount-proc", "true"]).output();
    probe.is_ok_and(|output| output.status.success())
}

#[tokio::test]
async fn f18_as_process_one_it_buries_the_dead() {
    if !may_unshare() {
        return;
    }
    let stage = Stage::new().await;
    // Each subshell leaves an orphan that ends at once; one more of a session of its own.
    let line = "for i in 1 2 3 4 5; do (sleep 0.1 &) ; done; (setsid sleep 0.1 &); sleep 2; \
                grep -l 'State:.*Z' /proc/[0-9]*/status > zombies; cat /proc/1/comm > first; exit 6";
    let config = stage.path("config.hcl");
    let program = stage.agent(&[]).config(&(COLOR.to_owned() + &exec(line, "")));
    // Its file is written, and it is ended again.
    program.start().unwrap().kill().await;
    let mut command = tokio::process::Command::new("unshare");
    command.args(["-Urpf", "--mount-proc", "--kill-child"]).arg(sidekey()).arg("agent");
    command.arg(format!("-config={}", config.display())).current_dir(stage.folder.path());
    let mut agent = Process::start("process 1", command).unwrap();
    assert_eq!(agent.ended().await.unwrap().code(), Some(6), "{}", agent.output().join("\n"));
    assert_eq!((stage.read("first").as_str(), stage.read("zombies").as_str()), ("sidekey\n", ""));
}

#[tokio::test]
async fn orphans_are_ours_where_asked() {
    let stage = Stage::new().await;
    let line = "(sleep 0.2 & echo $! > orphan); sleep 0.1; awk '{print $4}' /proc/$(cat orphan)/stat > parent; echo up > up; sleep 600";
    let mut agent = stage.exec(&(COLOR.to_owned() + &exec(line, "reap_orphans = true")));
    stage.holds("up", "up\n", &agent).await;
    assert_eq!(stage.read("parent").trim(), agent.pid().unwrap().to_string());
    let orphan = stage.pid("orphan").await;
    eventually("the burial", || async {
        (!Path::new(&format!("/proc/{}", orphan.as_raw_nonzero())).exists()).then_some(())
    })
    .await
    .unwrap();
    agent.stop().await.unwrap();
}

/// It takes what a request takes, not two seconds.
#[tokio::test]
async fn it_starts_at_once() {
    let stage = Stage::new().await;
    let mut agent = stage.exec(&(COLOR.to_owned() + &exec("exit 0", "")));
    agent.ended().await.unwrap();
    let at = |words: &str| {
        let output = agent.output();
        let line = output.iter().find(|line| line.contains(words)).unwrap();
        let time: f64 = line[17..23].parse().unwrap();
        time
    };
    let took = (at("(child) spawning") - at("(runner) rendered")).rem_euclid(60.0);
    assert!(took < 0.02 * if cfg!(debug_assertions) { 5.0 } else { 1.0 }, "{took}");
}
