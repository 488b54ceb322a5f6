//! Lines for statsd, dogstatsd and statsite.

use super::{Sample, Snapshot, Value};

/// How labels are told.
#[derive(Clone, Copy, Debug)]
pub enum Tags<'a> {
    /// Their values become words of the name, one each: plain statsd knows no labels.
    InName,
    /// Behind the value, together with these (`dogstatsd_tags`).
    Dog(&'a [String]),
}

impl Snapshot {
    /// One line a number, without line ends. `self` is what happened in an interval.
    pub fn statsd(&self, tags: Tags<'_>) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, sample) in self.samples() {
            let mut line = |suffix: &str, value: String, kind: &str| {
                let (name, behind) = place(name, suffix, sample, tags);
                lines.push(format!("{name}:{value}|{kind}{behind}"));
            };
            match &sample.value {
                Value::Counter(count) => line("", count.to_string(), "c"),
                Value::Gauge(value) => line("", value.to_string(), "g"),
                Value::Histogram(histogram) => {
                    line(".count", histogram.count().to_string(), "c");
                    line(".sum", histogram.sum.to_string(), "c");
                }
            }
        }
        lines
    }
}

fn place(name: &str, suffix: &str, sample: &Sample, tags: Tags<'_>) -> (String, String) {
    match tags {
        Tags::InName => {
            let labels = sample.labels.iter().filter(|(_, value)| !value.is_empty());
            let name = labels
                .fold(word(name), |name, (_, value)| format!("{name}.{}", word(value).replace('.', "_")));
            (name + suffix, String::new())
        }
        Tags::Dog(more) => {
            let own = sample.labels.iter().map(|(name, value)| format!("{name}:{}", tag(value)));
            let all: Vec<String> = own.chain(more.iter().map(|more| tag(more))).collect();
            let behind = if all.is_empty() { String::new() } else { format!("|#{}", all.join(",")) };
            (word(name) + suffix, behind)
        }
    }
}

/// Nothing that ends a name.
fn word(text: &str) -> String {
    text.chars().map(|c| if matches!(c, ':' | '|' | '@' | '#' | '/') || c <= ' ' { '_' } else { c }).collect()
}

fn tag(text: &str) -> String {
    text.chars().map(|c| if matches!(c, '|' | ',' | '#') || c < ' ' { '_' } else { c }).collect()
}
