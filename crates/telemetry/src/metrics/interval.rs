//! Upstream's way of telling: what happened in the last whole interval of ten seconds.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use serde_json::{Map, Value as Json, json};

use super::{Sample, Snapshot, Value};

/// How long an interval is; upstream's.
pub const LENGTH: Duration = Duration::from_secs(10);

/// The interval that runs, and the one before it.
#[derive(Debug)]
pub struct Intervals {
    /// What the counters said when it began.
    base: Snapshot,
    began: Timestamp,
    finished: Option<(Timestamp, Snapshot)>,
}

impl Intervals {
    /// Counting begins now, at zero.
    pub fn new(now: Timestamp) -> Self {
        Self { base: Snapshot::default(), began: floor(now), finished: None }
    }

    /// An interval has ended. Returns what happened in it.
    pub fn next(&mut self, now: Timestamp, counters: Snapshot) -> Snapshot {
        let grown = counters.since(&self.base);
        self.finished = Some((self.began, grown.clone()));
        (self.base, self.began) = (counters, floor(now));
        grown
    }

    /// What is told: the last whole interval; before its end, the first.
    fn told(&self, now: &Snapshot) -> (Timestamp, Snapshot) {
        match &self.finished {
            Some(finished) => finished.clone(),
            None => (self.began, now.since(&self.base)),
        }
    }

    /// As upstream's `/agent/v1/metrics` tells it. Gauges are those of `now`.
    pub fn json(&self, now: &Snapshot) -> String {
        let (began, grown) = self.told(now);
        let (mut counters, mut samples) = (Vec::new(), Vec::new());
        for (name, sample) in grown.samples() {
            match &sample.value {
                Value::Counter(count) => {
                    let count = *count as f64;
                    let rate = count / LENGTH.as_secs_f64();
                    counters.push(aggregate(name, sample, count, count, rate, (1.0, 1.0)));
                }
                Value::Histogram(histogram) => {
                    let rate = histogram.sum / LENGTH.as_secs_f64();
                    let count = histogram.count() as f64;
                    samples.push(aggregate(name, sample, count, histogram.sum, rate, histogram.range()));
                }
                Value::Gauge(_) => {}
            }
        }
        let mut gauges = Vec::new();
        for (name, sample) in now.samples() {
            if let Value::Gauge(value) = sample.value {
                gauges.push(json!({"Name": name, "Value": number(value), "Labels": labels(sample)}));
            }
        }
        json!({
            "Timestamp": shown(began),
            "Gauges": gauges,
            "Points": [],
            "Counters": counters,
            "Samples": samples,
        })
        .to_string()
    }

    /// As upstream writes it to standard error on SIGUSR1.
    pub fn dump(&self, now: &Snapshot) -> String {
        let (began, grown) = self.told(now);
        let began = shown(began);
        let mut out = String::new();
        for (name, sample) in now.samples() {
            if let Value::Gauge(value) = sample.value {
                let _ = writeln!(out, "[{began}][G] '{}': {value:.3}", flat(name, sample));
            }
        }
        for (name, sample) in grown.samples() {
            let name = flat(name, sample);
            let _ = match &sample.value {
                Value::Counter(count) => {
                    writeln!(out, "[{began}][C] '{name}': Count: {count} Sum: {count}.000")
                }
                Value::Histogram(histogram) => {
                    let (count, sum, (min, max)) = (histogram.count(), histogram.sum, histogram.range());
                    let mean = sum / (count.max(1) as f64);
                    writeln!(
                        out,
                        "[{began}][S] '{name}': Count: {count} Min: {min:.3} Mean: {mean:.3} Max: {max:.3} Sum: {sum:.3}"
                    )
                }
                Value::Gauge(_) => Ok(()),
            };
        }
        out
    }
}

fn aggregate(name: &str, sample: &Sample, count: f64, sum: f64, rate: f64, (min, max): (f64, f64)) -> Json {
    json!({
        "Name": name,
        "Count": number(count),
        "Rate": number(rate),
        "Sum": number(sum),
        "Min": number(min),
        "Max": number(max),
        "Mean": number(sum / count.max(1.0)),
        "Stddev": 0,
        "Labels": labels(sample),
    })
}

fn labels(sample: &Sample) -> Json {
    let pairs = sample.labels.iter().map(|(name, value)| ((*name).to_owned(), Json::from(value.as_str())));
    Json::Object(pairs.collect::<Map<_, _>>())
}

/// The name with the labels behind it, as upstream shows them in a line.
fn flat(name: &str, sample: &Sample) -> String {
    let values = sample.labels.iter().map(|(_, value)| value.replace(char::is_control, "_"));
    values.fold(name.to_owned(), |name, value| format!("{name}.{value}"))
}

/// Whole numbers without a fraction, as Go writes them.
fn number(value: f64) -> Json {
    if value.fract() == 0.0 && value.abs() < 9e15 { Json::from(value as i64) } else { Json::from(value) }
}

fn floor(now: Timestamp) -> Timestamp {
    let seconds = now.as_second();
    let length = i64::try_from(LENGTH.as_secs()).unwrap_or(10);
    Timestamp::from_second(seconds - seconds.rem_euclid(length)).unwrap_or(now)
}

/// As Go prints a time: `2026-11-21 21:55:30 +0000 UTC`.
fn shown(at: Timestamp) -> String {
    strtime::format("%Y-%m-%d %H:%M:%S +0000 UTC", &at.to_zoned(TimeZone::UTC)).unwrap_or_default()
}
