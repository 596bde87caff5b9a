//! Deadlines, as rotor has them: one per machine, given back with every answer.
//!
//! Its rules:
//! - an answer without a deadline takes the machine's timer away, so every way out of a machine
//!   goes through [`rest`], which cannot forget it;
//! - rotor compares the new deadline with the old one and does nothing if they are equal, even if
//!   the old one has just fired. So whoever is called at a deadline moves it or ends: a deadline
//!   counts as passed if it is not *later* than now, and what is passed is acted upon;
//! - rotor's clock has whole milliseconds, and its `+` overflows for absurd durations.

use std::time::Duration;

use rotor::{Response, Time};

/// The most that a limit of time is taken for: ten years.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The end of a span of time that begins now.
pub(crate) fn after(now: Time, span: Duration) -> Time {
    now + span.min(LONGEST)
}

/// Whichever comes first.
pub(crate) fn earliest<const N: usize>(deadlines: [Option<Time>; N]) -> Option<Time> {
    deadlines.into_iter().flatten().min()
}

/// Whether a deadline is over.
pub(crate) fn passed(deadline: Option<Time>, now: Time) -> bool {
    deadline.is_some_and(|deadline| deadline <= now)
}

/// A machine lies down until something happens, or until its deadline.
pub(crate) fn rest<M, N>(machine: M, deadline: Option<Time>) -> Response<M, N> {
    match deadline {
        Some(deadline) => Response::ok(machine).deadline(deadline),
        None => Response::ok(machine),
    }
}

#[cfg(test)]
mod tests {
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
