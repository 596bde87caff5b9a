//! Decisions of the pool that depend on nothing but their arguments.

use http::Method;

/// What is known of an exchange that failed before its response began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The connection had carried an exchange before this one.
    pub reused: bool,
    /// The kernel took at least one byte of the request.
    pub written: bool,
    /// At least one byte of a response came, be it of a 1xx.
    pub answered: bool,
    /// This already is the second attempt.
    pub retried: bool,
}

/// Whether a request may be sent again, on a fresh connection, after its connection died.
///
/// A server may close an idle connection at the moment at which the client reuses it. Then the
/// request was never seen, but the client cannot know. It may repeat it if no byte of it was
/// written, or if repeating does no harm (RFC 9110 section 9.2.2, idempotent methods), once, and
/// only if nothing of a response came (RFC 9112 section 9.3.1).
pub fn may_retry(method: &Method, attempt: Attempt) -> bool {
    attempt.reused
        && !attempt.answered
        && !attempt.retried
        && (!attempt.written || method.is_idempotent())
}

/// How many of `total` connections an origin may hold against others that wait: an equal share,
/// and at least one. `origins` counts those with demand (connections in use, or waiters).
pub fn entitlement(total: usize, origins: usize) -> usize {
    (total / origins.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALE: Attempt =
        Attempt { reused: true, written: true, answered: false, retried: false };

    #[test]
    fn an_idempotent_request_is_repeated_once_and_only_on_a_stale_connection() {
        assert!(may_retry(&Method::GET, STALE));
        assert!(may_retry(&Method::DELETE, STALE));
        assert!(!may_retry(&Method::GET, Attempt { reused: false, ..STALE }));
        assert!(!may_retry(&Method::GET, Attempt { answered: true, ..STALE }));
        assert!(!may_retry(&Method::GET, Attempt { retried: true, ..STALE }));
    }

    #[test]
    fn any_request_may_be_repeated_if_no_byte_of_it_was_written() {
        assert!(!may_retry(&Method::POST, STALE));
        assert!(!may_retry(&Method::PATCH, STALE));
        assert!(may_retry(&Method::POST, Attempt { written: false, ..STALE }));
    }

    #[test]
    fn shares_are_equal_and_never_zero() {
        assert_eq!(entitlement(8, 0), 8);
        assert_eq!(entitlement(8, 3), 2);
        assert_eq!(entitlement(2, 5), 1);
    }
}
