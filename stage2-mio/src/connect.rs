//! The chain that makes a connection: name, addresses, race, TCP, TLS.
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
//! - one deadline spans the whole chain;
//! - the race ends with TCP. The socket that wins keeps its token, and the losers are closed before
//!   its first byte;
//! - a socket that shakes hands is asked to go on at whatever event: what it waits for is its own
//!   affair, until it can serve;
//! - a resolver and other parts of the user's are foreign code: their panic fails one request, not
//!   the loop.

use std::{
    convert::Infallible,
    io, mem,
    net::{IpAddr, SocketAddr},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use client_core::{
    ATTEMPT_DELAY, AttemptError, Error, Name, Origin, Resolve, Resolving, Scheme, TimeoutPhase,
    interleave, io_model,
};
use mio::net::TcpStream;

use crate::{
    connection::Connection,
    event_loop::{EventLoop, Owner, Pooled},
    framing::Readiness,
    parts::{Dial, guard},
    pool::Ticket,
    slab::Key,
    timer::after,
    transport::{Stream, Transport},
};

/// A connection that is being made.
pub(crate) struct Chain {
    /// In the pool.
    pub(crate) origin: Key,
    /// The waiter for which it is made.
    pub(crate) ticket: Ticket,
    /// The sockets that race, or the one that shakes hands.
    pub(crate) attempts: Vec<Key>,
    target: Origin,
    /// When it has to be made.
    until: Instant,
    link: Link,
    /// Wakes the chain when the resolver can go on.
    waker: Waker,
}

/// How far a chain has come.
enum Link {
    Resolve(Resolving),
    Race(Race),
    Handshake,
}

/// A socket that is on its way to serve.
pub(crate) struct Attempt {
    chain: Key,
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

/// What a chain needs next.
enum Next {
    /// An event, a wake or its deadline.
    Wait,
    /// A connection to this address, to be reported by [`Chain::failed`] if it fails.
    Try(SocketAddr),
    /// Nothing any more.
    Lost(Error),
}

impl Chain {
    /// The next step, as far as it can be made now. `limit` is the time for all of them.
    fn next(&mut self, now: Instant, limit: Duration) -> Next {
        if self.until <= now {
            let phase = TimeoutPhase::Connect;
            return Next::Lost(Error::Timeout { phase, after: limit });
        }
        if let Link::Resolve(lookup) = &mut self.link {
            let mut cx = Context::from_waker(&self.waker);
            match poll(lookup, &mut cx) {
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
            None if race.is_lost() => Next::Lost(Error::Connect {
                origin: self.target.to_string().into(),
                attempts: race.failures().into(),
            }),
            None => Next::Wait,
        }
    }

    /// An address did not take the connection.
    fn failed(&mut self, address: SocketAddr, error: io::Error, now: Instant) {
        if let Link::Race(race) = &mut self.link {
            race.failed(AttemptError::new(address, error), now);
        }
    }

    /// When [`Chain::next`] is to be called again in any case.
    pub(crate) fn deadline(&self) -> Instant {
        match &self.link {
            Link::Race(race) => race.due().map_or(self.until, |due| due.min(self.until)),
            Link::Resolve(_) | Link::Handshake => self.until,
        }
    }
}

impl Link {
    fn first(target: &Origin, resolver: &dyn Resolve, now: Instant) -> Self {
        let name = target.name();
        match name.as_address() {
            Some(address) => Link::Race(Race::new(vec![address], target.port(), now)),
            None => {
                io_model!(resolve, name = name.as_str());
                Link::Resolve(ask(resolver, name))
            }
        }
    }
}

/// Asks a resolver, which may panic.
fn ask(resolver: &dyn Resolve, name: Name) -> Resolving {
    guard(|| resolver.resolve(name))
        .unwrap_or_else(|error| Box::pin(std::future::ready(Err(error))))
}

/// Polls its future, which may panic. No address at all is an error.
fn poll(lookup: &mut Resolving, cx: &mut Context<'_>) -> Poll<io::Result<Vec<IpAddr>>> {
    let answer = guard(|| lookup.as_mut().poll(cx));
    answer.unwrap_or_else(|error| Poll::Ready(Err(error))).map(|answer| match answer {
        Ok(addresses) if addresses.is_empty() => {
            Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
        }
        other => other,
    })
}

// ===== impl EventLoop: one chain, from a name to a connection =====

impl EventLoop {
    /// Begins to make a connection for this waiter.
    pub(crate) fn connect(&mut self, origin: Key, ticket: Ticket) {
        let Some(target) = self.pool.origin_of(origin).cloned() else { return };
        let key = self.insert(Owner::Chain(Chain {
            link: match self.dial {
                Some(_) => Link::Handshake,
                None => Link::first(&target, &*self.resolver, self.now),
            },
            waker: self.shared.waker(self.entries.vacant_key()),
            until: after(self.now, self.config.connect_timeout),
            attempts: Vec::new(),
            origin,
            ticket,
            target,
        }));
        match self.dial.clone() {
            Some(dial) => self.dial(key, &*dial),
            None => self.go_on(key),
        }
    }

    /// Goes as far as the chain can go now.
    pub(crate) fn go_on(&mut self, key: Key) {
        loop {
            let (now, limit) = (self.now, self.config.connect_timeout);
            let Some(chain) = self.chain(key) else { return };
            match chain.next(now, limit) {
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
            if let Some(chain) = self.chain(key) {
                chain.failed(address, error, now);
            }
        }
    }

    /// Lets the user's part open a stream.
    fn dial(&mut self, key: Key, dial: &dyn Dial) {
        let Some(target) = self.chain(key).map(|chain| chain.target.clone()) else { return };
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

    fn open(&mut self, chain: Key, mut stream: Stream, step: Step) -> io::Result<Key> {
        self.watch(self.entries.vacant_key(), &mut stream)?;
        let told = Readiness::default();
        let key = self.insert(Owner::Attempt(Attempt { chain, stream, step, told }));
        if let Some(chain) = self.chain(chain) {
            chain.attempts.push(key);
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
        let (chain, step) = (attempt.chain, attempt.step);
        match (attempt.stream.handshake(), step) {
            (Ok(()), Step::Tcp(_)) => self.won(key, chain),
            (Ok(()), Step::Dial) => self.secure(key, chain),
            (Ok(()), Step::Tls) => self.connected(key, chain),
            (Err(error), _) => match (error.kind(), step) {
                (io::ErrorKind::WouldBlock, _) => {}
                (io::ErrorKind::Interrupted, _) => self.shake_hands(key),
                (_, Step::Tcp(address)) => self.lost_race(key, chain, address, error),
                (_, Step::Dial | Step::Tls) => self.lost(chain, step.error(error)),
            },
        }
    }

    /// A socket could not be connected. Others may be.
    fn lost_race(&mut self, key: Key, chain: Key, address: SocketAddr, error: io::Error) {
        let now = self.now;
        self.close_attempt(key);
        if let Some(chain) = self.chain(chain) {
            chain.attempts.retain(|attempt| *attempt != key);
            chain.failed(address, error, now);
        }
        self.go_on(chain);
    }

    /// The race is over.
    fn won(&mut self, winner: Key, key: Key) {
        let Some(chain) = self.chain(key) else { return };
        chain.link = Link::Handshake;
        for loser in mem::replace(&mut chain.attempts, vec![winner]) {
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
    fn secure(&mut self, key: Key, chain: Key) {
        let Some(target) = self.chain(chain).map(|chain| chain.target.clone()) else { return };
        if target.scheme() == Scheme::Http {
            return self.connected(key, chain);
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
            Err(error) => self.lost(chain, Step::Tls.error(error)),
        }
    }

    /// A socket can serve. It becomes a connection under the key that it has, and serves the
    /// waiter for which it was made.
    fn connected(&mut self, key: Key, chain: Key) {
        let Some(Owner::Chain(chain)) = self.remove(chain) else { return };
        let number = self.next_number;
        self.next_number += 1;
        let mut told = Readiness::default();
        let waker = self.shared.waker(key);
        let (config, now, origin) = (&self.config, self.now, chain.origin);
        let Ok(()) = self.entries.replace(key, |entry| {
            entry.change(|attempt| {
                told = attempt.told;
                let connection = Connection::new(attempt.stream, number, config, now);
                let pooled = Pooled { connection, origin, idle: None, waker };
                Ok::<_, Infallible>(Owner::Connection(Box::new(pooled)))
            })
        });
        let job = self.pool.connected(origin, chain.ticket);
        self.serve(key, job);
        // What was there to read already makes no further edge.
        self.drive(key, |connection, turn| connection.ready(told, turn));
    }

    /// There is no connection to be had: the one waiter for which it was made is told.
    fn lost(&mut self, key: Key, error: Error) {
        if let Some((origin, ticket)) = self.end_chain(key) {
            let job = self.pool.failed(origin, ticket);
            if let Some(job) = job {
                self.refuse(job, error);
            }
        }
    }

    /// While the client closes: nobody will use what these chains make.
    pub(crate) fn abort_surplus(&mut self) {
        let keys: Vec<_> = self
            .entries
            .iter()
            .filter_map(|(key, entry)| match &entry.owner {
                Owner::Chain(chain) if !self.pool.is_expecting(chain.origin, chain.ticket) => {
                    Some(key)
                }
                _ => None,
            })
            .collect();
        for key in keys {
            if let Some((origin, ticket)) = self.end_chain(key) {
                self.pool.failed(origin, ticket);
            }
        }
    }

    /// Takes a chain out of the loop, with its sockets.
    fn end_chain(&mut self, key: Key) -> Option<(Key, Ticket)> {
        let Owner::Chain(chain) = self.remove(key)? else { return None };
        for attempt in chain.attempts {
            self.close_attempt(attempt);
        }
        Some((chain.origin, chain.ticket))
    }

    fn close_attempt(&mut self, key: Key) {
        if let Some(Owner::Attempt(mut attempt)) = self.remove(key) {
            self.unwatch(&mut attempt.stream);
        }
    }

    fn chain(&mut self, key: Key) -> Option<&mut Chain> {
        match self.entries.get_mut(key).map(|entry| &mut entry.owner) {
            Some(Owner::Chain(chain)) => Some(chain),
            _ => None,
        }
    }
}

impl Step {
    /// What a chain is lost with when this step fails. A race has a list of failures instead.
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
