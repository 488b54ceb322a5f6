//! `template` and `template_config`.

use std::time::Duration;

use config::{ChildEnvironment, Command, Consequence, Contents, Identity, Profile, Wait};
use rustix::process::Signal;

use crate::{AUTH, agent, proxy};

#[test]
fn templates() {
    let settings = agent()
        .fine(&format!(
            "{AUTH}{}",
            r#"
template_config {
  exit_on_retry_failure = true
  static_secret_render_interval = "1m"
  lease_renewal_threshold = 0.5
  max_connections_per_host = 10
}
template {
  contents = "a\xffb"
  destination = "/a"
  perms = "0600"
  user = "app"
  gid = 7
  command = "kill -HUP 1"
  command_timeout = 5
  function_denylist = "a,b"
  left_delimiter = "<<"
  error_on_missing_key = true
  error_fatal = false
}
template {
  source = "/b.ctmpl"
  destination = "/b"
  perms = 0640
  exec { command = ["true", "a b"] timeout = "1m" }
}
"#
        ))
        .settings;
    assert!(settings.template_config.exit_on_retry_failure);
    assert_eq!(settings.template_config.static_secret_render_interval, Duration::from_secs(60));
    assert!((settings.template_config.lease_renewal_threshold - 0.5).abs() < f64::EPSILON);
    let [a, b] = settings.templates.as_slice() else { panic!() };
    assert_eq!(a.contents, Contents::Inline(b"a\xffb".to_vec()));
    assert_eq!(
        (a.perms, &a.owner, &a.group),
        (Some(0o600), &Some(Identity::Name("app".into())), &Some(Identity::Id(7)))
    );
    let seconds = Duration::from_secs;
    assert_eq!(
        a.command,
        Some(Command { arguments: vec!["kill -HUP 1".into()], timeout: seconds(5), ..Command::default() })
    );
    assert_eq!(a.function_denylist, ["a", "b"]);
    assert_eq!((a.left_delimiter.as_str(), a.right_delimiter.as_str()), ("<<", "}}"));
    assert!(a.error_on_missing_key && !a.error_fatal && b.error_fatal);
    assert_eq!(b.contents, Contents::File("/b.ctmpl".into()));
    assert_eq!(b.perms, Some(0o640));
    assert_eq!(
        b.command,
        Some(Command {
            arguments: vec!["true".into(), "a b".into()],
            timeout: seconds(60),
            ..Command::default()
        })
    );
}

#[test]
fn the_profile_of_templates_is_named_or_guessed() {
    let profile = |text: &str| {
        agent().fine(&format!("{AUTH}template_config {{ {text} }}\n")).settings.template_config.profile
    };
    assert_eq!(profile("profile = \"openbao\""), Profile::OpenBao);
    assert_eq!(profile("profile = \"vault\""), Profile::Vault);
    assert_eq!(profile(""), Profile::Vault);
    assert_eq!(agent().fine(AUTH).settings.template_config.profile, Profile::Vault);
    let bao = agent().environment(&[("BAO_ADDR", "http://127.0.0.1:8200")]);
    assert_eq!(bao.fine(AUTH).settings.template_config.profile, Profile::OpenBao);
    agent().refused(
        &format!("{AUTH}template_config {{ profile = \"consul\" }}\n"),
        "error loading configuration from a.hcl: error parsing 'template_config': unknown `profile` \"consul\"",
    );
}

#[test]
fn only_templates_may_hold_bytes() {
    agent().refused(
        &format!("{AUTH}pid_file = \"a\\xff\"\n"),
        "error loading configuration from a.hcl: `pid_file` holds bytes that are not UTF-8",
    );
}

#[test]
fn the_proxy_reads_no_templates() {
    let loaded = proxy().fine(&format!("{AUTH}template {{ foo = 1 }}\nexec {{ command = \"x\" }}\n"));
    assert!(loaded.settings.templates.is_empty());
    assert_eq!(loaded.warnings.len(), 2);
}

