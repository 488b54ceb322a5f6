//! Several files into one. A stanza of a later file replaces the whole stanza of an earlier one; what can stand
//! there many times adds up, and of two `auto_auth` stanzas those with one name count as one stanza. Upstream's rules, kept to the letter: files are split along them.

use crate::raw::Raw;

impl Raw {
    /// What both files say, `later` winning.
    pub(crate) fn merge(mut self, later: Self) -> Self {
        self.listeners.extend(later.listeners);
        self.templates.extend(later.templates);
        self.env_templates.extend(later.env_templates);
        for auto_auth in later.auto_auths {
            match self.auto_auths.iter_mut().find(|known| known.name == auto_auth.name) {
                Some(known) => *known = auto_auth,
                None => self.auto_auths.push(auto_auth),
            }
        }
        Self {
            vault: later.vault.or(self.vault),
            auto_auths: self.auto_auths,
            cache: later.cache.or(self.cache),
            api_proxy: later.api_proxy.or(self.api_proxy),
            listeners: self.listeners,
            templates: self.templates,
            env_templates: self.env_templates,
            change_signal: if later.exec.is_some() { later.change_signal } else { self.change_signal },
            exec: later.exec.or(self.exec),
            template_config: later.template_config.or(self.template_config),
            exit_after_auth: self.exit_after_auth || later.exit_after_auth,
            startup_timeout: later.startup_timeout.or(self.startup_timeout),
            pid_file: later.pid_file.or(self.pid_file),
            log_level: later.log_level.or(self.log_level),
            log_format: later.log_format.or(self.log_format),
            log_file: self.log_file.merge(later.log_file),
            access_log: later.access_log.or(self.access_log),
            telemetry: later.telemetry.or(self.telemetry),
            no_keep_alive: self.no_keep_alive.or(later.no_keep_alive),
            no_idle: self.no_idle.or(later.no_idle),
        }
    }
}
