//! From what the files say to settings: flags over environment over files over defaults, then every check.

mod server;

use std::path::PathBuf;

use vault::Product;

use crate::check;
use crate::environment::{Environment, Variable};
use crate::flags::Flags;
use crate::go_scalar::parse_bool;
use crate::problem::{Place, Placed, Problem, not_built};
use crate::raw::Raw;
use crate::settings::auto_auth::{Choosing, choose};
use crate::settings::log;
use crate::settings::{
    ApiProxy, AutoAuth, Cache, Format, Level, Listener, Log, LogFile, Parts, Settings, Telemetry, Template,
    TemplateConfig, UseAutoAuthToken,
};

/// Settings, or `None` when something is wrong; then `problems` has grown.
pub(crate) fn compile(
    product: Product,
    raw: Raw,
    flags: &Flags,
    environment: &Environment,
    problems: &mut Vec<Problem>,
) -> Option<Settings> {
    let mut compiler = Compiler { flags, environment, problems };
    compiler.refuse_unbuilt(product);
    let log = compiler.log(&raw, product);
    let vault = compiler.vault(raw.vault.as_ref());
    compiler.problems.extend(check::check(product, &raw));
    let exit_after_auth = flags.exit_after_auth.unwrap_or(raw.exit_after_auth);
    compiler.problems.extend(check::outlives(&raw, exit_after_auth));
    let consistency = compiler.consistency(&raw);
    if !compiler.problems.is_empty() {
        return None;
    }
    let vault = vault?;
    let prepends = raw.api_proxy.as_ref().is_some_and(|api_proxy| api_proxy.prepends);
    let api_proxy = ApiProxy {
        use_auto_auth_token: check::use_token(&raw),
        strict_paths: raw.api_proxy.as_ref().is_some_and(|api_proxy| api_proxy.strict_paths),
        namespace: vault.namespace.clone().filter(|_| prepends),
        consistency,
    };
    let all = &raw.auto_auths;
    // What cannot be chosen was refused by the check.
    let chosen =
        |name: Option<&Placed<String>>, place: &Place| choose(all, name, ("stanza", place)).ok().flatten();
    let own = raw.api_proxy.as_ref().and_then(|api_proxy| api_proxy.auto_auth.as_ref());
    let listener = |Choosing { what, name, place }: &Choosing<Listener>| {
        let used = api_proxy.use_auto_auth_token != UseAutoAuthToken::No;
        let auto_auth = if used { chosen(name.as_ref().or(own), place) } else { None };
        Listener { auto_auth, ..what.clone() }
    };
    let template = |Choosing { what, name, place }: &Choosing<Template>| Template {
        auto_auth: chosen(name.as_ref(), place),
        ..what.clone()
    };
    let listeners = raw.listeners.iter().map(listener).collect();
    let variable = |Choosing { what, name, place }: &Choosing<Template>| Template {
        auto_auth: chosen(name.as_ref().or(raw.exec.as_ref().and_then(|exec| exec.name.as_ref())), place),
        ..what.clone()
    };
    let templates =
        raw.templates.iter().map(template).chain(raw.env_templates.iter().map(variable)).collect();
    let mut auto_auths = Vec::new();
    for raw in raw.auto_auths {
        let method = raw.method?;
        // The method's namespace stands above the stanza's, below the environment's and the flag's; so it is
        // upstream. Who gives names to several means each one's own.
        let overruled = compiler.choose(("-namespace", &flags.namespace), "NAMESPACE", None).is_some();
        let own = method.namespace.clone().filter(|_| raw.name.is_some() || !overruled);
        auto_auths.push(AutoAuth {
            name: raw.name,
            namespace: own.or_else(|| vault.namespace.clone()),
            method,
            sinks: raw.sinks,
            reauth_on_new_credentials: raw.reauth_on_new_credentials,
            revoke_previous_token: raw.revoke_previous_token,
            token_store: raw.token_store,
        });
    }
    Some(Settings {
        product,
        vault,
        auto_auths,
        cache: raw.cache.map(|cache| Cache {
            bounds: cache.bounds,
            only_static: cache.only_static,
            persist: cache.persist,
            static_secrets: cache.static_secrets.map(|placed| placed.value),
        }),
        api_proxy,
        listeners,
        templates,
        exec: raw.exec.map(|exec| exec.what),
        template_config: raw.template_config.unwrap_or_else(|| TemplateConfig {
            profile: environment.profile(),
            ..TemplateConfig::default()
        }),
        exit_after_auth,
        startup_timeout: raw.startup_timeout,
        pid_file: raw.pid_file.map(PathBuf::from),
        log,
        access_log: raw.access_log,
        telemetry: Telemetry::of(raw.telemetry, product, environment.profile()),
        no_keep_alive: raw.no_keep_alive,
        no_idle: raw.no_idle,
    })
}

