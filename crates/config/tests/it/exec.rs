//! `exec` and `env_template`: keys, defaults, and upstream's words for what is wrong.

use std::time::Duration;

use config::{Contents, OnChange, RestartOnExit};
use rustix::process::Signal;

use crate::{AUTH, agent};

const A: &str = "env_template \"A\" {\n contents = \"x\"\n}\n";
const EXEC: &str = "exec {\n command = [\"app\"]\n}\n";

/// The lines upstream would print.
fn refused(text: &str) -> Vec<String> {
    agent().text(format!("{AUTH}{text}")).unwrap_err().upstream_lines()
}

#[test]
fn little_is_enough() {
    let settings = agent().fine(&format!("{AUTH}{A}{EXEC}")).settings;
    let [variable] = settings.templates.as_slice() else { panic!("{:?}", settings.templates) };
    assert_eq!(variable.variable.as_deref(), Some("A"));
    assert_eq!(variable.contents, Contents::Inline(b"x".to_vec()));
    assert_eq!((variable.auto_auth, variable.error_on_missing_key), (Some(0), false));
    let exec = settings.exec.unwrap();
    assert_eq!(exec.command, ["app"]);
    assert_eq!((exec.on_change, exec.restart_on_exit), (OnChange::Restart, RestartOnExit::Never));
    assert_eq!((exec.stop_signal, exec.parent_death_signal), (Some(Signal::TERM), Some(Signal::TERM)));
    assert_eq!((exec.stop_timeout, exec.change_delay), (Duration::from_secs(30), Duration::from_secs(2)));
    assert!(exec.forward_signals.is_empty() && !exec.reap_orphans);
    assert_eq!((exec.stdout, exec.stderr), (None, None));
}

#[test]
fn every_key_is_read() {
    let text = r#"
env_template "B" {
  source = "/b.ctmpl"
  left_delimiter = "<<"
  right_delimiter = ">>"
  error_on_missing_key = true
  error_fatal = false
  function_denylist = ["plugin"]
}
exec {
  command = "app --fast | tee log"
  on_change = "signal"
  change_signal = "sighup"
  restart_on_exit = "on_failure"
  restart_stop_signal = "SIGNULL"
  stop_timeout = "5s"
  change_delay = 0
  forward_signals = ["SIGHUP", "usr1", "SIGWINCH"]
  pdeathsig = "SIGKILL"
  child_process_stdout = "/out"
  child_process_stderr = "/err"
  reap_orphans = true
  env {
    pristine = true
    custom = ["A=b=c"]
    allowlist = ["APP_*"]
    whitelist = "B"
    denylist = ["X"]
    blacklist = ["Y"]
  }
}
"#;
    let loaded = agent().fine(&format!("{AUTH}{text}"));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let settings = loaded.settings;
    let variable = &settings.templates[0];
    assert_eq!((variable.left_delimiter.as_str(), variable.right_delimiter.as_str()), ("<<", ">>"));
    assert_eq!((variable.error_on_missing_key, variable.error_fatal), (true, false));
    assert_eq!(variable.function_denylist, ["plugin"]);
    assert_eq!(variable.contents, Contents::File("/b.ctmpl".into()));
    let exec = settings.exec.unwrap();
    assert!(!format!("{exec:?}").contains("b=c"), "{exec:?}");
    assert_eq!(exec.command, ["app --fast | tee log"]);
    assert_eq!(exec.on_change, OnChange::Signal(Signal::HUP));
    assert_eq!(exec.restart_on_exit, RestartOnExit::OnFailure);
    assert_eq!((exec.stop_signal, exec.parent_death_signal), (None, Some(Signal::KILL)));
    assert_eq!((exec.stop_timeout, exec.change_delay), (Duration::from_secs(5), Duration::ZERO));
    assert_eq!(exec.forward_signals, [Signal::HUP, Signal::USR1, Signal::WINCH]);
    assert_eq!((exec.stdout, exec.stderr), (Some("/out".into()), Some("/err".into())));
    assert!(exec.reap_orphans && exec.environment.pristine);
    assert_eq!(exec.environment.custom, [("A".to_owned(), "b=c".to_owned())]);
    assert_eq!((exec.environment.allowlist.len(), exec.environment.denylist.len()), (2, 2));
    let older = |value: &str| {
        let text =
            format!("{AUTH}{A}exec {{\n command = [\"a\"]\n restart_on_secret_changes = {value:?}\n}}\n");
        agent().fine(&text).settings.exec.unwrap().on_change
    };
    assert_eq!((older("always"), older("never")), (OnChange::Restart, OnChange::Nothing));
}

