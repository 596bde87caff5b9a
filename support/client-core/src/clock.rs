//! Points in time of a stage's clock. This crate reads no clock.

use std::{ops::Add, time::Duration};

/// A point in time of a monotonic clock: std's or tokio's `Instant`, or rotor's `Time`.
pub trait Moment: Copy + Ord + Add<Duration, Output = Self> {}

impl<T: Copy + Ord + Add<Duration, Output = Self>> Moment for T {}

/// A longer limit of time counts as ten years, since adding it can overflow a clock.
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
