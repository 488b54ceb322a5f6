//! The token as everybody who uses it sees it: the latest one, and how many there were.

use std::sync::Arc;

use crate::{Accessor, Token};

/// What a `watch::Receiver<TokenState>` shows. Made by auto-auth; readers only subscribe.
#[derive(Clone, Debug, Default)]
pub struct TokenState {
    /// The token to use now; none before the first login.
    pub token: Option<Arc<Token>>,
    /// Its accessor.
    pub accessor: Option<Arc<Accessor>>,
    /// Counts logins: a new number is a new token, even after a renewal of the old one.
    pub generation: u64,
}
