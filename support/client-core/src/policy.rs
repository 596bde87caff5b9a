//! Whether a request may be sent again.

use http::Method;

use crate::CloseReason;

/// An exchange that failed before its response was whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why the connection is closed.
    pub reason: CloseReason,
    /// The connection had been idle, or had carried an exchange, before this one.
    pub may_be_stale: bool,
    /// The kernel took at least one byte of the request.
    pub written: bool,
    /// At least one byte of a response came, even if only of a 1xx.
    pub answered: bool,
    /// The request had been sent before.
    pub retried: bool,
}

/// Whether a request may be sent again, on a fresh connection, after its connection died.
///
/// A server may close an idle connection while the client writes a request to it. The server has
/// then not seen the request, but the client cannot know that. It may repeat the request, once, if
/// no byte of a response came (RFC 9112 section 9.3.1), and if either no byte of the request was
/// written or its method is idempotent (RFC 9110 section 9.2.2). A limit of time that ran out, or
/// bytes that are no valid TLS, are no sign of a server that closed an idle connection.
pub fn may_retry(method: &Method, failure: Failure) -> bool {
    matches!(failure.reason, CloseReason::PeerClosed | CloseReason::Reset)
        && failure.may_be_stale
        && !failure.answered
        && !failure.retried
        && (!failure.written || method.is_idempotent())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALE: Failure = Failure {
        reason: CloseReason::PeerClosed,
        may_be_stale: true,
        written: true,
        answered: false,
        retried: false,
    };

    #[test]
    fn an_idempotent_request_is_repeated_once_and_only_on_a_stale_connection() {
        assert!(may_retry(&Method::GET, STALE));
        assert!(may_retry(&Method::DELETE, STALE));
        assert!(!may_retry(&Method::GET, Failure { may_be_stale: false, ..STALE }));
        assert!(!may_retry(&Method::GET, Failure { answered: true, ..STALE }));
        assert!(!may_retry(&Method::GET, Failure { retried: true, ..STALE }));
    }

    #[test]
    fn only_an_end_of_the_stream_is_a_sign_of_a_stale_connection() {
        assert!(may_retry(&Method::GET, Failure { reason: CloseReason::Reset, ..STALE }));
        for reason in [CloseReason::ProtocolError, CloseReason::Timeout] {
            assert!(!may_retry(&Method::GET, Failure { reason, ..STALE }));
        }
    }

    #[test]
    fn any_request_may_be_repeated_if_no_byte_of_it_was_written() {
        assert!(!may_retry(&Method::POST, STALE));
        assert!(!may_retry(&Method::PATCH, STALE));
        assert!(may_retry(&Method::POST, Failure { written: false, ..STALE }));
    }
}
