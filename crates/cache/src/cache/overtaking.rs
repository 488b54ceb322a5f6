//! Which reads under way a write makes old: nobody joins them any more once its answer leaves.

use std::hash::RandomState;

use vault::Request;

use crate::flight::Flights;
use crate::kv;
use crate::observe::Observation;
use crate::region::Region;

/// How far a write reaches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Reach {
    /// Everything: it may decide who may read what, or what lies where.
    All,
    /// Its mount, and what the server itself knows: of a lease it made, of who asked.
    Mount(Region),
    /// What the server itself knows.
    Server,
}

impl Reach {
    fn of(request: &Request, observation: Option<&Observation>, hasher: &RandomState) -> Self {
        match observation.is_some_and(|seen| !seen.is_renewal()) || kv::decides_for_others(request) {
            true => Self::All,
            false => Self::Mount(Region::of(request, hasher)),
        }
    }

    fn touches(self, read: Region) -> bool {
        match self {
            Self::All => true,
            Self::Mount(written) => read.is_of_server() || written.meets(read),
            Self::Server => read.is_of_server(),
        }
    }
}

/// Whether it may be answered with a token, which is known for certain with the answer alone: `…/auth/…/login…`.
fn may_be_login(path: &str) -> bool {
    path.find("/auth/").is_some_and(|at| path[at..].split('/').any(|segment| segment == "login"))
}

/// A write under way. It overtakes the reads that started before it, and, dropped, those that started before its answer
/// came or before it was given up: it may be done all the same.
pub(super) struct Overtaking<'a> {
    flights: &'a Flights,
    reach: Reach,
}

impl<'a> Overtaking<'a> {
    pub(super) fn begin(
        flights: &'a Flights,
        request: &Request,
        observation: Option<&Observation>,
        hasher: &RandomState,
    ) -> Self {
        let overtaking = Self { flights, reach: Reach::of(request, observation, hasher) };
        if !may_be_login(request.path()) {
            overtaking.now();
        }
        overtaking
    }

    /// The answer gave out a token, so nothing changed in any secrets engine. Otherwise clients of one namespace that log
    /// in would keep all others in it from sharing their reads.
    pub(super) fn gave_token(&mut self) {
        if matches!(self.reach, Reach::Mount(_)) {
            self.reach = Reach::Server;
        }
    }

    fn now(&self) {
        self.flights.overtake(|read| self.reach.touches(read));
    }
}

impl Drop for Overtaking<'_> {
    fn drop(&mut self) {
        self.now();
    }
}

#[cfg(test)]
mod tests;
