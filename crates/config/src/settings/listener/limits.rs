//! How much one client may ask of a listener, and how slowly.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::decode::Fields;

/// Bounds of a listener. Whoever goes beyond one is answered or cut off, and counted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListenerLimits {
    /// Bytes of a request's head, from the request line to the empty line (431).
    pub header_size: usize,
    /// Fields of a request's head (431).
    pub headers: usize,
    /// Bytes of a request's target (414).
    pub target: usize,
    /// Bytes of a request's body (413).
    pub body: usize,
    /// Bytes of request bodies that are held at the same time, of all requests together (503).
    pub buffered_bodies: usize,
    /// From the accepted connection, TLS handshake included, to the end of its first head; from the first byte of a
    /// later head to its end. Then the connection is closed.
    pub header_timeout: Duration,
    /// Longest pause inside a request's body (408).
    pub body_pause: Duration,
    /// For a whole body, and a second more for each 64 KiB of it (408).
    pub body_timeout: Duration,
    /// A connection without a request is closed after it.
    pub idle_timeout: Duration,
    /// A client that takes nothing of its answer for so long is cut off.
    pub write_timeout: Duration,
    /// Connections at a time. The longest idle one makes room for the next; where none is idle, the next one waits.
    pub connections: usize,
    /// Connections of one client (its address, or its user on a unix socket).
    pub connections_per_client: usize,
    /// Requests under way at a time (503).
    pub requests: usize,
    /// Requests of one client under way at a time (503).
    pub requests_per_client: usize,
    /// Requests under way on one HTTP/2 connection; the client is told and waits.
    pub streams: usize,
}

impl Default for ListenerLimits {
    /// The body is the servers' own limit; the head's size and time are upstream's or smaller.
    fn default() -> Self {
        Self {
            header_size: 64 * 1024,
            headers: 100,
            target: 16 * 1024,
            body: 32 * 1024 * 1024,
            buffered_bodies: 64 * 1024 * 1024,
            header_timeout: Duration::from_secs(10),
            body_pause: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            connections: 10_000,
            connections_per_client: 1_000,
            requests: 2_048,
            requests_per_client: 512,
            streams: 128,
        }
    }
}

/// Sizes beyond these are typing errors, or mean that there should be no limit, which nobody should want.
const HEADS: RangeInclusive<usize> = 1024..=1024 * 1024;
const FIELDS: RangeInclusive<usize> = 10..=1000;
const BODIES: RangeInclusive<usize> = 1024..=16 * 1024 * 1024 * 1024;
const COUNTS: RangeInclusive<usize> = 1..=1_000_000;
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

// === Reading ===

pub(super) fn read(fields: &Fields<'_>) -> ListenerLimits {
    let default = ListenerLimits::default();
    let number = |key, default, range| number(fields, key, default, range);
    let time = |key, default| time(fields, key, default);
    ListenerLimits {
        header_size: number("max_request_header_size", default.header_size, HEADS),
        headers: number("max_request_headers", default.headers, FIELDS),
        target: number("max_request_target", default.target, HEADS),
        body: number("max_request_body", default.body, BODIES),
        buffered_bodies: number("max_buffered_bodies", default.buffered_bodies, BODIES),
        header_timeout: time("request_header_timeout", default.header_timeout),
        body_pause: time("request_body_pause", default.body_pause),
        body_timeout: time("request_body_timeout", default.body_timeout),
        idle_timeout: time("idle_timeout", default.idle_timeout),
        write_timeout: time("write_timeout", default.write_timeout),
        connections: number("max_connections", default.connections, COUNTS),
        connections_per_client: number("max_connections_per_client", default.connections_per_client, COUNTS),
        requests: number("max_requests", default.requests, COUNTS),
        requests_per_client: number("max_requests_per_client", default.requests_per_client, COUNTS),
        streams: number("max_streams", default.streams, COUNTS),
    }
}

fn number(fields: &Fields<'_>, key: &'static str, default: usize, range: RangeInclusive<usize>) -> usize {
    let Some(given) = fields.integer(key) else { return default };
    match usize::try_from(given) {
        Ok(number) if range.contains(&number) => number,
        _ => {
            let message = format!("{key} must be from {} to {}, not {given}", range.start(), range.end());
            fields.refuse_beside(fields.span_of(key), message);
            default
        }
    }
}

fn time(fields: &Fields<'_>, key: &'static str, default: Duration) -> Duration {
    let Some(given) = fields.duration(key) else { return default };
    match given.positive() {
        Some(time) if time <= LONGEST => time,
        _ => {
            fields.refuse_beside(fields.span_of(key), format!("{key} must be more than 0 and at most 24h"));
            default
        }
    }
}
