//! The machine around: the environment, the time, names of hosts.

use std::net::{IpAddr, ToSocketAddrs as _};

use ::functions::go::layout;
use ::functions::{Entry, Profile, entry};
use gotemplate::{Func, FuncError, Param, Value};
use jiff::Timestamp;

use super::{text, texts};
use crate::evaluate::Evaluation;
use crate::words::quoted;
use crate::world::{Programs, World};

/// `sockaddr` of the crate `functions`, which asks this machine; made-up answers stand before it.
pub(super) const SOCKADDR: Func<Evaluation> = Func::with("sockaddr", &[], sockaddr).variadic(Param::Str);

fn sockaddr(evaluation: &mut Evaluation, arguments: &[Value]) -> Result<Value, FuncError> {
    let Some(answers) = &evaluation.world.addresses else { return ::functions::sockaddr(arguments) };
    let expression = texts(arguments).join(" ");
    answers.get(&expression).cloned().map(Value::from).ok_or_else(|| {
        FuncError::new(format!(
            "this machine is not asked here, and the fixtures have no sockaddr {}",
            quoted(&expression)
        ))
    })
}

pub(super) const ENTRIES: &[Entry<Evaluation>] = &[
    entry(
        Func::with("env", &[Param::Str], env),
        "env name",
        "An environment variable; empty when it is not set. Tokens are never shown.",
        r#"{{ env "STAGE" }}"#,
        "test",
    ),
    entry(
        Func::with("envOrDefault", &[Param::Str, Param::Str], env_or_default),
        "envOrDefault name default",
        "An environment variable, or the default when it is not set; one that is set to nothing counts.",
        r#"{{ envOrDefault "NOT_SET" "dev" }}"#,
        "dev",
    ),
    entry(
        Func::with("mustEnv", &[Param::Str], must_env),
        "mustEnv name",
        "An environment variable; an error when it is not set or empty.",
        r#"{{ mustEnv "STAGE" }}"#,
        "test",
    ),
    entry(
        Func::with("sprig_env", &[Param::Str], sprig_env),
        "sprig_env name",
        "An environment variable of the process, without what `env` knows of the server.",
        r#"{{ sprig_env "STAGE" }}"#,
        "test",
    )
    .only(Profile::OpenBao),
    entry(
        Func::with("sprig_expandenv", &[Param::Str], expand_env),
        "sprig_expandenv text",
        "The text with $NAME and ${NAME} replaced by environment variables.",
        r#"{{ sprig_expandenv "stage-${STAGE}" }}"#,
        "stage-test",
    )
    .only(Profile::OpenBao),
    entry(
        Func::with("sprig_getHostByName", &[Param::Str], host_by_name),
        "sprig_getHostByName name",
        "One of the addresses of a host, any.",
        r#"{{ sprig_getHostByName "127.0.0.1" }}"#,
        "127.0.0.1",
    )
    .slow()
    .only(Profile::OpenBao),
    entry(
        Func::with("timestamp", &[], timestamp).variadic(Param::Str),
        "timestamp [layout]",
        "The time in UTC: RFC 3339, or by a Go layout, or in seconds for \"unix\".",
        r#"{{ timestamp "2006-01-02" }}"#,
        "2026-02-03",
    ),
];

impl World {
    /// A variable as `env` sees it. OpenBao's agent tries `VAULT_X` where `BAO_X` is not set.
    fn variable(&self, name: &str) -> Option<&String> {
        if let Some(value) = self.overrides.get(name).or_else(|| self.environment.get(name)) {
            return Some(value);
        }
        match self.profile {
            Profile::OpenBao => self.environment.get(&format!("VAULT_{}", name.strip_prefix("BAO_")?)),
            Profile::Vault => None,
        }
    }
}

fn env(evaluation: &mut Evaluation, arguments: &[Value]) -> Result<Value, FuncError> {
    let found = evaluation.world.variable(&text(arguments, 0));
    Ok(Value::from(found.map_or("", String::as_str)))
}

