//! The configuration as text, laid out as upstream lays it out.

use std::fmt::Write as _;

use super::super::template_text::{field, secret};
use super::names::Named;

/// What is in it.
pub(super) struct Configuration<'a> {
    pub(super) token_file: &'a str,
    /// Keys of `vault` and their values, as HCL.
    pub(super) vault: &'a [(&'static str, String)],
    pub(super) variables: &'a [Named<'a>],
    pub(super) command: &'a [&'a str],
}

impl Configuration<'_> {
    /// HCL.
    pub(super) fn text(&self) -> String {
        let mut out = format!(
            "\nauto_auth {{\n\n  method {{\n    type = \"token_file\"\n\n    config {{\n      token_file_path = {}\n    }}\n  }}\n}}\n\n\
             template_config {{\n  static_secret_render_interval = \"5m\"\n  exit_on_retry_failure         = true\n}}\n\nvault {{\n",
            string(self.token_file)
        );
        let widest = self.vault.iter().map(|(key, _)| key.len()).max().unwrap_or_default();
        for (key, value) in self.vault {
            let _ = writeln!(out, "  {key:widest$} = {value}");
        }
        out.push_str("}\n\n");
        for Named { name, path, versioned, key } in self.variables {
            let contents = format!(
                "{{{{ with {} }}}}{{{{ {} }}}}{{{{ end }}}}",
                secret(path, None),
                field(*versioned, key)
            );
            let _ = writeln!(
                out,
                "env_template {} {{\n  contents             = {}\n  error_on_missing_key = true\n}}",
                string(name),
                string(&contents)
            );
        }
        if !self.variables.is_empty() {
            out.push('\n');
        }
        let command: Vec<String> = self.command.iter().map(|word| string(word)).collect();
        let _ = writeln!(
            out,
            "exec {{\n  command                   = [{}]\n  restart_on_secret_changes = \"always\"\n  restart_stop_signal       = \"SIGTERM\"\n}}",
            command.join(", ")
        );
        out
    }
}

/// A text as HCL has it.
pub(super) fn string(text: &str) -> String {
    let mut out = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            char if char.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(char));
            }
            char => out.push(char),
        }
    }
    out.push('"');
    out
}
