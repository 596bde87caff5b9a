//! Deadlines, as rotor has them: one per machine, returned with every response to the loop.
//!
//! Its rules:
//! - a response without a deadline removes the machine's timer. So every machine that goes on
//!   returns through [`suspend`], which takes the deadline as an argument;
//! - rotor does nothing if the new deadline equals the old one, even if the old one has just fired.
//!   So a deadline counts as passed at its own moment, and what has passed is acted upon: then the
//!   machine either ends or has a later deadline;
//! - rotor's clock has whole milliseconds, and adding to it can overflow. So sums are made by
//!   [`client_core::after`].

use rotor::{Response, Time};

/// The first of some deadlines, if there is one.
pub(crate) fn earliest<const N: usize>(deadlines: [Option<Time>; N]) -> Option<Time> {
    deadlines.into_iter().flatten().min()
}

/// Whether a deadline has passed.
pub(crate) fn passed(deadline: Option<Time>, now: Time) -> bool {
    deadline.is_some_and(|deadline| deadline <= now)
}

/// Suspends a machine until an event or its deadline.
pub(crate) fn suspend<M, N>(machine: M, deadline: Option<Time>) -> Response<M, N> {
    match deadline {
        Some(deadline) => Response::ok(machine).deadline(deadline),
        None => Response::ok(machine),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use client_core::after;

    use super::*;

    #[test]
    fn the_longest_span_does_not_overflow() {
        assert!(after(Time::zero(), Duration::MAX) > Time::zero());
    }

    #[test]
    fn a_deadline_has_passed_at_its_own_moment() {
        let now = after(Time::zero(), Duration::from_secs(1));
        assert!(passed(Some(now), now));
        assert!(!passed(Some(after(now, Duration::from_millis(1))), now));
        assert!(!passed(None, now));
    }
}