fn env_or_default(evaluation: &mut Evaluation, arguments: &[Value]) -> Result<Value, FuncError> {
    match evaluation.world.variable(&text(arguments, 0)) {
        Some(value) => Ok(Value::from(value.as_str())),
        None => Ok(arguments.get(1).cloned().unwrap_or(Value::Nil)),
    }
}

/// Without the second look that `env` takes.
fn must_env(evaluation: &mut Evaluation, arguments: &[Value]) -> Result<Value, FuncError> {
    let name = text(arguments, 0);
    let World { overrides, environment, .. } = &*evaluation.world;
    let found = [overrides, environment].into_iter().filter_map(|variables| variables.get(&name));
    match found.into_iter().find(|value| !value.is_empty()) {
        Some(value) => Ok(Value::from(value.as_str())),
        None => Err(FuncError::new(format!("required environment variable {name} is empty"))),
    }
}

fn sprig_env(evaluation: &mut Evaluation, arguments: &[Value]) -> Result<Value, FuncError> {
    let found = evaluation.world.environment.get(&text(arguments, 0));
    Ok(Value::from(found.map_or("", String::as_str)))
}

/// Go's `os.ExpandEnv`, oddities included.
fn expand_env(evaluation: &mut Evaluation, arguments: &[Value]) -> Result<Value, FuncError> {
    let whole = text(arguments, 0);
    let mut out = String::with_capacity(whole.len());
    let mut rest = whole.as_str();
    while let Some((before, behind)) = rest.split_once('$') {
        out.push_str(before);
        let (name, after) = variable_name(behind);
        rest = after;
        match name {
            Some(name) => {
                out.push_str(evaluation.world.environment.get(name).map_or("", String::as_str));
            }
            None => out.push('$'),
        }
        if out.len() > ::functions::MAX_RESULT {
            return Err(FuncError::new(format!(
                "the result is larger than {} MiB",
                ::functions::MAX_RESULT >> 20
            )));
        }
    }
    out.push_str(rest);
    Ok(Value::from(out))
}

/// The name behind a dollar sign, and what is behind the name. No name: the sign stands for itself. Empty: bad
/// syntax, which is left out.
fn variable_name(text: &str) -> (Option<&str>, &str) {
    if let Some(inside) = text.strip_prefix('{') {
        return match inside.find('}') {
            Some(end) => (inside.get(..end), inside.get(end + 1..).unwrap_or_default()),
            None => (Some(""), inside),
        };
    }
    let special = text.starts_with(|c: char| "*#$@!?-".contains(c) || c.is_ascii_digit());
    let is_name = |c: char| c == '_' || c.is_ascii_alphanumeric();
    let end = if special { 1 } else { text.find(|c| !is_name(c)).unwrap_or(text.len()) };
    let (name, rest) = text.split_at(end);
    (Some(name).filter(|name| !name.is_empty()), rest)
}

/// Go panics where a name has no address, and its words are kept.
fn host_by_name(evaluation: &mut Evaluation, arguments: &[Value]) -> Result<Value, FuncError> {
    let name = text(arguments, 0);
    if matches!(evaluation.world.programs, Programs::Canned(_)) && name.parse::<IpAddr>().is_err() {
        return Err("names of hosts are not looked up here".into());
    }
    let found = (name, 0).to_socket_addrs();
    let addresses: Vec<String> =
        found.map_or_else(|_| Vec::new(), |all| all.map(|address| address.ip().to_string()).collect());
    match fastrand::choice(&addresses) {
        Some(address) => Ok(Value::from(address.as_str())),
        None => Err("invalid argument to Intn".into()),
    }
}

fn timestamp(evaluation: &mut Evaluation, arguments: &[Value]) -> Result<Value, FuncError> {
    let now = evaluation.world.now.unwrap_or_else(Timestamp::now);
    let layout = match arguments {
        [] => "2006-01-02T15:04:05Z".to_owned(),
        [_] => text(arguments, 0),
        more => {
            let text =
                format!("timestamp: wrong number of arguments, expected 0 or 1, but got {}", more.len());
            return Err(FuncError::new(text));
        }
    };
    Ok(Value::from(match layout.as_str() {
        "unix" => now.as_second().to_string().into_bytes(),
        text => layout::format(&now.into(), text.as_bytes()),
    }))
}