#[test]
fn json_writes_names_as_keys() {
    let text = r#"{"auto_auth": {"method": {"type": "token_file", "config": {"token_file_path": "/t"}}},
        "env_template": [{"A": {"contents": "x"}}, {"B": {"contents": "y"}}], "exec": {"command": ["app"]}}"#;
    let names: Vec<_> =
        agent().fine(text).settings.templates.into_iter().filter_map(|template| template.variable).collect();
    assert_eq!(names, ["A", "B"]);
}

#[test]
fn files_listeners_cache_and_our_token_may_stand_beside_it() {
    let text = format!(
        "{AUTH}{A}{EXEC}template {{\n contents = \"x\"\n destination = \"A\"\n}}\ncache {{}}\n\
         api_proxy {{\n use_auto_auth_token = true\n}}\nlistener \"tcp\" {{\n tls_disable = true\n}}\n"
    );
    let loaded = agent().fine(&text);
    assert_eq!(loaded.settings.templates.len(), 2);
    assert!(loaded.warnings.is_empty(), "a variable and a file of one name are two things");
    let files_alone = format!("{AUTH}{EXEC}template {{\n contents = \"x\"\n destination = \"/a\"\n}}\n");
    assert!(agent().fine(&files_alone).settings.exec.is_some());
}

#[test]
fn our_death_asks_it_to_end_as_we_do() {
    let read = |keys: &str| {
        let text = format!("{AUTH}{A}exec {{\n command = [\"app\"]\n{keys}\n}}\n");
        agent().fine(&text).settings.exec.unwrap().parent_death_signal
    };
    assert_eq!(read("restart_stop_signal = \"SIGQUIT\""), Some(Signal::QUIT));
    assert_eq!(read("restart_stop_signal = \"SIGNULL\""), Some(Signal::TERM));
    assert_eq!(read("restart_stop_signal = \"SIGQUIT\"\npdeathsig = \"SIGNULL\""), None);
}

/// It is whatever `exec` does itself at a change.
#[test]
fn a_change_signal_is_for_templates_as_well() {
    let template = |word: &str| {
        format!("template {{\n contents = \"x\"\n destination = \"/{word}\"\n on_change = {word:?}\n}}\n")
    };
    let exec = |keys: &str| format!("{AUTH}{A}exec {{\n command = [\"app\"]\n{keys}\n}}\n");
    let read = |text: &str| {
        let exec = agent().fine(text).settings.exec.unwrap();
        (exec.on_change, exec.change_signal)
    };
    let all = template("none") + &template("signal");
    let restart = OnChange::Restart;
    assert_eq!(read(&(exec("") + &all)), (restart, Some(Signal::HUP)));
    assert_eq!(read(&(exec("change_signal = \"SIGUSR1\"") + &all)), (restart, Some(Signal::USR1)));
    assert_eq!(read(&(exec("change_signal = \"SIGNULL\"") + &all)), (restart, None));
    let own = exec("on_change = \"signal\"\nchange_signal = \"SIGUSR1\"");
    assert_eq!(read(&own), (OnChange::Signal(Signal::USR1), Some(Signal::USR1)));
    let own = exec("on_change = \"signal\"\nchange_signal = \"SIGNULL\"");
    assert_eq!(read(&own), (OnChange::Nothing, None));
    let told = agent().text(exec("change_signal = \"SIGUSR1\"") + &template("restart")).unwrap_err();
    assert!(told.to_string().contains("'change_signal' has no effect: neither"), "{told}");
}

