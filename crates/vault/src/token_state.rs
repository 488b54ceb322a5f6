//! The token as everybody who uses it sees it: the latest one, and how many there were.

use std::sync::Arc;

use crate::{Accessor, SecretString, Token};

/// What a `watch::Receiver<TokenState>` shows. Made by auto-auth; readers only subscribe.
#[derive(Clone, Debug, Default)]
pub struct TokenState {
    /// The token to use now; none before the first login.
    pub token: Option<Arc<Token>>,
    /// Its accessor.
    pub accessor: Option<Arc<Accessor>>,
    /// Instead of a token: where the login's answer is wrapped by the server, the wrapping as the one sink writes it.
    pub wrapped: Option<Arc<SecretString>>,
    /// Counts logins: a new number is a new token, even after a renewal of the old one.
    pub generation: u64,
}
