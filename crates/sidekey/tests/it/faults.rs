//! Faults of the server, the net, the disk and whoever sends signals, each by its number.

#![expect(clippy::print_stdout, reason = "what was measured is told")]

mod child;
mod disk;
mod failover;
mod load;
mod names;
mod outage;
mod signals;
