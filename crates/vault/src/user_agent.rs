//! How we introduce ourselves. The words before the slash are upstream's: servers' audit rules and their
//! tests match on them.

/// Which of the two programs we stand in for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Product {
    /// `sidekey agent`.
    Agent,
    /// `sidekey proxy`.
    Proxy,
}

impl Product {
    /// The name in configuration terms, log modules and metrics: `agent` or `proxy`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Proxy => "proxy",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Agent => "Agent",
            Self::Proxy => "Proxy",
        }
    }
}

/// Which part of the program asks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Subsystem {
    /// Logins and renewals of our own token.
    AutoAuth,
    /// Requests of clients, passed on.
    ApiProxy,
    /// Secrets for templates.
    Templating,
}

/// `Vault Agent Auto-Auth/0.1.0 (+https://www.vaultproject.io/; sidekey)`.
pub fn user_agent(product: Product, subsystem: Subsystem) -> String {
    let subsystem = match subsystem {
        Subsystem::AutoAuth => "Auto-Auth",
        Subsystem::ApiProxy => "API Proxy",
        Subsystem::Templating => "Templating",
    };
    let version = env!("CARGO_PKG_VERSION");
    format!("Vault {} {subsystem}/{version} (+https://www.vaultproject.io/; sidekey)", product.title())
}
