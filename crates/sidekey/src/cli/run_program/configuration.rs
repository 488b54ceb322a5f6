//! What the flags ask for, as a configuration of the agent: so every check of configurations applies.

use serde_json::{Value, json};

use super::plan::Plan;

/// What becomes of the program when a secret changes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum OnChange {
    Restart,
    Nothing,
    /// By its name.
    Signal(String),
}

/// `restart`, `none`, or the name of a signal.
pub(super) fn on_change(text: &str) -> Result<OnChange, String> {
    match text {
        "restart" => Ok(OnChange::Restart),
        "none" => Ok(OnChange::Nothing),
        signal if signal.starts_with("SIG") => Ok(OnChange::Signal(signal.to_owned())),
        short
            if !short.is_empty()
                && short.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()) =>
        {
            Ok(OnChange::Signal(format!("SIG{short}")))
        }
        other => Err(format!("{other:?} is none of restart, none, and a signal like SIGHUP")),
    }
}

/// All that a configuration is made of.
pub(super) struct Parts<'a> {
    pub(super) login: &'a Value,
    pub(super) plan: &'a Plan,
    /// Source and destination.
    pub(super) templates: &'a [(String, String)],
    pub(super) command: &'a [String],
    pub(super) on_change: &'a OnChange,
    pub(super) interval: &'a str,
    pub(super) stop_timeout: Option<&'a str>,
    /// Variables with plain values.
    pub(super) plain: &'a [(String, String)],
    /// Variables of ours that the program does not get.
    pub(super) hidden: &'a [String],
    pub(super) pristine: bool,
}

impl Parts<'_> {
    /// JSON.
    pub(super) fn text(&self) -> String {
        let variable = |(name, planned): (&String, &super::plan::Planned)| json!({ name.as_str(): {"contents": planned.contents, "error_on_missing_key": true} });
        let file = |(source, destination): &(String, String)| {
            json!({
                "source": source,
                "destination": destination,
                // Secrets are nobody else's business; upstream's default is 0644.
                "perms": "0600",
                "error_on_missing_key": true,
            })
        };
        let plain: Vec<String> = self.plain.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut environment = json!({"pristine": self.pristine, "denylist": self.hidden});
        let mut exec = json!({
            "command": self.command,
            "forward_signals": ["SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH"],
        });
        if let (Some(environment), false) = (environment.as_object_mut(), plain.is_empty()) {
            environment.insert("custom".to_owned(), plain.into());
        }
        if let Some(exec) = exec.as_object_mut() {
            let (what, signal) = match self.on_change {
                OnChange::Restart => ("restart", None),
                OnChange::Nothing => ("none", None),
                OnChange::Signal(signal) => ("signal", Some(signal)),
            };
            exec.insert("env".to_owned(), json!([environment]));
            exec.insert("on_change".to_owned(), what.into());
            exec.extend(signal.map(|signal| ("change_signal".to_owned(), signal.as_str().into())));
            exec.extend(self.stop_timeout.map(|timeout| ("stop_timeout".to_owned(), timeout.into())));
        }
        let mut all = json!({
            "auto_auth": [self.login],
            "template_config": [{"static_secret_render_interval": self.interval, "exit_on_start_failure": true}],
            "exec": [exec],
        });
        if let Some(all) = all.as_object_mut() {
            if !self.templates.is_empty() {
                all.insert("template".to_owned(), self.templates.iter().map(file).collect());
            }
            if !self.plan.0.is_empty() {
                all.insert("env_template".to_owned(), self.plan.0.iter().map(variable).collect());
            }
        }
        all.to_string()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use config::{Environment, Flags, Loader, Settings, UnknownKeys};
    use vault::Product;

    use super::*;

    fn settings(parts: &Parts<'_>) -> Settings {
        let loader = Loader {
            product: Product::Agent,
            flags: &Flags::default(),
            environment: &Environment::default(),
            unknown_keys: UnknownKeys::Refuse,
        };
        let loaded = loader.load_texts([("the command line", parts.text())]).unwrap();
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        loaded.settings
    }

    #[test]
    fn every_wish_arrives_in_the_settings() {
        let mut plan = Plan::default();
        plan.add("COLOR".into(), "secret/app#color".into(), "{{ \"x\" }}".into()).unwrap();
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let parts = Parts {
            login: &json!({"method": [{"type": "token_file", "config": {"token_file_path": "/t"}}]}),
            plan: &plan,
            templates: &[("/a.ctmpl".into(), "/a.conf".into())],
            command: &words(&["./server", "a b", "--port=1"]),
            on_change: &on_change("SIGHUP").unwrap(),
            interval: "7s",
            stop_timeout: Some("3s"),
            plain: &[("MODE".into(), "a=b, c".into())],
            hidden: &words(&["VAULT_SECRET_ID"]),
            pristine: false,
        };
        let settings = settings(&parts);
        let exec = settings.exec.unwrap();
        assert_eq!(exec.command, ["./server", "a b", "--port=1"]);
        assert!(
            matches!(exec.on_change, config::OnChange::Signal(signal) if signal == rustix::process::Signal::HUP)
        );
        assert_eq!(exec.stop_timeout, Duration::from_secs(3));
        assert_eq!(exec.environment.custom, [("MODE".to_owned(), "a=b, c".to_owned())]);
        assert!(!exec.environment.keeps("VAULT_SECRET_ID") && exec.environment.keeps("PATH"));
        let [file, variable] = settings.templates.as_slice() else { panic!("{:?}", settings.templates) };
        assert_eq!((file.destination.to_str(), file.perms), (Some("/a.conf"), Some(0o600)));
        assert_eq!(variable.variable.as_deref(), Some("COLOR"));
    }

    #[test]
    fn a_program_without_variables_may_have_files_alone() {
        let parts = Parts {
            login: &json!({"method": [{"type": "token_file", "config": {"token_file_path": "/t"}}]}),
            plan: &Plan::default(),
            templates: &[("/a.ctmpl".into(), "/a.conf".into())],
            command: &["true".to_owned()],
            on_change: &OnChange::Nothing,
            interval: "5m",
            stop_timeout: None,
            plain: &[],
            hidden: &[],
            pristine: true,
        };
        let exec = settings(&parts).exec.unwrap();
        assert!(exec.environment.pristine && exec.on_change == config::OnChange::Nothing);
    }
}