#[test]
fn what_excludes_or_needs_each_other_is_told_in_upstreams_words() {
    let whole = |message: &str| vec![format!("error validating configuration: {message}")];
    let auth = "auto_auth {\n method \"token_file\" { config = { token_file_path = \"/t\" } }\n sink \"file\" { config = { path = \"/s\" } }\n}\n";
    let with_sink = |text: &str| agent().text(format!("{auth}{text}")).unwrap_err().upstream_lines();
    assert_eq!(
        with_sink(A),
        whole("a top-level 'exec' element must be specified with 'env_template' entries")
    );
    assert_eq!(
        with_sink(EXEC),
        whole("must specify at least one 'env_template' element with a top-level 'exec' element")
    );
    let exec = |keys: &str| format!("{A}exec {{\n command = [\"app\"]\n{keys}\n}}\n");
    for (text, message) in [
        (format!("{A}exec {{\n command = []\n}}\n"), "'exec' requires a non-empty 'command' field"),
        (format!("{A}exec {{}}\n"), "'exec' requires a non-empty 'command' field"),
        (
            exec("restart_on_secret_changes = \"sometimes\""),
            "'exec.restart_on_secret_changes' unexpected value: \"sometimes\"",
        ),
        (exec("restart_on_exit = \"x\""), "'exec.restart_on_exit' unexpected value: \"x\""),
        (exec("on_change = \"x\""), "'exec.on_change' unexpected value: \"x\""),
        (exec("on_change = \"signal\""), "on_change = \"signal\" needs a 'change_signal'"),
        (
            exec("change_signal = \"SIGHUP\""),
            "'change_signal' has no effect: neither 'exec' nor any 'template' has on_change = \"signal\"",
        ),
        (
            exec("on_change = \"none\"\nrestart_on_secret_changes = \"never\""),
            "'exec' has both 'on_change' and 'restart_on_secret_changes'",
        ),
        (
            exec("") + "exit_after_auth = true\n",
            "'exec' and 'exit_after_auth' exclude each other: the child would never be started",
        ),
        (A.repeat(2) + EXEC, "env_template: duplicate environment variable name: \"A\""),
        (A.replace("\"A\"", "\"\"") + EXEC, "env_template: an environment variable name is required"),
        (A.replace("\"A\"", "\"A=B\"") + EXEC, "env_template: \"A=B\" is no name of an environment variable"),
        (A.replace("\"A\"", "\"A B\"") + EXEC, "env_template: \"A B\" is no name of an environment variable"),
        (
            format!("env_template \"A\" {{}}\n{EXEC}"),
            "env_template[A]: either 'contents' or 'source' must be specified",
        ),
        (
            A.replace("contents", "source = \"/s\"\n contents") + EXEC,
            "env_template[A]: 'contents' and 'source' cannot be specified together",
        ),
        (
            A.replace("contents", "perms = \"0600\"\n contents") + EXEC,
            "env_template[A]: 'perms' is not allowed",
        ),
        (A.replace("contents", "wait = \"1s\"\n contents") + EXEC, "env_template[A]: 'wait' is not allowed"),
    ] {
        assert_eq!(refused(&text), whole(message), "{text}");
    }
    let alone = "exec {\n command = [\"app\"]\n}\nlistener \"tcp\" {\n tls_disable = true\n}\n";
    let told = agent().text(format!("{A}{alone}")).unwrap_err().to_string();
    assert!(told.contains("'exec' needs an auto_auth"), "{told}");
}

