//! A zoo of children, kept by the real thing.

mod timers;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tokio::task::JoinHandle;

use super::*;
use crate::record::Record;
use crate::settings::OnExit;

struct Zoo {
    folder: tempfile::TempDir,
    variables: watch::Sender<Option<Arc<Variables>>>,
    asked: mpsc::Sender<Asked>,
    keeper: JoinHandle<Outcome>,
}

fn settings(command: &[&str]) -> Settings {
    Settings {
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        environment: std::env::vars_os().collect(),
        stdout: None,
        stderr: None,
        on_change: OnChange::Restart,
        on_exit: OnExit::End,
        stop_signal: Some(Signal::TERM),
        stop_timeout: Duration::from_secs(30),
        change_delay: Duration::from_millis(50),
        parent_death_signal: Some(Signal::TERM),
        guard: Vec::new(),
        record: Arc::default(),
    }
}

fn variables(value: &str) -> Option<Arc<Variables>> {
    Some(Arc::new(Variables::new([("VALUE".into(), value.into())])))
}

impl Zoo {
    /// A shell with `line`, its output in a file.
    fn shell(line: &str, change: impl FnOnce(Settings) -> Settings) -> Self {
        Self::with(|folder| {
            let out = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("out"));
            change(Settings { stdout: Some(out.unwrap()), ..settings(&["sh", "-c", line]) })
        })
    }

    fn with(settings: impl FnOnce(&Path) -> Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (variables, watch) = watch::channel(variables("one"));
        let (asked, asks) = mpsc::channel(4);
        let keeper = tokio::spawn(run(settings(folder.path()), watch, asks));
        Self { folder, variables, asked, keeper }
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    /// Waits until its output holds that many lines.
    async fn lines(&self, count: usize) -> Vec<String> {
        for _ in 0..1000 {
            let text = std::fs::read_to_string(self.out()).unwrap_or_default();
            let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
            let lines: Vec<String> = whole.lines().map(str::to_owned).collect();
            if lines.len() >= count {
                return lines;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no {count} lines: {:?}", std::fs::read_to_string(self.out()));
    }

    async fn ask(&self, asked: Asked) {
        self.asked.send(asked).await.unwrap();
    }

    async fn ended(self) -> Outcome {
        tokio::time::timeout(Duration::from_secs(20), self.keeper).await.expect("it did not end").unwrap()
    }
}

/// Waits until there is no such process, or a zombie at most.
async fn gone(pid: &str) {
    for _ in 0..500 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if stat.is_empty() || stat.contains(") Z ") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{pid} lives on");
}

#[tokio::test]
async fn codes_and_signals_are_told_as_they_are() {
    for (line, ending) in [
        ("exit 0", Ending::Code(0)),
        ("exit 7", Ending::Code(7)),
        ("kill -9 $$", Ending::Signal(9)),
        ("kill -TERM $$", Ending::Signal(15)),
    ] {
        assert_eq!(Zoo::shell(line, |same| same).ended().await, Outcome::Ended(ending), "{line}");
    }
}

#[tokio::test]
async fn it_gets_its_variables_and_no_argument_has_them() {
    let line = "echo \"$VALUE$INHERITED\"; tr '\\0' ' ' </proc/$$/cmdline; echo; exec sleep 60";
    let zoo = Zoo::shell(line, |settings| Settings {
        environment: vec![
            ("INHERITED".into(), "!".into()),
            ("VALUE".into(), "weaker".into()),
            ("PATH".into(), std::env::var_os("PATH").unwrap()),
        ],
        ..settings
    });
    let lines = zoo.lines(2).await;
    assert_eq!(lines[0], "one!");
    assert!(!lines[1].contains("one"), "{lines:?}");
    zoo.ask(Asked::Stop).await;
    assert_eq!(zoo.ended().await, Outcome::Stopped);
}

#[tokio::test]
async fn a_line_is_for_the_shell() {
    let zoo = Zoo::with(|_| settings(&["test \"$VALUE\" = one && exit 6"]));
    assert_eq!(zoo.ended().await, Outcome::Ended(Ending::Code(6)));
}

#[tokio::test]
async fn a_change_restarts_it_once_and_the_same_again_does_not() {
    let record = Arc::<Record>::default();
    let zoo = Zoo::shell("echo $VALUE; exec sleep 60", |settings| Settings {
        record: Arc::clone(&record),
        ..settings
    });
    zoo.lines(1).await;
    assert_eq!((record.starts(), record.last_ending()), (1, None));
    assert!(record.process_id().is_some());
    for value in ["one", "two", "three", "three"] {
        zoo.variables.send_replace(variables(value));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(zoo.lines(2).await, ["one", "three"]);
    zoo.variables.send_replace(variables("three"));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(zoo.lines(2).await, ["one", "three"]);
    zoo.ask(Asked::Stop).await;
    assert_eq!(zoo.ended().await, Outcome::Stopped);
    let ended = (2, None, Some(Ending::Signal(15)));
    assert_eq!((record.starts(), record.process_id(), record.last_ending()), ended);
}

#[tokio::test]
async fn one_that_does_not_listen_is_killed_in_time() {
    let began = SystemTime::now();
    let zoo = Zoo::shell("trap '' TERM; echo $$; while :; do sleep 0.05; done", |settings| Settings {
        stop_timeout: Duration::from_millis(300),
        ..settings
    });
    let pid = zoo.lines(1).await.remove(0);
    zoo.ask(Asked::Stop).await;
    assert_eq!(zoo.ended().await, Outcome::Stopped);
    gone(&pid).await;
    let took = began.elapsed().unwrap();
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn what_it_has_started_is_asked_waited_for_and_killed_with_it() {
    // The child ends at once; one of its own takes its time, another does not listen.
    let slow = "(trap 'sleep 0.2; echo done; exit' TERM; echo up; while :; do sleep 0.02; done) &";
    let deaf = "(trap '' TERM; while :; do sleep 0.02; done) & echo $!;";
    let zoo = Zoo::shell(&format!("{slow} {deaf} exec sleep 60"), |settings| Settings {
        stop_timeout: Duration::from_secs(1),
        ..settings
    });
    let lines = zoo.lines(2).await;
    let deaf = lines.iter().find(|line| *line != "up").unwrap().clone();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let out = zoo.out();
    zoo.ask(Asked::Stop).await;
    let keeper = zoo.keeper.await.unwrap();
    assert_eq!(keeper, Outcome::Stopped);
    assert!(std::fs::read_to_string(&out).unwrap().ends_with("done\n"));
    gone(&deaf).await;
}

#[tokio::test]
async fn what_it_leaves_behind_on_purpose_lives_on() {
    let zoo = Zoo::shell("sleep 60 >/dev/null & echo $!; exit 3", |same| same);
    let pid = zoo.lines(1).await.remove(0);
    assert_eq!(zoo.ended().await, Outcome::Ended(Ending::Code(3)));
    assert!(Path::new(&format!("/proc/{pid}")).exists());
    let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::KILL).unwrap();
}

#[tokio::test]
async fn one_that_dies_at_start_is_started_again_where_asked() {
    let zoo =
        Zoo::shell("echo x; exit 1", |settings| Settings { on_exit: OnExit::RestartFailed, ..settings });
    zoo.lines(2).await;
    zoo.ask(Asked::Stop).await;
    assert_eq!(zoo.ended().await, Outcome::Stopped);
}

#[tokio::test]
async fn a_flood_is_none_of_our_business() {
    let zoo = Zoo::shell("yes | head -c 20000000; echo; echo end; exit 0", |same| same);
    let out = zoo.out();
    assert_eq!(zoo.keeper.await.unwrap(), Outcome::Ended(Ending::Code(0)));
    assert!(std::fs::metadata(out).unwrap().len() > 20_000_000);
}

#[tokio::test]
async fn signals_are_handed_on_to_it() {
    let zoo = Zoo::shell(
        "trap 'echo hup' HUP; trap 'echo usr; exit 5' USR1; echo up; while :; do sleep 0.02; done",
        |same| same,
    );
    zoo.lines(1).await;
    zoo.ask(Asked::Forward(Signal::HUP)).await;
    zoo.lines(2).await;
    zoo.ask(Asked::Changed(OnChange::signal(Signal::USR1))).await;
    assert_eq!(zoo.lines(3).await, ["up", "hup", "usr"]);
    assert_eq!(zoo.ended().await, Outcome::Ended(Ending::Code(5)));
}

#[tokio::test]
async fn why_it_cannot_be_started_is_told_in_one_line() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, mode: u32, text: &str| {
        let path = folder.path().join(name);
        std::io::Write::write_all(
            &mut std::fs::OpenOptions::new().create_new(true).write(true).open(&path).unwrap(),
            text.as_bytes(),
        )
        .unwrap();
        #[expect(clippy::disallowed_methods, reason = "a file of the test's own folder")]
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        path.display().to_string()
    };
    let start = "unable to restart the child process: error starting the child process: ";
    let plain = file("plain", 0o644, "exit 0");
    let orphan = file("orphan", 0o755, "#!/nonexistent\n");
    for (program, why) in [
        ("no-such-program", "exec: \"no-such-program\": executable file not found in $PATH".to_owned()),
        ("/nonexistent/x", "fork/exec /nonexistent/x: no such file or directory (neither".to_owned()),
        (plain.as_str(), format!("fork/exec {plain}: permission denied (it must be")),
        (orphan.as_str(), format!("fork/exec {orphan}: no such file or directory (neither")),
        ("/tmp", "fork/exec /tmp: permission denied (it must be".to_owned()),
        ("a\0b", "exec: \"a\\0b\": the command or the environment has a NUL byte".to_owned()),
    ] {
        let Outcome::NotStarted(told) = Zoo::with(|_| settings(&[program])).ended().await else {
            panic!("{program} was started");
        };
        assert!(told.starts_with(&format!("{start}{why}")), "{program}: {told}");
    }
    let huge = Zoo::with(|_| Settings {
        environment: (0..100).map(|nth| (format!("V{nth}").into(), "x".repeat(100_000).into())).collect(),
        ..settings(&["/bin/true"])
    });
    let Outcome::NotStarted(told) = huge.ended().await else { panic!("it was started") };
    assert!(told.contains("argument list too long (arguments and environment together"), "{told}");
}

#[tokio::test]
async fn whoever_drops_its_keeper_kills_it_with_all_it_has_started() {
    let zoo = Zoo::shell("trap '' TERM; sleep 60 & echo $!; echo $$; wait", |same| same);
    let pids = zoo.lines(2).await;
    zoo.keeper.abort();
    for pid in pids {
        gone(&pid).await;
    }
}

#[tokio::test]
async fn without_variables_nothing_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let (variables_end, watch) = watch::channel(None);
    let (asked, asks) = mpsc::channel(4);
    let touch = folder.path().join("started").display().to_string();
    let keeper = tokio::spawn(run(settings(&["touch", &touch]), watch, asks));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!Path::new(&touch).exists());
    // Whoever rendered them is gone: so it stays.
    drop(variables_end);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!keeper.is_finished());
    drop(asked);
    assert_eq!(keeper.await.unwrap(), Outcome::Stopped);
}

