//! The room from outside: texts and folders in, settings or problems out.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, outside the test functions")]

use config::{Environment, Failure, Flags, Loaded, Loader, UnknownKeys};
use vault::Product;

mod clouds;
mod corpus;
mod diagnostics;
mod exec;
mod folders;
mod identities;
mod kerberos;
mod merge;
mod precedence;
mod properties;
mod stanzas;
mod static_secrets;

/// A configuration that is fine by itself, for tests about something else.
const AUTH: &str = r#"
auto_auth {
  method "token_file" { config = { token_file_path = "/t" } }
  sink "file" { config = { path = "/s" } }
}
"#;

/// A listener without TLS.
const LISTENER: &str = "listener \"tcp\" { tls_disable = true }\n";

/// A load in the making.
struct Load {
    product: Product,
    flags: Flags,
    environment: Environment,
    unknown_keys: UnknownKeys,
}

fn agent() -> Load {
    Load {
        product: Product::Agent,
        flags: Flags::default(),
        environment: Environment::default(),
        unknown_keys: UnknownKeys::Warn,
    }
}

fn proxy() -> Load {
    Load { product: Product::Proxy, ..agent() }
}

impl Load {
    fn flags(self, flags: Flags) -> Self {
        Self { flags, ..self }
    }

    fn environment(self, pairs: &[(&str, &str)]) -> Self {
        Self { environment: Environment::new(pairs.iter().copied()), ..self }
    }

    /// On a machine with these addresses.
    fn machine(self, make: fn(&str) -> Result<String, String>) -> Self {
        Self { environment: self.environment.with_addresses(make), ..self }
    }

    fn strict(self) -> Self {
        Self { unknown_keys: UnknownKeys::Refuse, ..self }
    }

    fn loader(&self) -> Loader<'_> {
        Loader {
            product: self.product,
            flags: &self.flags,
            environment: &self.environment,
            unknown_keys: self.unknown_keys,
        }
    }

    fn text(&self, text: impl Into<Vec<u8>>) -> Result<Loaded, Failure> {
        self.loader().load_texts([("a.hcl", text)])
    }

    #[track_caller]
    fn fine(&self, text: &str) -> Loaded {
        self.text(text).unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// The lines of a refusal.
    #[track_caller]
    fn lines(&self, text: &str) -> Vec<String> {
        match self.text(text) {
            Ok(_) => panic!("accepted: {text}"),
            Err(failure) => failure.upstream_lines(),
        }
    }

    #[track_caller]
    fn refused(&self, text: &str, line: &str) {
        let lines = self.lines(text);
        assert!(lines.iter().any(|l| l == line), "wanted {line}\ngot {lines:#?}");
    }
}