#[test]
fn what_cannot_be_read_is_told_in_upstreams_words() {
    let lines = |text: &str| {
        let all = refused(text).join("\n");
        all.strip_prefix("error loading configuration from a.hcl: ").unwrap_or(&all).to_owned()
    };
    let exec = |keys: &str| format!("{A}exec {{\n command = [\"app\"]\n{keys}\n}}\n");
    assert_eq!(
        lines(&(A.replace("\"A\"", "") + EXEC)),
        "error parsing 'env_template': expected one and only one environment variable name, got 0"
    );
    assert_eq!(
        lines(&(A.replace("\"A\"", "\"A\" \"B\"") + EXEC)),
        "error parsing 'env_template': expected one and only one environment variable name, got 2"
    );
    let frame = "error parsing 'exec': decoding failed due to the following error(s):\n\n";
    assert_eq!(lines(&exec("foo = 1")), format!("{frame}'config.ExecConfig' has invalid keys: foo"));
    let told = lines(&exec("restart_stop_signal = \"SIGFOO\""));
    let start = format!(
        "{frame}'restart_stop_signal' invalid signal \"SIGFOO\" - valid signals are [\"SIGABRT\" \"SIGALRM\" "
    );
    assert!(told.starts_with(&start) && told.ends_with(" \"SIGXCPU\" \"SIGXFSZ\"]"), "{told}");
    for signal in ["SIGTERM", "SIGINT", "SIGKILL", "SIGNULL"] {
        let told = lines(&exec(&format!("forward_signals = [\"{signal}\"]")));
        assert_eq!(told, format!("{frame}'forward_signals' {signal} cannot be handed on"));
    }
    assert_eq!(lines(&exec("stop_timeout = \"-1s\"")), format!("{frame}'stop_timeout' must not be negative"));
    for custom in ["=x", "x"] {
        let told = lines(&exec(&format!("env {{ custom = [{custom:?}] }}")));
        assert_eq!(told, format!("{frame}'env.custom' holds something that is no variable"));
    }
    assert_eq!(lines(&exec("env { foo = 1 }")), format!("{frame}'env' has invalid keys: foo"));
    assert!(lines(&format!("{}{EXEC}", exec(""))).contains("at most one \"exec\" block is allowed"));
}

#[test]
fn a_name_that_shells_cannot_read_is_remarked_upon() {
    for name in ["a.b", "1A", "A-B", "Ä"] {
        let loaded = agent().fine(&format!("{AUTH}{}{EXEC}", A.replace("\"A\"", &format!("{name:?}"))));
        let warnings: Vec<_> = loaded.warnings.iter().map(|warning| warning.message.as_str()).collect();
        assert_eq!(warnings, [format!("shells cannot read a variable called {name:?}")]);
    }
}

#[test]
fn each_variable_may_be_read_with_an_identity_of_its_own() {
    let auth = |name: &str| {
        format!(
            "auto_auth \"{name}\" {{\n method \"token_file\" {{ config = {{ token_file_path = \"/{name}\" }} }}\n}}\n"
        )
    };
    let both = auth("one") + &auth("two");
    let variable =
        |name: &str, keys: &str| format!("env_template \"{name}\" {{\n contents = \"x\"\n{keys}\n}}\n");
    let exec = "exec {\n command = [\"app\"]\n auto_auth = \"two\"\n}\n";
    let settings = agent()
        .fine(&(both.clone() + &variable("A", "auto_auth = \"one\"") + &variable("B", "") + exec))
        .settings;
    let whose: Vec<_> = settings.templates.iter().map(|template| template.auto_auth).collect();
    assert_eq!(whose, [Some(0), Some(1)]);
    let told = |text: String| agent().text(both.clone() + &text).unwrap_err().to_string();
    assert!(told(variable("A", "") + EXEC).contains("this env_template names none of them"));
    let wrong = variable("A", "auto_auth = \"one\"") + &variable("B", "auto_auth = \"tow\"") + EXEC;
    assert!(told(wrong).contains("no auto_auth is named \"tow\""));
}