#[tokio::test]
async fn who_runs_is_not_stopped_for_a_program_that_is_gone() {
    use std::os::unix::fs::PermissionsExt;

    let zoo = Zoo::with(|folder| {
        let program = folder.join("program");
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&program).unwrap();
        std::io::Write::write_all(&mut file, b"#!/bin/sh\necho $$ $VALUE\nexec sleep 600\n").unwrap();
        file.set_permissions(std::fs::Permissions::from_mode(0o700)).unwrap();
        drop(file);
        let out = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("out"));
        Settings { stdout: Some(out.unwrap()), ..settings(&[program.to_str().unwrap()]) }
    });
    let first = zoo.lines(1).await[0].clone();
    let (program, aside) = (zoo.folder.path().join("program"), zoo.folder.path().join("aside"));
    rustix::fs::rename(&program, &aside).unwrap();
    zoo.variables.send(variables("two")).unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let pid = first.split(' ').next().unwrap();
    assert!(std::path::Path::new(&format!("/proc/{pid}")).exists(), "stopped for nothing");
    rustix::fs::rename(&aside, &program).unwrap();
    assert!(zoo.lines(2).await[1].ends_with(" two"));
    gone(pid).await;
    zoo.ask(Asked::Stop).await;
    assert_eq!(zoo.ended().await, Outcome::Stopped);
}
