//! No value of a secret stands in an error.

use std::collections::BTreeSet;

use crate::dependency::Dependency;
use crate::evaluate::{Knowledge, Known};
use crate::words::quoted;

/// Shorter strings say nothing and would tear the message apart.
const SHORTEST_SECRET: usize = 4;

/// Every string of the secrets that a template used is replaced, the longer first.
pub(crate) fn redacted(text: &str, known: &Knowledge, needed: &BTreeSet<Dependency>) -> String {
    let mut values = Vec::new();
    for dependency in needed {
        match known.get(dependency) {
            Some(Known::Secret(Some(secret))) => {
                secret
                    .data
                    .iter()
                    .flat_map(|data| data.values())
                    .for_each(|value| strings(value, &mut values));
                let auth = secret.auth.iter().map(|auth| auth.client_token.expose());
                let wrapped = secret.wrap_info.iter().map(|wrapped| wrapped.token.expose());
                values.extend(auth.chain(wrapped).map(str::to_owned));
            }
            Some(Known::Certificate(certificate)) => {
                values.extend([&certificate.key, &certificate.cert].map(|text| text.trim().to_owned()));
            }
            _ => {}
        }
    }
    values.retain(|value| value.len() >= SHORTEST_SECRET);
    // As it stands in a quoted text.
    let inner = |value: &String| quoted(value).trim_matches('"').to_owned();
    let escaped: Vec<String> = values.iter().map(inner).filter(|value| !values.contains(value)).collect();
    values.extend(escaped);
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    values.iter().fold(text.to_owned(), |text, value| text.replace(value.as_str(), "[redacted]"))
}

fn strings(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) => found.push(text.clone()),
        serde_json::Value::Array(values) => values.iter().for_each(|value| strings(value, found)),
        serde_json::Value::Object(fields) => fields.values().for_each(|value| strings(value, found)),
        _ => {}
    }
}
