//! Prometheus' text format, version 0.0.4.

use std::fmt::Write as _;

use super::{Labels, Snapshot, Value};

/// The type of the answer.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Snapshot {
    /// As Prometheus reads it.
    pub fn prometheus(&self) -> String {
        let mut out = String::new();
        for family in &self.families {
            let name = legal(&family.name);
            let kind = match family.samples.first().map(|sample| &sample.value) {
                Some(Value::Counter(_)) => "counter",
                Some(Value::Gauge(_)) => "gauge",
                Some(Value::Histogram(_)) => "histogram",
                None => continue,
            };
            let _ = writeln!(out, "# HELP {name} {}\n# TYPE {name} {kind}", family.help);
            for sample in &family.samples {
                let labels: Vec<(&'static str, &str)> =
                    sample.labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
                match &sample.value {
                    Value::Counter(value) => {
                        let _ = writeln!(out, "{name}{} {value}", braced(&labels, None));
                    }
                    Value::Gauge(value) => {
                        let _ = writeln!(out, "{name}{} {value}", braced(&labels, None));
                    }
                    Value::Histogram(histogram) => {
                        let mut below = 0;
                        let bounds = histogram.bounds.iter().map(ToString::to_string);
                        for (count, bound) in histogram.counts.iter().zip(bounds.chain(["+Inf".to_owned()])) {
                            below += count;
                            let _ = writeln!(out, "{name}_bucket{} {below}", braced(&labels, Some(&bound)));
                        }
                        let _ = writeln!(out, "{name}_sum{} {}", braced(&labels, None), histogram.sum);
                        let _ = writeln!(out, "{name}_count{} {below}", braced(&labels, None));
                    }
                }
            }
        }
        out
    }
}

/// Dots and dashes are no part of Prometheus' names.
fn legal(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == ':' { c } else { '_' }).collect()
}

fn braced(labels: Labels<'_>, bound: Option<&str>) -> String {
    let all = labels.iter().copied().chain(bound.map(|bound| ("le", bound)));
    let parts: Vec<String> = all.map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    if parts.is_empty() { String::new() } else { format!("{{{}}}", parts.join(",")) }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
