//! Names in a realm.

use std::fmt;

/// Somebody a realm knows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Principal {
    pub(super) realm: String,
    /// `HTTP`, `vault.example.com`.
    pub(super) names: Vec<String>,
}

impl Principal {
    /// `name` has its parts behind slashes.
    pub(super) fn new(realm: &str, name: &str) -> Self {
        Self { realm: realm.to_owned(), names: name.split('/').map(str::to_owned).collect() }
    }

    /// Who gives tickets in `realm` for use at `for_realm`.
    pub(super) fn ticket_service(realm: &str, for_realm: &str) -> Self {
        Self { realm: realm.to_owned(), names: vec![TICKET_SERVICE.to_owned(), for_realm.to_owned()] }
    }

    /// The realm a ticket of this name leads to, when it is one for getting tickets.
    pub(super) fn leads_to(&self) -> Option<&str> {
        match self.names.as_slice() {
            [service, realm] if service == TICKET_SERVICE => Some(realm),
            _ => None,
        }
    }

    /// The machine in a service's name, without its port.
    pub(super) fn host(&self) -> &str {
        let last = self.names.last().map_or("", String::as_str);
        last.split(':').next().unwrap_or_default()
    }
}

const TICKET_SERVICE: &str = "krbtgt";

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.names.join("/"), self.realm)
    }
}
