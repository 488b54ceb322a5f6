//! Draws docs/fleet.svg and prints the table of docs/fleet.md:
//! `cargo run -p auto-auth --example fleet -- docs/fleet.svg`.

#![expect(clippy::print_stdout, reason = "it is what this program is for")]
#![expect(clippy::expect_used, reason = "a program for developers may be blunt")]

#[path = "../src/lifecycle/fleet.rs"]
mod fleet;
#[expect(dead_code, reason = "the driver needs more of it than a simulation")]
#[path = "../src/lifecycle.rs"]
mod lifecycle;

use std::fmt::Write as _;
use std::path::Path;

use fleet::{Fleet, Outcome, Waits};

const AGENTS: u64 = 10_000;
const SEED: u64 = 7;
const MINUTE: f64 = 60.0;
const HOUR: f64 = 3600.0;

fn main() {
    println!("| TTL | server gone | tokens | usual rate | Sidekey | upstream | full jitter |");
    println!("|---|---|---|--:|--:|--:|--:|");
    for (ttl, outage, renewable) in [
        (HOUR, MINUTE, false),
        (HOUR, 5.0 * MINUTE, false),
        (HOUR, 5.0 * MINUTE, true),
        (6.0 * HOUR, 5.0 * MINUTE, false),
        (24.0 * HOUR, 5.0 * MINUTE, false),
        (24.0 * HOUR, 20.0 * MINUTE, false),
        (HOUR, 20.0 * MINUTE, false),
        (10.0 * MINUTE, 5.0 * MINUTE, false),
        (HOUR, 2.0 * HOUR, false),
    ] {
        let of = |waits| Fleet { agents: AGENTS, ttl, renewable, outage, waits }.run(SEED);
        let ours = of(Waits::Sidekey);
        let kind = if renewable { "renewed" } else { "replaced" };
        let (steady, ttl, outage) = (ours.steady, span(ttl), span(outage));
        let [ours, theirs, full] =
            [ours, of(Waits::Upstream), of(Waits::FullJitter)].map(|outcome| cell(&outcome));
        println!("| {ttl} | {outage} | {kind} | {steady:.2}/s | {ours} | {theirs} | {full} |");
    }
    if let Some(path) = std::env::args_os().nth(1) {
        let plot = plot();
        let attributes = atomic_file::Attributes::new(0o644);
        atomic_file::write(Path::new(&path), plot.as_bytes(), &attributes).expect("the plot can be written");
    }
}

fn span(seconds: f64) -> String {
    if seconds < HOUR { format!("{} min", seconds / MINUTE) } else { format!("{} h", seconds / HOUR) }
}

fn cell(outcome: &Outcome) -> String {
    let mut text = format!("{:.1}/s ({:.1} times)", outcome.peak(), outcome.peak() / outcome.steady);
    if outcome.stranded > 0 {
        let _ = write!(text, ", {} stranded, back in {:.0} s", outcome.stranded, outcome.last_back);
    }
    text
}

// === The plot ===

/// Minutes before and after the server's return.
const SPAN: (f64, f64) = (-10.0, 30.0);
/// Seconds that one step of a line counts.
const STEP: f64 = 10.0;
/// Logins in a second at the top.
const TOP: f64 = 32.0;
const SIZE: (f64, f64) = (760.0, 300.0);

fn x(minutes: f64) -> f64 {
    50.0 + (minutes - SPAN.0) / (SPAN.1 - SPAN.0) * SIZE.0
}

fn y(rate: f64) -> f64 {
    20.0 + (1.0 - (rate / TOP).min(1.0)) * SIZE.1
}

fn plot() -> String {
    let of =
        |waits| Fleet { agents: AGENTS, ttl: HOUR, renewable: false, outage: 5.0 * MINUTE, waits }.run(SEED);
    let (ours, theirs) = (of(Waits::Sidekey), of(Waits::Upstream));
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 840 370\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>Logins per second of 10,000 agents around the return of a server that was gone for five minutes</title>\n\
         <rect width=\"840\" height=\"370\" fill=\"white\"/>\n",
    );
    let mut add = |line: String| {
        svg.push_str(&line);
        svg.push('\n');
    };
    let (left, right, bottom) = (x(SPAN.0), x(SPAN.1), y(0.0));
    add(format!(
        "<rect x=\"{}\" y=\"20\" width=\"{}\" height=\"{}\" fill=\"#eee\"/>",
        x(-5.0),
        x(0.0) - x(-5.0),
        SIZE.1
    ));
    add(format!("<text x=\"{}\" y=\"34\" fill=\"#666\">server gone</text>", x(-5.0) + 8.0));
    for rate in [0.0, 10.0, 20.0, 30.0] {
        let at = y(rate);
        add(format!(
            "<path d=\"M{left} {at:.1}H{right}\" stroke=\"#ddd\"/><text x=\"44\" y=\"{:.1}\" text-anchor=\"end\">{rate}</text>",
            at + 4.0
        ));
    }
    for minutes in [-10, -5, 0, 5, 10, 15, 20, 25, 30] {
        let at = x(f64::from(minutes));
        add(format!("<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{minutes}</text>", bottom + 16.0));
    }
    let twice = y(2.0 * ours.steady);
    add(format!(
        "<path d=\"M{left} {twice:.1}H{right}\" stroke=\"#888\" stroke-dasharray=\"5 4\"/><text x=\"{right}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#666\">twice the usual rate</text>",
        twice - 5.0
    ));
    for (outcome, colour, name, row) in
        [(&theirs, "#c33", "upstream's back-off", 0.0), (&ours, "#06c", "Sidekey", 1.0)]
    {
        add(format!(
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{}\"/>",
            line(outcome)
        ));
        let at = 44.0 + 18.0 * row;
        add(format!(
            "<path d=\"M600 {at}h24\" stroke=\"{colour}\" stroke-width=\"2\"/><text x=\"632\" y=\"{}\">{name}</text>",
            at + 4.0
        ));
    }
    add(format!(
        "<text x=\"430\" y=\"{}\" text-anchor=\"middle\">minutes since the server's return (logins in a second, mean of ten)</text>",
        bottom + 36.0
    ));
    svg.push_str("</svg>\n");
    svg
}

/// Answered logins in a second, a point each ten seconds.
fn line(outcome: &Outcome) -> String {
    let steps = ((SPAN.1 - SPAN.0) * MINUTE / STEP) as usize;
    let mut counts = vec![0_u32; steps];
    for at in &outcome.answered {
        let step = ((at - SPAN.0 * MINUTE) / STEP).floor();
        if let Some(count) = (step >= 0.0).then(|| counts.get_mut(step as usize)).flatten() {
            *count += 1;
        }
    }
    let mut points = String::new();
    for (step, count) in counts.iter().enumerate() {
        let minutes = SPAN.0 + (step as f64 + 0.5) * STEP / MINUTE;
        let _ = write!(points, "{:.1},{:.1} ", x(minutes), y(f64::from(*count) / STEP));
    }
    points.trim_end().to_owned()
}
