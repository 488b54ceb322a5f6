//! What a client can do that a listener does not accept: one list, for answers, logs and counters alike.

use http::StatusCode;

/// A bound that was crossed or a rule that was broken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Breach {
    /// The request's body paused for too long.
    BodyPause,
    /// The request's body is too large.
    BodySize,
    /// The request's body took too long as a whole.
    BodyTime,
    /// The bodies of all requests together are too large.
    BufferedBodies,
    /// Too many connections; somebody's idle one was closed, or new ones had to wait.
    Connections,
    /// Too many connections of one client.
    ConnectionsPerClient,
    /// A client whose certificate says none of the names that are allowed.
    ClientName,
    /// The bytes can be read in more than one way; says what is wrong with them.
    Framing(&'static str),
    /// A TLS handshake that failed, or was no TLS at all.
    Handshake,
    /// Too many header fields.
    HeaderCount,
    /// The head is too large.
    HeaderSize,
    /// The head did not arrive in time.
    HeaderTime,
    /// An idle connection was closed.
    Idle,
    /// A method that is not served.
    Method,
    /// A process that may not use this unix socket.
    Peer,
    /// One client asks too often.
    Rate,
    /// Too many requests under way.
    Requests,
    /// Too many requests of one client under way.
    RequestsPerClient,
    /// A request that the listener's `allow` rules do not allow.
    Rule,
    /// The request's target is too long.
    TargetSize,
    /// A version of HTTP that is not spoken.
    Version,
    /// The client did not take its answer in time.
    WriteTime,
}

impl Breach {
    /// How many kinds there are.
    pub const KINDS: usize = 22;

    /// Its place among the kinds, and its name in metrics.
    fn place(self) -> (usize, &'static str) {
        match self {
            Self::BodyPause => (0, "body_pause"),
            Self::BodySize => (1, "body_size"),
            Self::BodyTime => (2, "body_time"),
            Self::BufferedBodies => (3, "buffered_bodies"),
            Self::ClientName => (4, "client_name"),
            Self::Connections => (5, "connections"),
            Self::ConnectionsPerClient => (6, "connections_per_client"),
            Self::Framing(_) => (7, "framing"),
            Self::Handshake => (8, "handshake"),
            Self::HeaderCount => (9, "header_count"),
            Self::HeaderSize => (10, "header_size"),
            Self::HeaderTime => (11, "header_time"),
            Self::Idle => (12, "idle"),
            Self::Method => (13, "method"),
            Self::Peer => (14, "peer"),
            Self::Rate => (15, "rate"),
            Self::Requests => (16, "requests"),
            Self::RequestsPerClient => (17, "requests_per_client"),
            Self::Rule => (18, "rule"),
            Self::TargetSize => (19, "target_size"),
            Self::Version => (20, "version"),
            Self::WriteTime => (21, "write_time"),
        }
    }

    /// Its place among all kinds, below [`Breach::KINDS`].
    pub fn index(self) -> usize {
        self.place().0
    }

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        self.place().1
    }

    /// The answer's status, where there is an answer.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::BodyPause | Self::BodyTime | Self::HeaderTime => StatusCode::REQUEST_TIMEOUT,
            Self::BodySize => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Peer | Self::Rule => StatusCode::FORBIDDEN,
            Self::Rate => StatusCode::TOO_MANY_REQUESTS,
            Self::BufferedBodies | Self::Requests | Self::RequestsPerClient => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::HeaderCount | Self::HeaderSize => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::TargetSize => StatusCode::URI_TOO_LONG,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// What is wrong, for the client.
    pub(crate) fn why(self) -> &'static str {
        match self {
            Self::BodyPause | Self::BodyTime => "the request body did not arrive in time",
            Self::BodySize => "the request body is too large; see max_request_body",
            Self::BufferedBodies => {
                "too many request bodies at the same time; try again, or see max_buffered_bodies"
            }
            Self::Framing(why) => why,
            Self::HeaderCount => "too many header fields; see max_request_headers",
            Self::HeaderSize => "the request's head is too large; see max_request_header_size",
            Self::Method => "CONNECT is not served here",
            Self::Peer => {
                "the process that has connected has ended or runs another program; see allowed_executables"
            }
            Self::Rate => "too many requests of this client; try again, or see rate_limit",
            Self::Requests => "too many requests under way; try again, or see max_requests",
            Self::RequestsPerClient => {
                "too many requests of this client under way; try again, or see max_requests_per_client"
            }
            Self::Rule => "the `allow` rules of this listener do not allow this request",
            Self::TargetSize => "the request target is too long; see max_request_target",
            Self::Version => "this version of HTTP is not spoken here",
            Self::ClientName
            | Self::Connections
            | Self::ConnectionsPerClient
            | Self::Handshake
            | Self::HeaderTime
            | Self::Idle
            | Self::WriteTime => "the connection is closed",
        }
    }

    /// Whether the same request may fare better in a moment.
    pub(crate) fn passes(self) -> bool {
        matches!(self.status(), StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
    }

    /// Whether nothing that follows on an HTTP/1 connection can be trusted or wanted.
    pub(crate) fn ends_connection(self) -> bool {
        !matches!(self, Self::Rate | Self::Requests | Self::RequestsPerClient | Self::Rule)
    }
}
