//! What a client is told when the server gave no answer, or none that can be handed on: the one place that knows the
//! status.

use http::{Method, Response, StatusCode};
use tracing::info;
use vault::{Body, BodyError, SendError};

use crate::route::error;

/// No answer came.
pub(crate) fn no_answer(why: &SendError) -> Response<Body> {
    let words = match why {
        SendError::Upload(_) => why.to_string(),
        why => format!("failed to get the response: {why}"),
    };
    error(status(why), &words)
}

/// A head came, and the body behind it cannot be handed on.
pub(crate) fn no_body(method: &Method, why: BodyError) -> Response<Body> {
    info!(target: "apiproxy", %method, error = %why, "an answer of the server is not handed on");
    match why {
        BodyError::Withheld(words) => not_handed_on(words),
        why => no_answer(&SendError::of_body(method.clone(), why)),
    }
}

/// An answer came that must not be handed on.
pub(crate) fn not_handed_on(words: &str) -> Response<Body> {
    error(StatusCode::BAD_GATEWAY, words)
}

fn status(why: &SendError) -> StatusCode {
    match why {
        // What was wrong with the body itself is told where the answer leaves.
        SendError::Upload(_) => StatusCode::BAD_REQUEST,
        // It did answer, and what it said is none.
        SendError::Malformed { .. } | SendError::Broken { began: true, .. } => StatusCode::BAD_GATEWAY,
        // As upstream has it.
        SendError::Broken { began: false, .. }
        | SendError::Downgrade
        | SendError::Loop { .. }
        | SendError::TimedOut(_)
        | SendError::Tls { .. }
        | SendError::Unreachable { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