struct Compiler<'a> {
    flags: &'a Flags,
    environment: &'a Environment,
    problems: &'a mut Vec<Problem>,
}

/// A text somebody chose, and who did.
struct Chosen {
    value: String,
    origin: Origin,
}

enum Origin {
    Flag(&'static str),
    Variable(String),
    File(Place),
}

impl Compiler<'_> {
    fn refuse(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Variables of things that are not built yet.
    fn refuse_unbuilt(&mut self, product: Product) {
        if let Some(variable) = self.environment.filled("SRV_LOOKUP") {
            match parse_bool(variable.value) {
                Ok(false) => {}
                Ok(true) => self.refuse(unbuilt_variable(&variable)),
                Err(_) => self.refuse(bad_variable(&variable, &format!("could not parse {}", variable.name))),
            }
        }
        for key in ["disable_idle_connections", "disable_keep_alives"] {
            let name = format!("{}_{key}", product.word()).to_uppercase();
            let Some(variable) = self.environment.filled(&name) else { continue };
            for name in variable.value.split(',') {
                if !Parts::default().add(&name.trim().to_lowercase(), product) {
                    let message = format!("unknown {key} value: {}", name.trim().to_lowercase());
                    self.refuse(Problem::at_start(message, None).hint(format!("set by {}", variable.name)));
                }
            }
        }
    }

    /// Flag, else environment, else file. Whoever speaks first is heard, even when he says nothing.
    fn choose(
        &self,
        flag: (&'static str, &Option<String>),
        variable: &str,
        file: Option<&Placed<String>>,
    ) -> Option<Chosen> {
        let chosen = if let (name, Some(value)) = flag {
            Chosen { value: value.clone(), origin: Origin::Flag(name) }
        } else if let Some(variable) = self.environment.variable(variable) {
            Chosen { value: variable.value.to_owned(), origin: Origin::Variable(variable.name) }
        } else {
            let file = file?;
            Chosen { value: file.value.clone(), origin: Origin::File(file.place.clone()) }
        };
        Some(chosen).filter(|chosen| !chosen.value.is_empty())
    }

    // === The log ===

    fn log(&mut self, raw: &Raw, product: Product) -> Log {
        let level = self.choose(("-log-level", &self.flags.log_level), "LOG_LEVEL", raw.log_level.as_ref());
        let level = level.filter(|chosen| !chosen.value.trim().is_empty()).and_then(|chosen| {
            let level = Level::parse(&chosen.value);
            if level.is_none() {
                let message = format!("unknown log level: {}", chosen.value);
                let hint = "the levels are trace, debug, info, warn, error";
                self.refuse(chosen.refuse(message).hint(hint));
            }
            level
        });
        let format =
            self.choose(("-log-format", &self.flags.log_format), "LOG_FORMAT", raw.log_format.as_ref());
        let format = format.filter(|chosen| !chosen.value.trim().is_empty()).and_then(|chosen| {
            let format = Format::parse(&chosen.value);
            if format.is_none() {
                let message = format!("unknown log format: {}", chosen.value);
                self.refuse(chosen.refuse(message).hint("the formats are standard and json"));
            }
            format
        });
        Log { level, format: format.unwrap_or_default(), file: self.log_file(raw, product) }
    }

    /// A flag, else the file.
    fn log_file(&mut self, raw: &Raw, product: Product) -> Option<LogFile> {
        let choose = |flag: (&'static str, &Option<String>), file: Option<&Placed<String>>| {
            let (name, given) = flag;
            let given = given.clone().map(|value| Chosen { value, origin: Origin::Flag(name) });
            let of_file = |file: &Placed<String>| Chosen {
                value: file.value.clone(),
                origin: Origin::File(file.place.clone()),
            };
            given.or_else(|| file.map(of_file)).filter(|chosen| !chosen.value.is_empty())
        };
        let path = choose(("-log-file", &self.flags.log_file), raw.log_file.path.as_ref());
        let age = ("-log-rotate-duration", &self.flags.log_rotate_duration);
        let age = choose(age, raw.log_file.age.as_ref());
        let age = age.and_then(|chosen| self.heed(&chosen, LogFile::age(&chosen.value)));
        let path = path.and_then(|chosen| self.heed(&chosen, LogFile::path(&chosen.value, product)))?;
        let bytes = self.flags.log_rotate_bytes.or(raw.log_file.bytes).unwrap_or(0);
        Some(LogFile {
            path,
            bytes: u64::try_from(bytes).unwrap_or(0),
            age: age.unwrap_or(log::AGE),
            keep: self.flags.log_rotate_max_files.or(raw.log_file.keep).unwrap_or(0),
        })
    }

    /// What was made of what somebody chose, or why nothing.
    fn heed<T>(&mut self, chosen: &Chosen, made: Result<T, (String, &'static str)>) -> Option<T> {
        made.map_err(|(why, hint)| self.refuse(chosen.refuse(why).hint(hint))).ok()
    }

    // === The API ===

    /// Of `api_proxy`, or of `cache` as its older place.
    fn consistency(&mut self, raw: &Raw) -> Option<vault::WhenInconsistent> {
        let new = raw.api_proxy.as_ref().map(|api_proxy| &api_proxy.consistency);
        let old = raw.cache.as_ref().map(|cache| &cache.consistency);
        let both = |key: &str| {
            format!(
                "{key} configured in both api_proxy and cache blocks. Please remove this configuration from the cache block"
            )
        };
        let always = (new.and_then(|new| new.always.as_ref()), old.and_then(|old| old.always.as_ref()));
        let action = (new.and_then(|new| new.action.as_ref()), old.and_then(|old| old.action.as_ref()));
        if let (Some(_), Some(old)) = always {
            self.refuse(Problem::at_start(both("enforce_consistency"), Some(&old.place)));
        }
        if let (Some(_), Some(old)) = action {
            self.refuse(Problem::at_start(both("when_inconsistent"), Some(&old.place)));
        }
        let always = always.0.or(always.1).is_some_and(|always| always.value);
        always.then(|| action.0.or(action.1).map(|action| action.value).unwrap_or_default())
    }
}

impl Chosen {
    /// A problem with the value, at its place or naming who gave it.
    fn refuse(&self, message: impl Into<String>) -> Problem {
        match &self.origin {
            Origin::File(place) => Problem::at_start(message, Some(place)),
            Origin::Flag(name) => Problem::at_start(message, None).hint(format!("given by {name}")),
            Origin::Variable(name) => Problem::at_start(message, None).hint(format!("set by {name}")),
        }
    }
}

fn bad_variable(variable: &Variable<'_>, why: &str) -> Problem {
    let message = format!("Error fetching client: failed to read environment: {why}");
    Problem::at_start(message, None).hint(format!("set by {}", variable.name))
}

fn unbuilt_variable(variable: &Variable<'_>) -> Problem {
    Problem::at_start(not_built(&format!("{:?}", variable.name)), None).hint("unset it to go on without it")
}
