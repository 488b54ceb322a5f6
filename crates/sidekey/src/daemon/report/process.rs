//! The process itself, as the system sees it, under the names that every Prometheus client has.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use telemetry::metrics::{LENGTH, Snapshot};

/// Ticks of `/proc/self/stat` a second: fixed for user space; proc(5).
const TICKS: f64 = 100.0;

pub(super) fn now() -> Timestamp {
    Timestamp::now()
}

/// Intervals end with the clock's ten seconds, as upstream's do.
pub(super) fn rest_of_interval() -> Duration {
    let since = unix(SystemTime::now()).as_millis() % LENGTH.as_millis();
    LENGTH.saturating_sub(Duration::from_millis(u64::try_from(since).unwrap_or(0)))
}

/// Since 1970.
pub(super) fn unix(at: SystemTime) -> Duration {
    at.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// What can be read is told.
pub(super) fn numbers(all: &mut Snapshot) {
    if let Some(times) = std::fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(processor_time) {
        let help = "Time that the processors worked for it.";
        // Not whole, and so no counter here; Prometheus does not mind.
        all.gauge("process_cpu_seconds_total", help, &[], times);
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(bytes) = kilobytes(&status, "VmRSS:") {
        all.gauge("process_resident_memory_bytes", "Memory in use.", &[], bytes);
    }
    if let Some(bytes) = kilobytes(&status, "VmSize:") {
        all.gauge("process_virtual_memory_bytes", "Addresses in use.", &[], bytes);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        // One is the folder being read.
        let open = open.count().saturating_sub(1) as f64;
        all.gauge("process_open_fds", "File descriptors in use.", &[], open);
    }
}

fn processor_time(stat: &str) -> Option<f64> {
    let behind = stat.rsplit_once(')')?.1;
    let mut fields = behind.split_ascii_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) as f64 / TICKS)
}

fn kilobytes(status: &str, key: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some((number * 1024) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_read() {
        let stat = "7 (a ) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0";
        assert_eq!(processor_time(stat), Some(2.0));
        assert_eq!(kilobytes("VmSize:\t  20 kB\nVmRSS:\t   3 kB\n", "VmRSS:"), Some(3072.0));
        let mut all = Snapshot::default();
        numbers(&mut all);
        assert_eq!(all.prometheus().matches("# TYPE process_").count(), 4);
    }
}
