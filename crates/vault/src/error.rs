//! Why no answer came.

use std::time::Duration;

use thiserror::Error;

use crate::BodyError;

/// Whether the server may have acted on a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sent {
    /// No byte of it left.
    No,
    /// Some or all of it left; the server may have acted.
    Maybe,
}

/// Why no answer came. Worded like the official client's errors, without what it would leak.
#[derive(Clone, Debug, Error)]
pub enum SendError {
    /// The server could not be reached: refused, no route, unknown name, no such socket.
    #[error("{} {address}: {reason}", operation(method))]
    Unreachable {
        /// The method of the request.
        method: http::Method,
        /// The server, with the path of the request.
        address: String,
        /// `dial tcp 127.0.0.1:8200: connect: connection refused`.
        reason: String,
    },
    /// TLS could not be agreed on, or the server's certificate was refused.
    #[error("{address}: tls: {reason}")]
    Tls {
        /// The server.
        address: String,
        /// What rustls said.
        reason: String,
    },
    /// The connection broke before an answer had come whole.
    #[error("{} {address}: {reason}", operation(method))]
    Broken {
        /// The method of the request.
        method: http::Method,
        /// The server, with the path of the request.
        address: String,
        /// What broke.
        reason: String,
        /// Whether the server may have acted.
        sent: Sent,
        /// It broke within an answer, not before one.
        began: bool,
    },
    /// What came is no answer, or can be read in two ways; it is not handed on.
    #[error("{} {address}: malformed answer: {reason}", operation(method))]
    Malformed {
        /// The method of the request.
        method: http::Method,
        /// The server, with the path of the request.
        address: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The body that was to be sent ended early.
    #[error("the request body ended early: {0}")]
    Upload(String),
    /// The answer took longer than the client timeout.
    #[error("context deadline exceeded")]
    TimedOut(Duration),
    /// A redirect that must not be followed.
    #[error("redirect would cause protocol downgrade")]
    Downgrade,
    /// The server, or where it redirects to, is a listener of ours.
    #[error(
        "{} {address}: this is a listener of this program, and asking it would go round for ever: correct the `address` in `vault`, or the server's `api_addr`",
        crate::shown(method.as_str())
    )]
    Loop {
        /// The method of the request.
        method: http::Method,
        /// The listener, with the path of the request.
        address: String,
    },
}

/// A method as the official clients' errors begin with it: `Get`.
fn operation(method: &http::Method) -> String {
    let (first, rest) = crate::shown(method.as_str()).split_at_checked(1).unwrap_or_default();
    format!("{first}{}", rest.to_ascii_lowercase())
}

impl SendError {
    /// All kinds, as [`SendError::kind`] names them.
    pub const KINDS: [&'static str; 7] =
        ["broken", "malformed", "redirect", "timeout", "tls", "unreachable", "upload"];

    /// One word for what went wrong, for metrics and status.
    pub fn kind(&self) -> &'static str {
        Self::KINDS.get(self.place()).copied().unwrap_or_default()
    }

    /// Why the body of an answer to a request with `method` could not be read.
    pub fn of_body(method: http::Method, why: BodyError) -> Self {
        let address = "the server".to_owned();
        match why {
            BodyError::Malformed(reason) => Self::Malformed { method, address, reason },
            BodyError::TooSlow(patience) => Self::TimedOut(patience),
            BodyError::Broken(_) | BodyError::TooLong(_) | BodyError::Withheld(_) => {
                Self::Broken { method, address, reason: why.to_string(), sent: Sent::Maybe, began: true }
            }
        }
    }

    /// Its place among the kinds.
    pub(crate) fn place(&self) -> usize {
        match self {
            Self::Broken { .. } => 0,
            Self::Malformed { .. } => 1,
            Self::Downgrade | Self::Loop { .. } => 2,
            Self::TimedOut(_) => 3,
            Self::Tls { .. } => 4,
            Self::Unreachable { .. } => 5,
            Self::Upload(_) => 6,
        }
    }

    /// Whether the server may have acted on the request.
    pub fn sent(&self) -> Sent {
        match self {
            Self::Unreachable { .. } | Self::Tls { .. } | Self::Loop { .. } => Sent::No,
            Self::Broken { sent, .. } => *sent,
            Self::Malformed { .. } | Self::Upload(_) | Self::TimedOut(_) | Self::Downgrade => Sent::Maybe,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_official_clients() {
        for (method, operation) in [("GET", "Get"), ("LIST", "List"), ("PUT", "Put")] {
            let method = method.parse().unwrap();
            let address = "\"http://127.0.0.1:1/v1/a\"".to_owned();
            let reason = "dial tcp 127.0.0.1:1: connect: connection refused".to_owned();
            assert_eq!(
                SendError::Unreachable { method, address, reason }.to_string(),
                format!(
                    "{operation} \"http://127.0.0.1:1/v1/a\": dial tcp 127.0.0.1:1: connect: connection refused"
                )
            );
        }
    }
}
