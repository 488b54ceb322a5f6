//! What a reload has changed, for people and for whoever asked.

use config::Settings;
use serde_json::{Value, json};
use tracing::{info, warn};

/// One unit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::daemon) struct Change {
    what: &'static str,
    name: String,
    how: &'static str,
}

/// All of them, in the order they were made.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(in crate::daemon) struct Changes(pub(in crate::daemon) Vec<Change>);

impl Changes {
    pub(super) fn added(&mut self, what: &'static str, name: impl Into<String>) {
        self.note(what, name.into(), "added");
    }

    pub(super) fn changed(&mut self, what: &'static str, name: impl Into<String>) {
        self.note(what, name.into(), "changed");
    }

    pub(super) fn removed(&mut self, what: &'static str, name: impl Into<String>) {
        self.note(what, name.into(), "removed");
    }

    /// The same thing twice is once.
    fn note(&mut self, what: &'static str, name: String, how: &'static str) {
        let change = Change { what, name, how };
        if !self.0.contains(&change) {
            self.0.push(change);
        }
    }

    /// What is in force as soon as the settings are others.
    pub(super) fn others(&mut self, before: &Settings, now: &Settings) {
        if before.telemetry != now.telemetry {
            self.changed("telemetry", "");
        }
        if before.no_keep_alive != now.no_keep_alive {
            self.changed("disable_keep_alives", "");
        }
        if before.log.level != now.log.level {
            self.changed("log_level", now.log.level.map_or("", config::Level::word));
        }
    }

    /// A line each.
    pub(in crate::daemon) fn log(&self) {
        for Change { what, name, how } in &self.0 {
            info!(target: "reload", what, name, "{how}");
        }
        let changes = self.0.len();
        info!(target: "reload", changes, "configuration reloaded");
    }

    /// `[{"what":"listener","name":"127.0.0.1:8200","change":"added"}]`
    pub(in crate::daemon) fn json(&self) -> Value {
        let one = |change: &Change| json!({"what": change.what, "name": change.name, "change": change.how});
        json!({"changes": self.0.iter().map(one).collect::<Vec<_>>()})
    }
}

/// The new settings with what cannot change while we run as it was; that is told. `reaps` is whether orphans are
/// waited for since the start.
pub(in crate::daemon) fn restrained(before: &Settings, mut new: Settings, reaps: bool) -> Settings {
    let mut stays = Vec::new();
    if new.exit_after_auth != before.exit_after_auth {
        stays.push("exit_after_auth");
        new.exit_after_auth = before.exit_after_auth;
    }
    if new.startup_timeout != before.startup_timeout {
        stays.push("startup_timeout");
        new.startup_timeout = before.startup_timeout;
    }
    if new.log.format != before.log.format {
        stays.push("log_format");
        new.log.format = before.log.format;
    }
    if new.log.file != before.log.file {
        stays.push("log_file");
        new.log.file.clone_from(&before.log.file);
    }
    if let Some(exec) = new.exec.as_mut().filter(|exec| exec.reap_orphans != reaps) {
        stays.push("exec.reap_orphans");
        exec.reap_orphans = reaps;
    }
    if !stays.is_empty() {
        warn!(target: "reload", keys = stays.join(", "), "these keys count at the next start only and stay as they were");
    }
    new
}

#[cfg(test)]
mod tests {
    use config::{Environment, Flags, Loader, UnknownKeys};
    use vault::Product;

    use super::*;

    fn settings(text: &str) -> Settings {
        let (flags, environment) = (Flags::default(), Environment::default());
        let loader = Loader {
            product: Product::Agent,
            flags: &flags,
            environment: &environment,
            unknown_keys: UnknownKeys::Warn,
        };
        let text = format!("listener \"tcp\" {{ tls_disable = true }}\napi_proxy {{}}\n{text}");
        loader.load_texts([("a.hcl", text)]).unwrap().settings
    }

    #[test]
    fn what_counts_at_the_start_alone_stays_and_the_rest_does_not() {
        let before = settings("log_level = \"info\"");
        let new = settings(
            "exit_after_auth = true\nstartup_timeout = \"5s\"\nlog_format = \"json\"\nlog_level = \"debug\"",
        );
        let now = restrained(&before, new, false);
        assert_eq!(now, settings("log_level = \"debug\""));
        assert_eq!(restrained(&now, before.clone(), false), before, "there and back");
    }

    #[test]
    fn a_change_is_told_once_and_in_order() {
        let mut changes = Changes::default();
        changes.others(&settings("log_level = \"info\""), &settings("log_level = \"debug\""));
        changes.added("listener", "b");
        changes.added("listener", "b");
        let want = json!({"changes": [
            {"what": "log_level", "name": "debug", "change": "changed"},
            {"what": "listener", "name": "b", "change": "added"},
        ]});
        assert_eq!(changes.json(), want);
        let mut none = Changes::default();
        none.others(&settings(""), &settings(""));
        assert_eq!(none, Changes::default());
    }
}
