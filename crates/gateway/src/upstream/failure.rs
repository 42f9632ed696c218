//! Why there is no answer, and what the client is told.

use policy::Reject;

/// How long a client should wait that met a limit, in seconds.
const OVERLOADED_RETRY_S: u64 = 1;

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection could be made.
    Unreachable,
    /// The two ends of TLS do not trust each other.
    Untrusted,
    /// The connection broke, or what came was not HTTP.
    Failed,
    /// No answer in time.
    TimedOut,
    /// It is to be a WebSocket, and the backend takes none.
    NoTunnel,
    /// A limit of the backend's circuit breaker is reached.
    Overloaded(Limited),
    /// The circuit is open, for so many milliseconds more.
    CircuitOpen(u64),
    /// The client's body is larger than allowed.
    BodyTooLarge,
    /// The client's body comes too slowly.
    BodyTooSlow,
    /// The client's body broke off.
    BodyBroken,
}

/// Which limit of a circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limited {
    /// Calls at a time.
    Requests(u32),
    /// Calls that wait for a connection.
    Pending(u32),
}

impl Failure {
    /// What the client is told.
    pub(crate) fn reject(self) -> Reject {
        use base::code;
        match self {
            Self::Unreachable => Reject::new(
                code::BACKEND_UNREACHABLE,
                "no connection to the backend could be made",
            ),
            Self::Untrusted => Reject::new(
                code::BACKEND_TLS_FAILED,
                "the backend and the gateway do not trust each other",
            ),
            Self::Failed => Reject::new(
                code::BACKEND_FAILED,
                "the connection to the backend broke before its answer was there",
            ),
            Self::TimedOut => {
                Reject::new(code::BACKEND_TIMEOUT, "the backend did not answer in time")
            }
            Self::NoTunnel => Reject::new(
                code::UPGRADE_NOT_SUPPORTED,
                "the backend speaks HTTP/2 alone and takes no WebSockets there",
            ),
            Self::Overloaded(limited) => {
                let (rule, max) = match limited {
                    Limited::Requests(max) => ("circuit-breaker-requests", max),
                    Limited::Pending(max) => ("circuit-breaker-pending", max),
                };
                Reject::new(
                    code::BACKEND_OVERLOADED,
                    "the backend has as many calls as it may have",
                )
                .retry_after(OVERLOADED_RETRY_S)
                .because(rule)
                .fact("calls", max.to_string(), format!("fewer than {max}"))
            }
            Self::CircuitOpen(left_ms) => Reject::new(
                code::BACKEND_CIRCUIT_OPEN,
                "too many calls to the backend failed, it is not called for a while",
            )
            .retry_after(left_ms.div_ceil(1000).max(1))
            .because("circuit-closed")
            .fact("circuit", opened(left_ms), "closed"),
            Self::BodyTooLarge => Reject::new(
                code::BODY_TOO_LARGE,
                "the request's body is larger than this gateway takes",
            )
            .close(),
            Self::BodyTooSlow => {
                Reject::new(code::REQUEST_TIMEOUT, "the request's body came too slowly").close()
            }
            Self::BodyBroken => Reject::new(
                code::BAD_REQUEST_FRAMING,
                "the request's body broke off or is malformed",
            )
            .close(),
        }
    }
}

fn opened(left_ms: u64) -> String {
    match left_ms {
        0 => "half-open, its probes are under way".to_owned(),
        left_ms => format!("open for {left_ms}ms more"),
    }
}
