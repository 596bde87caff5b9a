//! Points in time, of whatever clock a stage has: the crate reads none itself.

use std::{ops::Add, time::Duration};

/// A point in time of a monotonic clock: std's or tokio's `Instant`, or rotor's `Time`.
pub trait Moment: Copy + Ord + Add<Duration, Output = Self> {}

impl<T: Copy + Ord + Add<Duration, Output = Self>> Moment for T {}

/// The longest that a limit of time is taken for: ten years. Adding more can overflow a clock.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The end of a span of time that begins now.
pub fn after<T: Moment>(now: T, span: Duration) -> T {
    now + span.min(LONGEST)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn the_longest_span_does_not_overflow() {
        let now = Instant::now();
        assert!(after(now, Duration::MAX) > now);
    }
}
