//! Happy Eyeballs: when each address of a name is tried (RFC 8305).

use std::{
    mem,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use crate::{AttemptError, clock::Moment};

/// How long a candidate is tried alone before the next one is tried beside it: the recommended
/// "Connection Attempt Delay" of RFC 8305 section 5.
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Mixes the address families: the resolver's first choice first, then the families in turn, each
/// in the resolver's own order, each address once.
///
/// So one silent family delays the other by one [`ATTEMPT_DELAY`], and not by as many as it has
/// addresses (RFC 8305 section 4, with a "First Address Family Count" of one).
pub fn interleave(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let Some(first) = addresses.first().copied() else { return addresses };
    let total = addresses.len();
    let (same, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|a| a.is_ipv4() == first.is_ipv4());
    let (mut same, mut other) = (same.into_iter(), other.into_iter());
    let mut mixed = Vec::with_capacity(total);
    loop {
        let pair = [same.next(), other.next()];
        if pair == [None, None] {
            return mixed;
        }
        for address in pair.into_iter().flatten() {
            if !mixed.contains(&address) {
                mixed.push(address);
            }
        }
    }
}

/// Decides when each candidate is tried (RFC 8305 section 5). Opens no socket and reads no clock.
///
/// The next candidate is tried when the one before has failed, or [`ATTEMPT_DELAY`] after it was
/// started. The first candidate that connects wins; the client then closes the others.
#[derive(Debug)]
pub struct HappyEyeballs<T> {
    candidates: Vec<SocketAddr>,
    /// How many candidates have been started.
    started: usize,
    /// How many of those have neither failed nor won.
    running: usize,
    /// When the next candidate is started, even if another one is still running.
    due: T,
    failures: Vec<AttemptError>,
}

impl<T: Moment> HappyEyeballs<T> {
    /// A race between these addresses, as the resolver returned them.
    pub fn new(addresses: Vec<IpAddr>, port: u16, now: T) -> Self {
        let candidates = interleave(addresses);
        let candidates = candidates.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
        HappyEyeballs { candidates, started: 0, running: 0, due: now, failures: Vec::new() }
    }

    /// The candidate to start now, if there is one. Call it again until it returns `None`.
    pub fn start_next(&mut self, now: T) -> Option<SocketAddr> {
        let candidate = *self.candidates.get(self.started).filter(|_| self.due <= now)?;
        self.started += 1;
        self.running += 1;
        self.due = now + ATTEMPT_DELAY;
        Some(candidate)
    }

    /// A candidate has failed: the next one may start at once.
    pub fn failed(&mut self, failure: AttemptError, now: T) {
        self.running -= 1;
        self.due = now;
        self.failures.push(failure);
    }

    /// When [`HappyEyeballs::start_next`] has the next candidate. `None` if all were started.
    pub fn due(&self) -> Option<T> {
        (self.started < self.candidates.len()).then_some(self.due)
    }

    /// Whether every candidate has failed.
    pub fn is_lost(&self) -> bool {
        self.running == 0 && self.started == self.candidates.len()
    }

    /// Takes the failures, in the order of the candidates.
    pub fn take_failures(&mut self) -> Vec<AttemptError> {
        let rank = |address| self.candidates.iter().position(|other| *other == address);
        self.failures.sort_by_key(|failure| rank(failure.address));
        mem::take(&mut self.failures)
    }
}

#[cfg(test)]
mod tests {
    use std::{io, time::Instant};

    use super::*;

    fn parse(list: &str) -> Vec<IpAddr> {
        list.split_whitespace().map(|a| a.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns_and_the_first_choice_stays_first() {
        assert_eq!(interleave(parse("::1 ::2 ::3 1.1.1.1")), parse("::1 1.1.1.1 ::2 ::3"));
        assert_eq!(interleave(parse("1.1.1.1 2.2.2.2 ::1")), parse("1.1.1.1 ::1 2.2.2.2"));
        assert_eq!(interleave(parse("")), parse(""));
    }

    #[test]
    fn an_address_given_twice_is_tried_once() {
        assert_eq!(interleave(parse("1.1.1.1 1.1.1.1 ::1 ::1")), parse("1.1.1.1 ::1"));
    }

    fn race(list: &str, now: Instant) -> HappyEyeballs<Instant> {
        HappyEyeballs::new(parse(list), 80, now)
    }

    fn refused(address: SocketAddr) -> AttemptError {
        AttemptError::new(address, io::ErrorKind::ConnectionRefused.into())
    }

    #[test]
    fn a_silent_candidate_delays_the_next_by_the_attempt_delay() {
        let start = Instant::now();
        let mut race = race("::1 127.0.0.1", start);
        assert_eq!(race.start_next(start), Some("[::1]:80".parse().unwrap()));
        assert_eq!(race.start_next(start), None);
        assert_eq!(race.due(), Some(start + ATTEMPT_DELAY));
        assert_eq!(race.start_next(start + ATTEMPT_DELAY - Duration::from_nanos(1)), None);
        let second = race.start_next(start + ATTEMPT_DELAY);
        assert_eq!(second, Some("127.0.0.1:80".parse().unwrap()));
        assert_eq!((race.due(), race.is_lost()), (None, false));
    }

    #[test]
    fn a_refused_candidate_does_not_delay_the_next() {
        let start = Instant::now();
        let mut race = race("::1 127.0.0.1", start);
        let first = race.start_next(start).unwrap();
        race.failed(refused(first), start);
        assert!(!race.is_lost());
        assert_eq!(race.start_next(start), Some("127.0.0.1:80".parse().unwrap()));
    }

    #[test]
    fn failures_are_listed_in_the_order_of_the_candidates() {
        let start = Instant::now();
        let mut race = race("127.0.0.1 127.0.0.2", start);
        let first = race.start_next(start).unwrap();
        let second = race.start_next(start + ATTEMPT_DELAY).unwrap();
        race.failed(refused(second), start);
        assert!(!race.is_lost());
        race.failed(refused(first), start);
        assert!(race.is_lost());
        let listed: Vec<_> = race.take_failures().iter().map(|f| f.address).collect();
        assert_eq!(listed, [first, second]);
    }
}
