//! Makes a connection: name, addresses, race, TCP, TLS.
//!
//! ```text
//!   Resolve ──▶ Race, of TCP ──▶ Handshake, of TLS if it is https ──▶ a connection
//!                                    ▲
//!   or a user's Dial ────────────────┘
//! ```
//!
//! Its rules:
//! - a name that is an address already asks no resolver;
//! - addresses are raced (RFC 8305): the next one is tried when the last one has had
//!   [`ATTEMPT_DELAY`] for itself, or has failed;
//! - one deadline spans all of it;
//! - the race ends with TCP. The socket that wins keeps its token, and the losers are closed before
//!   its first byte;
//! - a socket that shakes hands is asked to go on at whatever event: what it waits for is its own
//!   affair, until it can serve;
//! - parts of the user's are foreign code: their panic fails one request, not the loop.

use std::{
    convert::Infallible,
    io, mem,
    net::{IpAddr, SocketAddr},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use client_core::{
    ATTEMPT_DELAY, AttemptError, Error, Lookups, Origin, Resolving, Scheme, TimeoutPhase,
    interleave, io_model, pool::SlotId,
};
use mio::net::TcpStream;

use crate::{
    connection::Connection,
    event_loop::{EventLoop, Owner, Pooled},
    framing::Readiness,
    parts::{Dial, guard},
    slab::Key,
    timer::after,
    transport::{Stream, Transport},
};

/// A connection that is being made.
pub(crate) struct Connecting {
    /// Its slot in the pool.
    slot: SlotId,
    /// The sockets that race, or the one that shakes hands.
    attempts: Vec<Key>,
    target: Origin,
    /// When it has to be made.
    until: Instant,
    link: Link,
    /// Woken when the resolver can go on.
    waker: Waker,
}

/// How far it has come.
enum Link {
    Resolve(Resolving),
    Race(Race),
    Handshake,
}

/// A socket that is on its way to serve.
pub(crate) struct Attempt {
    /// The key of its [`Connecting`].
    connecting: Key,
    stream: Stream,
    step: Step,
    /// What the loop was told about it. What of this the handshake has used up is not known.
    pub(crate) told: Readiness,
}

/// What a socket's handshake is about.
#[derive(Clone, Copy)]
enum Step {
    /// TCP, in a race for this address.
    Tcp(SocketAddr),
    /// Whatever a user's stream needs.
    Dial,
    Tls,
}

/// What [`Connecting`] needs next.
enum Next {
    /// An event, a wake or its deadline.
    Wait,
    /// A connection to this address, to be reported by [`Connecting::failed`] if it fails.
    Try(SocketAddr),
    /// Nothing any more.
    Lost(Error),
}

impl Connecting {
    /// The next step, as far as it can be made now. `limit` is the time for all of them.
    fn next(&mut self, now: Instant, limit: Duration) -> Next {
        if self.until <= now {
            let phase = TimeoutPhase::Connect;
            return Next::Lost(Error::Timeout { phase, after: limit });
        }
        if let Link::Resolve(lookup) = &mut self.link {
            let mut cx = Context::from_waker(&self.waker);
            match lookup.as_mut().poll(&mut cx) {
                Poll::Pending => return Next::Wait,
                Poll::Ready(Err(error)) => {
                    return Next::Lost(Error::resolve(self.target.host(), error));
                }
                Poll::Ready(Ok(addresses)) => {
                    self.link = Link::Race(Race::new(addresses, self.target.port(), now));
                }
            }
        }
        let Link::Race(race) = &mut self.link else { return Next::Wait };
        match race.next(now) {
            Some(address) => Next::Try(address),
            None if race.is_lost() => Next::Lost(Error::connect(&self.target, race.failures())),
            None => Next::Wait,
        }
    }

    /// An address did not take the connection.
    fn failed(&mut self, address: SocketAddr, error: io::Error, now: Instant) {
        if let Link::Race(race) = &mut self.link {
            race.failed(AttemptError::new(address, error), now);
        }
    }

    /// When [`Connecting::next`] is to be called again in any case.
    pub(crate) fn deadline(&self) -> Instant {
        match &self.link {
            Link::Race(race) => race.due().map_or(self.until, |due| due.min(self.until)),
            Link::Resolve(_) | Link::Handshake => self.until,
        }
    }
}

impl Link {
    fn first(target: &Origin, resolver: &Lookups, now: Instant) -> Self {
        let name = target.name();
        match name.as_address() {
            Some(address) => Link::Race(Race::new(vec![address], target.port(), now)),
            None => {
                io_model!(resolve, name = name.as_str());
                Link::Resolve(resolver.resolve(name))
            }
        }
    }
}

// ===== impl EventLoop: from a name to a connection =====

impl EventLoop {
    /// Begins to make a connection for this slot.
    pub(crate) fn connect(&mut self, slot: SlotId, target: Origin) {
        let key = self.insert(Owner::Connecting(Connecting {
            link: match self.dial {
                Some(_) => Link::Handshake,
                None => Link::first(&target, &self.resolver, self.now),
            },
            waker: self.shared.waker(self.entries.vacant_key()),
            until: after(self.now, self.config.connect_timeout),
            attempts: Vec::new(),
            slot,
            target,
        }));
        self.slots.set(slot, key);
        match self.dial.clone() {
            Some(dial) => self.dial(key, &*dial),
            None => self.go_on(key),
        }
    }

    /// Goes as far as it can now.
    pub(crate) fn go_on(&mut self, key: Key) {
        loop {
            let (now, limit) = (self.now, self.config.connect_timeout);
            let Some(connecting) = self.connecting(key) else { return };
            match connecting.next(now, limit) {
                Next::Wait => return self.arm(key),
                Next::Try(address) => self.attempt(key, address),
                Next::Lost(error) => return self.lost(key, error),
            }
        }
    }

    /// Opens a socket for the race.
    fn attempt(&mut self, key: Key, address: SocketAddr) {
        io_model!(connect, address = %address);
        let begun = TcpStream::connect(address)
            .and_then(|stream| self.open(key, Stream::Tcp(stream), Step::Tcp(address)));
        if let Err(error) = begun {
            let now = self.now;
            if let Some(connecting) = self.connecting(key) {
                connecting.failed(address, error, now);
            }
        }
    }

    /// Lets the user's part open a stream.
    fn dial(&mut self, key: Key, dial: &dyn Dial) {
        let Some(target) = self.target(key) else { return };
        io_model!(connect, why = "dial");
        let begun = guard(|| dial.dial(&target))
            .flatten()
            .and_then(|stream| self.open(key, Stream::Other(stream), Step::Dial));
        match begun {
            Ok(attempt) => {
                self.arm(key);
                self.shake_hands(attempt);
            }
            Err(error) => self.lost(key, Step::Dial.error(error)),
        }
    }

    fn open(&mut self, connecting: Key, mut stream: Stream, step: Step) -> io::Result<Key> {
        self.watch(self.entries.vacant_key(), &mut stream)?;
        let told = Readiness::default();
        let key = self.insert(Owner::Attempt(Attempt { connecting, stream, step, told }));
        if let Some(connecting) = self.connecting(connecting) {
            connecting.attempts.push(key);
        }
        Ok(key)
    }

    /// Lets a socket go on with its handshake, and does what comes of it.
    pub(crate) fn shake_hands(&mut self, key: Key) {
        let Some(Owner::Attempt(attempt)) =
            self.entries.get_mut(key).map(|entry| &mut entry.owner)
        else {
            return;
        };
        let (connecting, step) = (attempt.connecting, attempt.step);
        match (attempt.stream.handshake(), step) {
            (Ok(()), Step::Tcp(_)) => self.won(key, connecting),
            (Ok(()), Step::Dial) => self.secure(key, connecting),
            (Ok(()), Step::Tls) => self.connected(key, connecting),
            (Err(error), _) => match (error.kind(), step) {
                (io::ErrorKind::WouldBlock, _) => {}
                (io::ErrorKind::Interrupted, _) => self.shake_hands(key),
                (_, Step::Tcp(address)) => self.lost_race(key, connecting, address, error),
                (_, Step::Dial | Step::Tls) => self.lost(connecting, step.error(error)),
            },
        }
    }

    /// A socket could not be connected. Others may be.
    fn lost_race(&mut self, loser: Key, key: Key, address: SocketAddr, error: io::Error) {
        let now = self.now;
        self.close_attempt(loser);
        if let Some(connecting) = self.connecting(key) {
            connecting.attempts.retain(|attempt| *attempt != loser);
            connecting.failed(address, error, now);
        }
        self.go_on(key);
    }

    /// The race is over.
    fn won(&mut self, winner: Key, key: Key) {
        let Some(connecting) = self.connecting(key) else { return };
        connecting.link = Link::Handshake;
        for loser in mem::replace(&mut connecting.attempts, vec![winner]) {
            if loser != winner {
                self.close_attempt(loser);
            }
        }
        if let Some(Owner::Attempt(attempt)) =
            self.entries.get(winner).map(|entry| &entry.owner)
            && let Stream::Tcp(stream) = &attempt.stream
        {
            // If it fails, the socket does; the first write will find out.
            let _ = stream.set_nodelay(self.config.tcp_nodelay);
        }
        self.secure(winner, key);
    }

    /// Puts TLS over a stream that is open, if its origin is to have it.
    fn secure(&mut self, key: Key, connecting: Key) {
        let Some(target) = self.target(connecting) else { return };
        if target.scheme() == Scheme::Http {
            return self.connected(key, connecting);
        }
        io_model!(tls, why = "handshake");
        let security = &self.shared.security;
        let secured = self.entries.replace(key, |entry| {
            entry.change(|attempt| {
                let stream = guard(|| security.secure(&target, attempt.stream.into_box()))?;
                let stream = Stream::Other(stream?);
                Ok(Owner::Attempt(Attempt { stream, step: Step::Tls, ..attempt }))
            })
        });
        match secured {
            Ok(()) => self.shake_hands(key),
            Err(error) => self.lost(connecting, Step::Tls.error(error)),
        }
    }

    /// A socket can serve. It becomes a connection under the key that it has.
    fn connected(&mut self, key: Key, connecting: Key) {
        let Some(Owner::Connecting(Connecting { slot, .. })) = self.remove(connecting) else {
            return;
        };
        let number = self.pool.connected(slot);
        let waker = self.shared.waker(key);
        let (config, now) = (&self.config, self.now);
        let Ok(()) = self.entries.replace(key, |entry| {
            entry.change(|Attempt { stream, told, .. }| {
                let connection = Connection::new(stream, number, told, config, now);
                let pooled = Pooled { slot, connection, waker };
                Ok::<_, Infallible>(Owner::Connection(Box::new(pooled)))
            })
        });
        self.slots.set(slot, key);
    }

    /// There is no connection to be had: the waiter that it was for is told, unless descriptors
    /// ran out and the pool lets the attempt begin again.
    fn lost(&mut self, key: Key, error: Error) {
        let Some(slot) = self.end_connecting(key) else { return };
        if error.is_out_of_descriptors() && self.pool.out_of_descriptors(slot) {
            return;
        }
        if let Some(pending) = self.pool.connect_failed(slot) {
            self.refuse(pending, error);
        }
    }

    /// Gives up, however far it has come.
    pub(crate) fn abandon(&mut self, slot: SlotId) {
        let Some(key) = self.slots.get(slot) else { return };
        if self.end_connecting(key).is_some() {
            self.pool.connect_failed(slot);
        }
    }

    /// Takes it out of the loop, with its sockets.
    fn end_connecting(&mut self, key: Key) -> Option<SlotId> {
        let Owner::Connecting(connecting) = self.remove(key)? else { return None };
        for attempt in connecting.attempts {
            self.close_attempt(attempt);
        }
        Some(connecting.slot)
    }

    fn close_attempt(&mut self, key: Key) {
        if let Some(Owner::Attempt(mut attempt)) = self.remove(key) {
            self.unwatch(&mut attempt.stream);
        }
    }

    fn connecting(&mut self, key: Key) -> Option<&mut Connecting> {
        match self.entries.get_mut(key).map(|entry| &mut entry.owner) {
            Some(Owner::Connecting(connecting)) => Some(connecting),
            _ => None,
        }
    }

    fn target(&mut self, key: Key) -> Option<Origin> {
        self.connecting(key).map(|connecting| connecting.target.clone())
    }
}

impl Step {
    /// The error when this step fails. A race has a list of failures instead.
    fn error(self, error: io::Error) -> Error {
        match self {
            Step::Tls => Error::handshake(error),
            Step::Tcp(_) | Step::Dial => Error::io("opening a stream to the origin", error),
        }
    }
}

// ===== impl Race =====

/// Which address is tried when (RFC 8305 section 5). It opens no socket and reads no clock.
#[derive(Debug)]
pub(crate) struct Race {
    addresses: Vec<SocketAddr>,
    /// How many of them have been tried.
    tried: usize,
    /// How many of those are under way.
    running: usize,
    /// When the next one is tried though another is under way.
    due: Instant,
    failures: Vec<AttemptError>,
}

impl Race {
    pub(crate) fn new(addresses: Vec<IpAddr>, port: u16, now: Instant) -> Self {
        let with_port = |ip| SocketAddr::new(ip, port);
        Race {
            addresses: interleave(addresses).into_iter().map(with_port).collect(),
            tried: 0,
            running: 0,
            due: now,
            failures: Vec::new(),
        }
    }

    /// The address to try now, if there is one.
    fn next(&mut self, now: Instant) -> Option<SocketAddr> {
        let address = *self.addresses.get(self.tried).filter(|_| self.due <= now)?;
        self.tried += 1;
        self.running += 1;
        self.due = now + ATTEMPT_DELAY;
        Some(address)
    }

    /// One has failed: the next one need not wait.
    fn failed(&mut self, error: AttemptError, now: Instant) {
        self.running -= 1;
        self.due = now;
        self.failures.push(error);
    }

    /// When there is a next address to try.
    fn due(&self) -> Option<Instant> {
        (self.tried < self.addresses.len()).then_some(self.due)
    }

    fn is_lost(&self) -> bool {
        self.running == 0 && self.tried == self.addresses.len()
    }

    /// The failures in the order of the attempts.
    fn failures(&mut self) -> Vec<AttemptError> {
        let place = |address| self.addresses.iter().position(|a| *a == address);
        self.failures.sort_by_key(|failure| place(failure.address));
        std::mem::take(&mut self.failures)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn race(list: &str, now: Instant) -> Race {
        Race::new(list.split(' ').map(|ip| ip.parse().unwrap()).collect(), 80, now)
    }

    fn refused(address: SocketAddr) -> AttemptError {
        AttemptError::new(address, io::ErrorKind::ConnectionRefused.into())
    }

    #[test]
    fn a_silent_address_delays_the_next_by_the_attempt_delay() {
        let start = Instant::now();
        let mut race = race("::1 127.0.0.1", start);
        assert_eq!(race.next(start), Some("[::1]:80".parse().unwrap()));
        assert_eq!(race.next(start), None);
        assert_eq!(race.due(), Some(start + ATTEMPT_DELAY));
        assert_eq!(race.next(start + ATTEMPT_DELAY - Duration::from_nanos(1)), None);
        assert_eq!(race.next(start + ATTEMPT_DELAY), Some("127.0.0.1:80".parse().unwrap()));
        assert_eq!((race.due(), race.is_lost()), (None, false));
    }

    #[test]
    fn a_refused_address_does_not_delay_the_next() {
        let start = Instant::now();
        let mut race = race("::1 127.0.0.1", start);
        let first = race.next(start).unwrap();
        race.failed(refused(first), start);
        assert!(!race.is_lost());
        assert_eq!(race.next(start), Some("127.0.0.1:80".parse().unwrap()));
    }

    #[test]
    fn a_lost_race_names_each_address_in_the_order_of_the_attempts() {
        let start = Instant::now();
        let mut race = race("127.0.0.1 127.0.0.2", start);
        let first = race.next(start).unwrap();
        let second = race.next(start + ATTEMPT_DELAY).unwrap();
        race.failed(refused(second), start);
        assert!(!race.is_lost());
        race.failed(refused(first), start);
        assert!(race.is_lost());
        let named: Vec<_> = race.failures().iter().map(|failure| failure.address).collect();
        assert_eq!(named, [first, second]);
    }
}
