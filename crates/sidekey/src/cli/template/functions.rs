//! `sidekey template functions`: everything a template can call.

use clap::{Args, ValueEnum};
use config::Profile;
use serde_json::json;
use template::Listed;

use super::super::Exit;
use super::profile;

/// Flags of `template functions`.
#[derive(Args, Debug)]
pub(super) struct FunctionsArgs {
    /// Only functions whose name holds one of these words
    #[arg(value_name = "WORD")]
    words: Vec<String>,
    /// Only what this profile has: openbao or vault
    #[arg(long, value_name = "PROFILE", value_parser = profile)]
    profile: Option<Profile>,
    /// How to print the list
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For reading on a terminal
    Text,
    /// For programs
    Json,
    /// The second half of docs/templates.md
    Markdown,
}

pub(super) fn functions(arguments: &FunctionsArgs) -> Exit {
    let words: Vec<String> = arguments.words.iter().map(|word| word.to_lowercase()).collect();
    let wanted = |listed: &Listed| {
        let name = listed.name.to_lowercase();
        (words.is_empty() || words.iter().any(|word| name.contains(word)))
            && arguments.profile.is_none_or(|profile| is_in(listed, profile))
    };
    let found: Vec<Listed> = both().into_iter().filter(wanted).collect();
    if found.is_empty() {
        errln!("no function's name holds {}; `sidekey template functions` lists all", words.join(" or "));
        return Exit::Failure;
    }
    match arguments.format {
        Format::Text => out!("{}", as_text(&found)),
        Format::Json => outln!("{}", as_json(&found)),
        Format::Markdown => out!("{}", as_markdown(&found)),
    }
    Exit::Success
}

/// The functions of both profiles. One that is not the same in both is there twice.
fn both() -> Vec<Listed> {
    let mut all = template::catalogue(Profile::OpenBao);
    all.extend(template::catalogue(Profile::Vault).into_iter().filter(|listed| listed.only.is_some()));
    all.sort_by_key(|listed| (listed.group != "Go", listed.group, listed.name));
    // Two that differ in what only the other's users can see are told as one.
    all.dedup_by(|second, first| {
        let same = first.name == second.name && first.summary == second.summary;
        if same {
            first.only = None;
        }
        same
    });
    all
}

fn is_in(listed: &Listed, profile: Profile) -> bool {
    listed.only.is_none_or(|only| only == profile)
}

fn profiles(listed: &Listed) -> &'static str {
    match (is_in(listed, Profile::OpenBao), is_in(listed, Profile::Vault)) {
        (true, false) => "openbao",
        (false, true) => "vault",
        _ => "both",
    }
}

fn as_text(found: &[Listed]) -> String {
    let mut out = String::new();
    let mut group = "";
    for listed in found {
        if listed.group != group {
            group = listed.group;
            out.push_str(&format!("\n# {group}\n"));
        }
        let only = match profiles(listed) {
            "both" => String::new(),
            one => format!("  [{one} only]"),
        };
        out.push_str(&format!("{}{only}\n    {}\n", listed.signature, listed.summary));
        if !listed.example.is_empty() {
            out.push_str(&format!(
                "    {}  ->  {}\n",
                listed.example,
                listed.output.replace('\n', "\n        ")
            ));
        }
    }
    out
}

fn as_json(found: &[Listed]) -> String {
    let all: Vec<_> = found
        .iter()
        .map(|listed| {
            json!({
                "name": listed.name,
                "group": listed.group,
                "signature": listed.signature,
                "summary": listed.summary,
                "profile": profiles(listed),
                "example": listed.example,
                "output": listed.output,
            })
        })
        .collect();
    format!("{:#}", json!(all))
}

fn as_markdown(found: &[Listed]) -> String {
    let mut out = String::new();
    let mut group = "";
    for listed in found {
        if listed.group != group {
            group = listed.group;
            out.push_str(&format!("\n### {group}\n\n"));
        }
        let only = match profiles(listed) {
            "openbao" => " *(openbao only)*",
            "vault" => " *(vault only)*",
            _ => "",
        };
        out.push_str(&format!("- **`{}`**{only} {}", listed.signature, listed.summary));
        if !listed.example.is_empty() {
            out.push_str(&format!("  \n  {} gives {}", code(listed.example), code(listed.output)));
        }
        out.push('\n');
    }
    out
}

/// Inline code of any text: the fence is longer than any run of backquotes within, and line ends are shown.
fn code(text: &str) -> String {
    if text.is_empty() {
        return "nothing".to_owned();
    }
    let text = text.replace('\n', "⏎");
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}
