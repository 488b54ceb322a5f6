//! The token as everybody who uses it sees it: the latest one, and how many there were.

use std::sync::{Arc, OnceLock};

use http::HeaderValue;

use crate::{Accessor, Needles, SecretString, Token};

/// What a `watch::Receiver<TokenState>` shows. Made by auto-auth; readers only subscribe.
#[derive(Clone, Debug, Default)]
pub struct TokenState {
    /// The token to use now; none before the first login.
    pub token: Option<Arc<Token>>,
    /// Its accessor.
    pub accessor: Option<Arc<Accessor>>,
    /// Counts logins: a new number is a new token, even after a renewal of the old one.
    pub generation: u64,
    /// What there is while there is no token.
    pub instead: Option<Arc<Instead>>,
    /// What is made of token and accessor once for all requests. A new state has a new one.
    pub forms: TokenForms,
}

/// What there is while there is no token.
#[derive(Debug)]
pub enum Instead {
    /// The login's answer, wrapped by the server, as the one sink writes it.
    Wrapped(SecretString),
    /// The token of the last run, of which nobody knows yet whether it is still good.
    Last(LastToken),
}

/// A shorter token is not looked for in answers: it would be found in words. Tokens that a server has made have at least
/// 26 characters; only a person gives one such as `root`, and it is guessed before it is found.
pub const SHORTEST_SOUGHT: usize = 8;

/// A token of the last run.
#[derive(Clone, Debug)]
pub struct LastToken {
    /// The token.
    pub token: Arc<Token>,
    /// Its accessor, if it was kept.
    pub accessor: Option<Arc<Accessor>>,
    /// The server was asked about it, and gave no answer.
    pub server_is_away: bool,
}

/// Other forms of a token, made when they are first asked for and shared by all clones.
#[derive(Clone, Debug, Default)]
pub struct TokenForms(Arc<Made>);

#[derive(Default, Debug)]
struct Made {
    header: OnceLock<Option<HeaderValue>>,
    needles: OnceLock<Option<Needles>>,
    in_names: OnceLock<Option<Needles>>,
}

impl TokenState {
    /// The wrapping of the login's answer, if that is what there is.
    pub fn wrapped(&self) -> Option<&SecretString> {
        match self.instead.as_deref()? {
            Instead::Wrapped(wrapping) => Some(wrapping),
            Instead::Last(_) => None,
        }
    }

    /// The token of the last run, if that is what there is.
    pub fn last(&self) -> Option<&LastToken> {
        match self.instead.as_deref()? {
            Instead::Last(last) => Some(last),
            Instead::Wrapped(_) => None,
        }
    }

    /// With the token of the last run: good for answers from memory, and no worse than none for the server, which
    /// refuses it if it is dead.
    #[must_use]
    pub fn unchecked(&self) -> Option<Self> {
        let LastToken { token, accessor, .. } = self.last()?;
        let (token, accessor) = (Some(Arc::clone(token)), accessor.clone());
        Some(Self { token, accessor, generation: self.generation, ..Self::default() })
    }

    /// The token as a header's value.
    pub fn header(&self) -> Option<HeaderValue> {
        let made = self.forms.0.header.get_or_init(|| {
            // A `Token` fits into a header: its constructor saw to that.
            let mut value = HeaderValue::from_str(self.token.as_ref()?.expose()).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        made.clone()
    }

    /// What finds token and accessor in an answer: in values of its headers, and in its body. A token that is too short
    /// it does not find.
    pub fn needles(&self) -> Option<&Needles> {
        self.forms.0.needles.get_or_init(|| self.made(Needles::new)).as_ref()
    }

    /// What finds them in names of headers.
    pub fn needles_in_names(&self) -> Option<&Needles> {
        self.forms.0.in_names.get_or_init(|| self.made(Needles::in_names)).as_ref()
    }

    /// Whether this is the token. For where tokens are told: there a short one is told from a word.
    pub fn is_token(&self, text: &str) -> bool {
        self.token.as_ref().is_some_and(|token| token.expose() == text)
    }

    /// Whether the token is too short to be looked for ([`SHORTEST_SOUGHT`]).
    pub fn is_short(&self) -> bool {
        self.token.as_ref().is_some_and(|token| token.expose().len() < SHORTEST_SOUGHT)
    }

    fn made(&self, of: impl FnOnce(&str, Option<&str>) -> Needles) -> Option<Needles> {
        let accessor = self.accessor.as_ref().map(|accessor| accessor.expose());
        let token = self.token.as_ref()?.expose();
        Some(of(if self.is_short() { "" } else { token }, accessor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_what_was_made() {
        let state = TokenState { token: Token::new("s.canary").ok().map(Arc::new), ..TokenState::default() };
        let (one, other) = (state.header().unwrap(), state.clone().header().unwrap());
        assert_eq!(one.as_bytes().as_ptr(), other.as_bytes().as_ptr());
        assert!(state.needles().unwrap().are_in(b"x s.canary"));
        assert!(TokenState::default().header().is_none() && TokenState::default().needles().is_none());
        assert!(!format!("{state:?}").contains("canary"));
    }

    #[test]
    fn words_are_no_needles() {
        for (token, found) in [("root", false), ("vaulted", false), ("dev-root", true)] {
            let state = TokenState { token: Token::new(token).ok().map(Arc::new), ..TokenState::default() };
            assert_eq!(state.needles().unwrap().are_in(token.as_bytes()), found, "{token}");
            assert!(state.is_token(token) && state.is_short() != found);
        }
    }
}
