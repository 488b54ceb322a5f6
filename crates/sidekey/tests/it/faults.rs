//! Faults of the server and of the net, each by its number, seen from the listener.

mod failover;
mod load;
mod names;
mod outage;
