//! Every ten seconds an interval ends; what happened in it goes to statsd and its kin, if one is configured.

use std::sync::Arc;
use std::time::Duration;

use telemetry::metrics::{LENGTH, Snapshot, Tags};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tracing::warn;

use super::{Board, filter, numbers, process};
use crate::daemon::give_back::Spare;

/// A datagram stays below the smallest Ethernet's.
const DATAGRAM: usize = 1400;

/// A service that does not take its numbers in this time goes without.
const PATIENCE: Duration = Duration::from_secs(2);

/// Ends intervals for as long as the program lives.
pub(in crate::daemon) async fn push(board: Arc<Board>) {
    let mut ticks = interval_at(Instant::now() + process::rest_of_interval(), LENGTH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    let mut spare = Spare::default();
    loop {
        ticks.tick().await;
        spare.interval_ends();
        let Some(parts) = board.parts() else { continue };
        let filter = filter(&parts.telemetry);
        let mut counters = Snapshot::default();
        numbers::counters(&parts, &mut counters);
        let grown = board.intervals().next(process::now(), counters.filtered(&filter));
        let telemetry = &parts.telemetry;
        if telemetry.statsd.is_none() && telemetry.dogstatsd.is_none() && telemetry.statsite.is_none() {
            continue;
        }
        let mut levels = Snapshot::default();
        numbers::gauges(&parts, &mut levels);
        let levels = levels.filtered(&filter);
        let lines = |tags| [grown.statsd(tags), levels.statsd(tags)].concat();
        let mut outcomes = Vec::new();
        if let Some(address) = &telemetry.statsd {
            outcomes.push(("statsd", datagrams(address, &lines(Tags::InName)).await));
        }
        if let Some((address, tags)) = &telemetry.dogstatsd {
            outcomes.push(("dogstatsd", datagrams(address, &lines(Tags::Dog(tags))).await));
        }
        if let Some(address) = &telemetry.statsite {
            outcomes.push(("statsite", stream(address, &lines(Tags::InName)).await));
        }
        for (service, outcome) in &outcomes {
            if let (Err(why), false) = (outcome, failing) {
                warn!(target: "telemetry", service, error = %why, "numbers could not be sent");
            }
        }
        failing = outcomes.iter().any(|(_, outcome)| outcome.is_err());
    }
}

async fn datagrams(address: &str, lines: &[String]) -> std::io::Result<()> {
    let sending = async {
        let all: Vec<_> = tokio::net::lookup_host(address).await?.collect();
        let first = all.first().ok_or_else(|| std::io::Error::other("the name has no address"))?;
        let from = if first.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(from).await?;
        socket.connect(first).await?;
        let mut datagram = String::new();
        for line in lines {
            if !datagram.is_empty() && datagram.len() + line.len() + 1 > DATAGRAM {
                socket.send(datagram.as_bytes()).await?;
                datagram.clear();
            }
            if !datagram.is_empty() {
                datagram.push('\n');
            }
            datagram.push_str(line);
        }
        socket.send(datagram.as_bytes()).await.map(drop)
    };
    timeout(PATIENCE, sending).await.unwrap_or_else(|late| Err(late.into()))
}

async fn stream(address: &str, lines: &[String]) -> std::io::Result<()> {
    let sending = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all((lines.join("\n") + "\n").as_bytes()).await?;
        stream.shutdown().await
    };
    timeout(PATIENCE, sending).await.unwrap_or_else(|late| Err(late.into()))
}
