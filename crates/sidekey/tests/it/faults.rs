//! Faults of the server and of the net, each by its number, seen from the listener.

#![expect(clippy::print_stdout, reason = "what was measured is told")]

mod failover;
mod load;
mod names;
mod outage;
