//! Go's flag syntax on top of clap's: one dash or two, and Go's words for what is wrong.

use std::ffi::OsString;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::Exit;

/// `-config=x` becomes `--config=x` where `config` is a flag of the subcommand, up to `--`, and for the agents'
/// own subcommands up to the first operand, where Go stops reading flags. `vault` and `bao` read their first word
/// as the subcommand, and so do we.
pub(super) fn normalize(arguments: Vec<OsString>, command: &Command) -> Vec<OsString> {
    let mut out = Vec::with_capacity(arguments.len());
    let mut arguments = without_agent(arguments).into_iter();
    out.extend(arguments.next());
    let mut names: Option<&Command> = None;
    let mut value_follows = false;
    let mut reading = true;
    for argument in arguments {
        let text = argument.to_str().unwrap_or_default().to_owned();
        if !reading || value_follows {
            value_follows = false;
            out.push(argument);
            continue;
        }
        let Some(flags) = names else {
            // The subcommand itself, or a flag of the program (`-help`, `-version`).
            names = command.find_subcommand(&text);
            out.push(match text.as_str() {
                "-help" => "--help".into(),
                "-version" | "--version" | "-v" => "version".into(),
                _ => argument,
            });
            continue;
        };
        if text == "--" || !text.starts_with('-') || text == "-" {
            match flags.find_subcommand(&text) {
                Some(inner) => names = Some(inner),
                // `check FILE -strict` reads better than it parses in Go: we go on reading there.
                None => reading = text != "--" && !stops_at_operand(flags.get_name()),
            }
            out.push(argument);
            continue;
        }
        let name = text.trim_start_matches('-');
        let (name, has_value) = name.split_once('=').map_or((name, false), |(name, _)| (name, true));
        let flag = flags.get_arguments().find(|known| {
            known.get_long() == Some(name) || known.get_all_aliases().is_some_and(|all| all.contains(&name))
        });
        value_follows = !has_value && flag.is_some_and(takes_value);
        let single = !text.starts_with("--") && text.len() > 2;
        out.push(if single { format!("-{text}").into() } else { argument });
    }
    out
}

/// Those read as Go reads flags; and what follows a program's name is the program's.
fn stops_at_operand(subcommand: &str) -> bool {
    matches!(subcommand, "agent" | "generate-config" | "proxy" | "run")
}

/// `agent generate-config`, as the agents have it, is ours without `agent`.
fn without_agent(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let word = |nth: usize| arguments.get(nth).and_then(|argument| argument.to_str());
    if word(1) == Some("agent") && word(2) == Some("generate-config") {
        arguments.remove(1);
    }
    arguments
}

fn takes_value(flag: &clap::Arg) -> bool {
    flag.get_num_args().is_none_or(|count| count.min_values() > 0) && flag.get_action().takes_values()
}

/// Prints help, or what is wrong, and gives the exit code: 0 for help that was asked for, else 1 as in Go.
pub(super) fn complain(error: &clap::Error) -> Exit {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            out!("{error}");
            return Exit::Success;
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            crate::print::err(format_args!("{error}"));
        }
        ErrorKind::UnknownArgument => {
            let name = match error.get(ContextKind::InvalidArg) {
                Some(ContextValue::String(name)) => name.trim_start_matches('-').to_owned(),
                _ => String::new(),
            };
            let name = name.split('=').next().unwrap_or_default();
            errln!("flag provided but not defined: -{name}");
            let near = match error.get(ContextKind::SuggestedArg) {
                Some(ContextValue::String(near)) => Some(near.trim_start_matches('-').to_owned()),
                Some(ContextValue::Strings(near)) => {
                    near.first().map(|n| n.trim_start_matches('-').to_owned())
                }
                _ => None,
            };
            match near {
                Some(near) => errln!("hint: did you mean -{near}? `-help` lists all flags"),
                None => errln!("hint: `-help` lists all flags"),
            }
        }
        _ => match without_value(error) {
            Some(name) => errln!("flag needs an argument: -{name}"),
            None => {
                crate::print::err(format_args!("{error}"));
            }
        },
    }
    Exit::Failure
}

/// The flag that stands there without its value.
fn without_value(error: &clap::Error) -> Option<&str> {
    let (Some(ContextValue::String(name)), Some(ContextValue::String(value))) =
        (error.get(ContextKind::InvalidArg), error.get(ContextKind::InvalidValue))
    else {
        return None;
    };
    let name = name.trim_start_matches('-').split(' ').next()?;
    (error.kind() == ErrorKind::InvalidValue && value.is_empty()).then_some(name)
}

/// Go's `strconv.ParseBool`.
pub(super) fn go_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        other => Err(format!("parsing {other:?}: invalid syntax; use true or false")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn normalized(line: &str) -> String {
        let words = line.split(' ').map(OsString::from).collect();
        let out = normalize(words, &super::super::Cli::command());
        out.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn one_dash_or_two() {
        for (given, want) in [
            ("sidekey agent -config=a.hcl", "sidekey agent --config=a.hcl"),
            ("sidekey agent -config a.hcl -log-level=warn", "sidekey agent --config a.hcl --log-level=warn"),
            ("sidekey agent --config a.hcl", "sidekey agent --config a.hcl"),
            ("sidekey agent -config -odd -exit-after-auth", "sidekey agent --config -odd --exit-after-auth"),
            ("sidekey proxy -ns=a -tls-skip-verify", "sidekey proxy --ns=a --tls-skip-verify"),
            ("sidekey check a.hcl -strict", "sidekey check a.hcl --strict"),
            ("sidekey agent -h", "sidekey agent -h"),
            ("sidekey template render -config a.hcl -diff", "sidekey template render --config a.hcl --diff"),
            ("sidekey template test a.ctmpl -data=b.json", "sidekey template test a.ctmpl --data=b.json"),
            ("sidekey sink decrypt -key=k -derive-key", "sidekey sink decrypt --key=k --derive-key"),
            (
                "bao agent generate-config -type=x -path y a.hcl",
                "bao generate-config --type=x --path y a.hcl",
            ),
            ("sidekey agent -config x generate-config", "sidekey agent --config x generate-config"),
            ("sidekey run -secret=a ./server -port=1", "sidekey run --secret=a ./server -port=1"),
            ("sidekey run -secret a -- ./server -secret", "sidekey run --secret a -- ./server -secret"),
            ("sidekey -help", "sidekey --help"),
            ("sidekey -version", "sidekey version"),
        ] {
            assert_eq!(normalized(given), want, "{given}");
        }
    }
}
