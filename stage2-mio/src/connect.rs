//! The chain that makes a connection: name, addresses, race, TCP.
//!
//! Its rules:
//! - a name that is an address already asks no resolver;
//! - addresses are raced (RFC 8305): the next one is tried when the last one has had
//!   [`ATTEMPT_DELAY`] for itself, or has failed;
//! - one deadline spans the whole chain;
//! - the socket that wins keeps its token, and the losers are closed before its first byte;
//! - a resolver is foreign code: its panic fails one request, not the loop.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    panic::{AssertUnwindSafe, catch_unwind},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use client_core::{
    ATTEMPT_DELAY, AttemptError, Error, Name, Origin, Resolve, Resolving, TimeoutPhase,
    interleave, io_model,
};
use mio::net::TcpStream;

use crate::{
    connection::Connection,
    event_loop::{EventLoop, Owner, Pooled},
    framing::Readiness,
    pool::Ticket,
    slab::Key,
    timer::after,
    transport::is_connected,
};

/// A connection that is being made.
pub(crate) struct Chain {
    /// In the pool.
    pub(crate) origin: Key,
    /// The waiter for which it is made.
    pub(crate) ticket: Ticket,
    /// The sockets that race.
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
}

/// A socket that takes part in a race.
pub(crate) struct Attempt {
    pub(crate) chain: Key,
    pub(crate) address: SocketAddr,
    pub(crate) stream: TcpStream,
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
            Link::Resolve(_) => self.until,
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
    catch_unwind(AssertUnwindSafe(|| resolver.resolve(name)))
        .unwrap_or_else(|_| Box::pin(std::future::ready(Err(panicked()))))
}

/// Polls its future, which may panic. No address at all is an error.
fn poll(lookup: &mut Resolving, cx: &mut Context<'_>) -> Poll<io::Result<Vec<IpAddr>>> {
    let answer = catch_unwind(AssertUnwindSafe(|| lookup.as_mut().poll(cx)));
    answer.unwrap_or_else(|_| Poll::Ready(Err(panicked()))).map(|answer| match answer {
        Ok(addresses) if addresses.is_empty() => {
            Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
        }
        other => other,
    })
}

fn panicked() -> io::Error {
    io::Error::other("the resolver panicked")
}

// ===== impl EventLoop: one chain, from a name to a connection =====

impl EventLoop {
    /// Begins to make a connection for this waiter.
    pub(crate) fn connect(&mut self, origin: Key, ticket: Ticket) {
        let Some(target) = self.pool.origin_of(origin).cloned() else { return };
        let key = self.insert(Owner::Chain(Chain {
            link: Link::first(&target, &*self.resolver, self.now),
            waker: self.shared.waker(self.entries.vacant_key()),
            until: after(self.now, self.config.connect_timeout),
            attempts: Vec::new(),
            origin,
            ticket,
            target,
        }));
        self.go_on(key);
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
        let attempt = self.open(key, address);
        let now = self.now;
        let Some(chain) = self.chain(key) else { return };
        match attempt {
            Ok(attempt) => chain.attempts.push(attempt),
            Err(error) => chain.failed(address, error, now),
        }
    }

    fn open(&mut self, chain: Key, address: SocketAddr) -> io::Result<Key> {
        let mut stream = TcpStream::connect(address)?;
        self.watch(self.entries.vacant_key(), &mut stream)?;
        Ok(self.insert(Owner::Attempt(Attempt { chain, address, stream })))
    }

    /// A socket of a race has news.
    pub(crate) fn attempted(&mut self, key: Key, told: Readiness) {
        let Some(Owner::Attempt(attempt)) = self.entries.get(key).map(|entry| &entry.owner)
        else {
            return;
        };
        let (chain, address) = (attempt.chain, attempt.address);
        match is_connected(&attempt.stream) {
            Ok(false) => {}
            Ok(true) => self.won(key, chain, told),
            Err(error) => {
                let now = self.now;
                self.close_attempt(key);
                if let Some(chain) = self.chain(chain) {
                    chain.attempts.retain(|attempt| *attempt != key);
                    chain.failed(address, error, now);
                }
                self.go_on(chain);
            }
        }
    }

    /// The race is over. The socket that won becomes a connection under the key that it has, and
    /// serves the waiter for which it was made.
    fn won(&mut self, winner: Key, chain: Key, told: Readiness) {
        let Some(Owner::Chain(chain)) = self.remove(chain) else { return };
        for loser in chain.attempts.into_iter().filter(|attempt| *attempt != winner) {
            self.close_attempt(loser);
        }
        let number = self.next_number;
        self.next_number += 1;
        let waker = self.shared.waker(winner);
        let (config, now, origin) = (&self.config, self.now, chain.origin);
        self.entries.replace(winner, |entry| {
            entry.become_connection(|stream| {
                // If it fails, the socket does; the first write will find out.
                let _ = stream.set_nodelay(config.tcp_nodelay);
                let connection = Connection::new(stream, number, told, config, now);
                Box::new(Pooled { connection, origin, idle: None, waker })
            })
        });
        let job = self.pool.connected(origin, chain.ticket);
        self.serve(winner, job);
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