#[test]
fn a_templates_command_waits_and_consequences() {
    let text = r#"startup_timeout = "2m"
template_config { wait = "3s" }
template {
  contents = "a"
  destination = "/a"
  wait { min = "5s" max = "20s" }
  static_secret_render_interval = "1s"
  on_change = "restart"
  exec {
    command = "reload me"
    kill_signal = "sigint"
    kill_timeout = "5s"
    reload_signal = "HUP"
    splay = "10s"
    env { custom = ["A=b=c", "D="] allowlist = ["APP_*"] denylist = ["X"] pristine = true }
  }
}
template {
  contents = "b"
  destination = "/b"
  wait = "2s"
  on_change = "none"
}
"#;
    let settings = agent().fine(&format!("{AUTH}{text}")).settings;
    let seconds = Duration::from_secs;
    assert_eq!(settings.startup_timeout, Some(seconds(120)));
    assert_eq!(settings.template_config.wait, Some(Wait { min: seconds(3), max: seconds(12) }));
    let [a, b] = settings.templates.as_slice() else { panic!() };
    assert_eq!(a.wait, Some(Wait { min: seconds(5), max: seconds(20) }));
    assert_eq!((a.on_change, b.on_change), (Consequence::Restart, Consequence::Nothing));
    assert_eq!((a.static_secret_render_interval, b.static_secret_render_interval), (Some(seconds(1)), None));
    assert_eq!(b.wait, Some(Wait { min: seconds(2), max: seconds(8) }));
    let command = a.command.as_ref().unwrap();
    assert_eq!(command.timeout, seconds(30));
    assert_eq!(
        (command.kill_signal, command.kill_timeout, command.splay),
        (Some(Signal::INT), seconds(5), seconds(10))
    );
    assert_eq!(
        command.environment,
        ChildEnvironment {
            pristine: true,
            allowlist: vec!["APP_*".into()],
            denylist: vec!["X".into()],
            custom: vec![("A".into(), "b=c".into()), ("D".into(), String::new())],
        }
    );
    let shown = format!("{command:?}");
    assert!(shown.contains("\"A\"") && !shown.contains("b=c"), "{shown}");
    let refused = |keys: &str, why: &str| {
        let text = format!("{AUTH}template {{\n contents = \"a\"\n destination = \"/d\"\n {keys}\n}}\n");
        let prefix = "error loading configuration from a.hcl: error parsing 'template': decoding failed due to the \
                      following error(s):\n\n";
        agent().refused(&text, &format!("{prefix}{why}"));
    };
    refused("on_change = \"reboot\"", "'on_change' cannot be \"reboot\"");
    for key in ["kill_signal", "reload_signal"] {
        let all = "\"SIGABRT\" \"SIGALRM\" \"SIGBUS\" \"SIGCONT\" \"SIGFPE\" \"SIGHUP\" \"SIGILL\" \"SIGINT\" \"SIGIO\" \
                   \"SIGIOT\" \"SIGKILL\" \"SIGNULL\" \"SIGPIPE\" \"SIGPROF\" \"SIGQUIT\" \"SIGSEGV\" \"SIGSTOP\" \
                   \"SIGSYS\" \"SIGTERM\" \"SIGTRAP\" \"SIGTSTP\" \"SIGTTIN\" \"SIGTTOU\" \"SIGUSR1\" \"SIGUSR2\" \
                   \"SIGWINCH\" \"SIGXCPU\" \"SIGXFSZ\"";
        let why = format!("'exec.{key}' invalid signal \"FOO\" - valid signals are [{all}]");
        refused(&format!("exec {{ {key} = \"FOO\" }}"), &why);
    }
    refused("exec { env { foo = 1 } }", "'env' has invalid keys: foo");
    refused("exec { env { custom = [\"A\"] } }", "'exec.env.custom' holds something that is no variable");
}
