//! Numbers, and the forms in which others read them.
//!
//! Nobody counts here: each room keeps plain atomic numbers of its own, and a [`Snapshot`] of them is made when
//! somebody asks. A request costs an addition or two, and a name, a label or a look-up costs nothing. Upstream counts
//! in intervals of ten seconds; [`Intervals`] gets these from two snapshots.

use std::collections::HashMap;

mod interval;
mod prometheus;
mod statsd;

pub use interval::{Intervals, LENGTH};
pub use prometheus::CONTENT_TYPE as PROMETHEUS;
pub use statsd::Tags;

/// All numbers at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    families: Vec<Family>,
}

/// The numbers of one name.
#[derive(Clone, Debug, PartialEq)]
struct Family {
    /// With dots between its words: `vault.agent.auth.success`.
    name: String,
    help: &'static str,
    samples: Vec<Sample>,
}

#[derive(Clone, Debug, PartialEq)]
struct Sample {
    labels: Vec<(&'static str, String)>,
    value: Value,
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    /// Only grows.
    Counter(u64),
    /// As it is now.
    Gauge(f64),
    Histogram(Histogram),
}

/// How many values were how large.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Upper bounds of all buckets but the last, ascending.
    pub bounds: Vec<f64>,
    /// Values in each bucket, one bucket more than bounds.
    pub counts: Vec<u64>,
    /// Of all values.
    pub sum: f64,
}

/// Labels of a sample.
pub type Labels<'a> = &'a [(&'static str, &'a str)];

impl Snapshot {
    /// Adds a number that only grows.
    pub fn counter(&mut self, name: impl Into<String>, help: &'static str, labels: Labels<'_>, value: u64) {
        self.add(name.into(), help, labels, Value::Counter(value));
    }

    /// Adds a number as it is now.
    pub fn gauge(&mut self, name: impl Into<String>, help: &'static str, labels: Labels<'_>, value: f64) {
        self.add(name.into(), help, labels, Value::Gauge(value));
    }

    /// Adds a histogram.
    pub fn histogram(
        &mut self,
        name: impl Into<String>,
        help: &'static str,
        labels: Labels<'_>,
        value: Histogram,
    ) {
        self.add(name.into(), help, labels, Value::Histogram(value));
    }

    fn add(&mut self, name: String, help: &'static str, labels: Labels<'_>, value: Value) {
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let sample = Sample { labels, value };
        match self.families.iter_mut().find(|family| family.name == name) {
            Some(family) => family.samples.push(sample),
            None => self.families.push(Family { name, help, samples: vec![sample] }),
        }
    }

    /// Leaves out what the rules leave out.
    #[must_use]
    pub fn filtered(mut self, filter: &Filter) -> Self {
        self.families.retain(|family| filter.allows(&family.name));
        self
    }

    /// What came since `then`: counters and histograms that grew, gauges as they are.
    fn since(&self, then: &Self) -> Self {
        let mut grown = Self::default();
        // There may be thousands of both.
        let before = then.samples().map(|(name, sample)| ((name, sample.labels.as_slice()), &sample.value));
        let before: HashMap<_, _> = before.collect();
        for family in &self.families {
            let mut samples = Vec::new();
            for sample in &family.samples {
                let value =
                    match (&sample.value, before.get(&(family.name.as_str(), sample.labels.as_slice()))) {
                        (Value::Counter(now), Some(Value::Counter(then))) => {
                            Value::Counter(now.saturating_sub(*then))
                        }
                        (Value::Histogram(now), Some(Value::Histogram(then))) => {
                            Value::Histogram(now.since(then))
                        }
                        (value, _) => value.clone(),
                    };
                let silent = match &value {
                    Value::Counter(count) => *count == 0,
                    Value::Gauge(_) => false,
                    Value::Histogram(histogram) => histogram.count() == 0,
                };
                if !silent {
                    samples.push(Sample { labels: sample.labels.clone(), value });
                }
            }
            if !samples.is_empty() {
                grown.families.push(Family { name: family.name.clone(), help: family.help, samples });
            }
        }
        grown
    }

    /// Every sample with its name.
    fn samples(&self) -> impl Iterator<Item = (&str, &Sample)> {
        self.families
            .iter()
            .flat_map(|family| family.samples.iter().map(|sample| (family.name.as_str(), sample)))
    }
}

impl Histogram {
    fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    fn since(&self, then: &Self) -> Self {
        let before = then.counts.iter().chain(std::iter::repeat(&0));
        Self {
            bounds: self.bounds.clone(),
            counts: self.counts.iter().zip(before).map(|(now, then)| now.saturating_sub(*then)).collect(),
            sum: (self.sum - then.sum).max(0.0),
        }
    }

    /// Bounds of what was seen, as far as the buckets tell.
    fn range(&self) -> (f64, f64) {
        let first = self.counts.iter().position(|count| *count > 0).unwrap_or(0);
        let last = self.counts.iter().rposition(|count| *count > 0).unwrap_or(0);
        let bound = |at: usize| self.bounds.get(at).or(self.bounds.last()).copied().unwrap_or(0.0);
        (if first == 0 { 0.0 } else { bound(first - 1) }, bound(last))
    }
}

/// Which names are told (`prefix_filter`, `filter_default`). The longest prefix that fits counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    /// For names that no rule fits.
    pub default: bool,
    /// Beginnings of names, and whether these are told.
    pub rules: Vec<(String, bool)>,
}

impl Default for Filter {
    fn default() -> Self {
        Self { default: true, rules: Vec::new() }
    }
}

impl Filter {
    fn allows(&self, name: &str) -> bool {
        let fitting = self.rules.iter().filter(|(prefix, _)| name.starts_with(prefix.as_str()));
        fitting.max_by_key(|(prefix, _)| prefix.len()).map_or(self.default, |(_, told)| *told)
    }
}

#[cfg(test)]
mod tests;
