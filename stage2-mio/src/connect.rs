//! Establishes a connection: name, addresses, TCP, TLS.
//!
//! ```text
//!   Resolving ──▶ Racing, a handshake for each candidate ──▶ Handshaking, TLS if it is https
//!                                                               ▲
//!   or a user's connector ──────────────────────────────────────┘
//! ```
//!
//! Its rules:
//! - a name that is an address needs no resolver;
//! - the addresses are the candidates of a race ([`HappyEyeballs`]), each with a socket of its own.
//!   The race ends with TCP: the socket that wins keeps its key, and the others are closed before it
//!   sends its first byte;
//! - one deadline covers all steps;
//! - a handshake is called at each event, whatever the socket is ready for, until the stream can
//!   serve;
//! - a user's code may panic. One request fails by it, and not the loop.

use std::{
    io, mem,
    net::SocketAddr,
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use client_core::{
    AttemptError, Error, HappyEyeballs, Lookup, Lookups, Origin, Scheme, TimeoutPhase, after,
    catch_panic, io_model, pool::SlotId,
};

use crate::{
    connection::Connection,
    connector::Connector,
    event_loop::{EventLoop, Owner, PooledConnection, watch},
    framing::Readiness,
    tls,
    token::Key,
    transport::{Socket, Stream, Transport},
};

/// A connection that is being established.
pub(crate) struct Connecting {
    slot: SlotId,
    target: Origin,
    state: State,
    /// The candidates of the race, or the one stream whose handshake is under way.
    handshakes: Vec<Key>,
    /// When the connection has to be established.
    until: Instant,
    /// Woken when the resolver can continue.
    waker: Waker,
}

/// The step that is under way.
enum State {
    Resolving(Lookup),
    Racing(HappyEyeballs<Instant>),
    Handshaking,
}

/// A stream that cannot serve yet.
pub(crate) struct Handshake {
    /// The key of its [`Connecting`].
    connecting: Key,
    stream: Stream,
    layer: Layer,
    /// What its events have reported. The handshake may have used some of it up.
    pub(crate) readiness: Readiness,
}

/// Whose handshake it is.
#[derive(Clone, Copy)]
enum Layer {
    /// TCP's, for the candidate with this address.
    Candidate(SocketAddr),
    /// That of a stream from a user's connector.
    Connector,
    Tls,
}

impl Connecting {
    /// Goes as far as it can without a socket: returns the candidate to start now, or why there is
    /// no connection. `limit` is the length of the deadline.
    fn poll_candidate(
        &mut self,
        now: Instant,
        limit: Duration,
    ) -> Poll<Result<SocketAddr, Error>> {
        if self.until <= now {
            let phase = TimeoutPhase::Connect;
            return Poll::Ready(Err(Error::Timeout { phase, after: limit }));
        }
        if let State::Resolving(lookup) = &mut self.state {
            let found = ready!(lookup.as_mut().poll(&mut Context::from_waker(&self.waker)))?;
            self.state = State::Racing(HappyEyeballs::new(found, self.target.port(), now));
        }
        let State::Racing(race) = &mut self.state else { return Poll::Pending };
        match race.start_next(now) {
            Some(candidate) => Poll::Ready(Ok(candidate)),
            None if race.is_lost() => {
                Poll::Ready(Err(Error::connect(&self.target, race.take_failures())))
            }
            None => Poll::Pending,
        }
    }

    /// A candidate has failed.
    fn failed(&mut self, candidate: SocketAddr, error: io::Error, now: Instant) {
        if let State::Racing(race) = &mut self.state {
            race.failed(AttemptError::new(candidate, error), now);
        }
    }

    /// When [`Connecting::poll_candidate`] is to be called again.
    pub(crate) fn deadline(&self) -> Instant {
        match &self.state {
            State::Racing(race) => race.due().map_or(self.until, |due| due.min(self.until)),
            State::Resolving(_) | State::Handshaking => self.until,
        }
    }
}

impl State {
    fn first(target: &Origin, lookups: &Lookups, now: Instant) -> Self {
        let name = target.name();
        match name.as_address() {
            Some(address) => {
                State::Racing(HappyEyeballs::new(vec![address], target.port(), now))
            }
            None => {
                io_model!(resolve, name = name.as_str());
                State::Resolving(lookups.resolve(name))
            }
        }
    }
}

impl Layer {
    /// The error if this handshake fails. A race lists the failures of its candidates instead.
    fn error(self, error: io::Error) -> Error {
        match self {
            Layer::Tls => Error::handshake(error),
            Layer::Candidate(_) | Layer::Connector => {
                Error::io("opening a stream to the origin", error)
            }
        }
    }
}

// ===== impl EventLoop: from a name to a connection =====

impl EventLoop {
    /// Starts to establish a connection for this slot.
    pub(crate) fn connect(&mut self, slot: SlotId, target: Origin) {
        let state = match self.connector {
            Some(_) => State::Handshaking,
            None => State::first(&target, &self.lookups, self.now),
        };
        let until = after(self.now, self.config.connect_timeout);
        let key = self.entries.insert_with_key(|key| {
            let (handshakes, waker) = (Vec::new(), self.shared.waker(key));
            Owner::Connecting(Connecting { slot, target, state, handshakes, until, waker })
                .into()
        });
        self.slots.set(slot, key);
        match self.connector.clone() {
            Some(connector) => self.call(key, &*connector),
            None => self.continue_connecting(key),
        }
    }

    /// Goes as far as it can now.
    pub(crate) fn continue_connecting(&mut self, key: Key) {
        loop {
            let (now, limit) = (self.now, self.config.connect_timeout);
            let Some(connecting) = self.connecting(key) else { return };
            match connecting.poll_candidate(now, limit) {
                Poll::Pending => return self.arm(key),
                Poll::Ready(Ok(candidate)) => self.start_candidate(key, candidate),
                Poll::Ready(Err(error)) => return self.connect_failed(key, error),
            }
        }
    }

    /// Opens the socket of a candidate.
    fn start_candidate(&mut self, key: Key, address: SocketAddr) {
        io_model!(connect, address = %address);
        let started = Socket::connect(address, self.config.tcp_nodelay).and_then(|stream| {
            self.add_handshake(key, Stream::Tcp(stream), Layer::Candidate(address))
        });
        if let Err(error) = started {
            let now = self.now;
            if let Some(connecting) = self.connecting(key) {
                connecting.failed(address, error, now);
            }
        }
    }

    /// Lets the user's connector open a stream.
    fn call(&mut self, key: Key, connector: &dyn Connector) {
        let Some(target) = self.target(key) else { return };
        io_model!(connect, why = "connector");
        let started = catch_panic(|| connector.connect(&target)).flatten().and_then(|stream| {
            self.add_handshake(key, Stream::Other(stream), Layer::Connector)
        });
        match started {
            Ok(handshake) => {
                self.arm(key);
                self.handshake(handshake);
            }
            Err(error) => self.connect_failed(key, Layer::Connector.error(error)),
        }
    }

    /// Registers a stream that cannot serve yet.
    fn add_handshake(
        &mut self,
        connecting: Key,
        mut stream: Stream,
        layer: Layer,
    ) -> io::Result<Key> {
        let registry = self.poll.registry();
        let key = self.entries.try_insert_with_key(|key| {
            watch(registry, key, &mut stream)?;
            let readiness = Readiness::default();
            let handshake = Handshake { connecting, stream, layer, readiness };
            Ok::<_, io::Error>(Owner::Handshake(handshake).into())
        })?;
        if let Some(connecting) = self.connecting(connecting) {
            connecting.handshakes.push(key);
        }
        Ok(key)
    }

    /// Continues a handshake, and takes the next step if it is done.
    pub(crate) fn handshake(&mut self, key: Key) {
        let Some(Owner::Handshake(handshake)) = self.owner(key) else { return };
        let (connecting, layer) = (handshake.connecting, handshake.layer);
        match (handshake.stream.handshake(), layer) {
            (Ok(()), Layer::Candidate(_)) => self.candidate_won(key, connecting),
            (Ok(()), Layer::Connector) => self.secure(key, connecting),
            (Ok(()), Layer::Tls) => self.connected(key, connecting),
            (Err(error), _) => match (error.kind(), layer) {
                (io::ErrorKind::WouldBlock, _) => {}
                (io::ErrorKind::Interrupted, _) => self.handshake(key),
                (_, Layer::Candidate(address)) => {
                    self.candidate_failed(key, connecting, address, error);
                }
                _ => self.connect_failed(connecting, layer.error(error)),
            },
        }
    }

    /// A candidate has failed. The others go on.
    fn candidate_failed(
        &mut self,
        loser: Key,
        key: Key,
        address: SocketAddr,
        error: io::Error,
    ) {
        let now = self.now;
        self.close_handshake(loser);
        if let Some(connecting) = self.connecting(key) {
            connecting.handshakes.retain(|handshake| *handshake != loser);
            connecting.failed(address, error, now);
        }
        self.continue_connecting(key);
    }

    /// A candidate has connected. The race is over.
    fn candidate_won(&mut self, winner: Key, key: Key) {
        let Some(connecting) = self.connecting(key) else { return };
        connecting.state = State::Handshaking;
        for loser in mem::replace(&mut connecting.handshakes, vec![winner]) {
            if loser != winner {
                self.close_handshake(loser);
            }
        }
        self.secure(winner, key);
    }

    /// Puts TLS over an open stream, if its origin is https.
    fn secure(&mut self, key: Key, connecting: Key) {
        let Some(target) = self.target(connecting) else { return };
        if target.scheme() == Scheme::Http {
            return self.connected(key, connecting);
        }
        io_model!(tls, why = "handshake");
        let Some(handshake) = self.take_handshake(key) else { return };
        match tls::connect(&self.shared.tls, &target, handshake.stream) {
            Ok(stream) => {
                let handshake = Handshake { stream, layer: Layer::Tls, ..handshake };
                self.set_owner(key, Owner::Handshake(handshake));
                self.handshake(key);
            }
            Err(error) => self.connect_failed(connecting, Layer::Tls.error(error)),
        }
    }

    /// A stream can serve. It becomes a connection, under the key that it has.
    fn connected(&mut self, key: Key, connecting: Key) {
        let Some(Owner::Connecting(Connecting { slot, .. })) = self.remove(connecting) else {
            return;
        };
        let Some(Handshake { stream, readiness, .. }) = self.take_handshake(key) else {
            return;
        };
        let number = self.pool.connected(slot);
        let connection = Connection::new(stream, number, readiness, &self.config, self.now);
        let waker = self.shared.waker(key);
        let pooled = PooledConnection { slot, connection, waker };
        self.set_owner(key, Owner::Connection(Box::new(pooled)));
        self.slots.set(slot, key);
    }

    /// No connection can be established. If descriptors ran out, the pool may start it again;
    /// otherwise the waiter that it was for gets the error.
    fn connect_failed(&mut self, key: Key, error: Error) {
        let Some(slot) = self.end_connecting(key) else { return };
        if error.is_out_of_descriptors() && self.pool.out_of_descriptors(slot) {
            return;
        }
        if let Some(pending) = self.pool.connect_failed(slot) {
            self.refuse(pending, error);
        }
    }

    /// Gives up a connection that is being established.
    pub(crate) fn abandon(&mut self, slot: SlotId) {
        let Some(key) = self.slots.get(slot) else { return };
        if self.end_connecting(key).is_some() {
            self.pool.connect_failed(slot);
        }
    }

    /// Removes a [`Connecting`] with its sockets. Returns its slot.
    fn end_connecting(&mut self, key: Key) -> Option<SlotId> {
        let Owner::Connecting(connecting) = self.remove(key)? else { return None };
        for handshake in connecting.handshakes {
            self.close_handshake(handshake);
        }
        Some(connecting.slot)
    }

    fn close_handshake(&mut self, key: Key) {
        if let Some(Owner::Handshake(mut handshake)) = self.remove(key) {
            self.unwatch(&mut handshake.stream);
        }
    }

    /// Takes a handshake out of its entry, which then waits for what becomes of the stream.
    fn take_handshake(&mut self, key: Key) -> Option<Handshake> {
        let owner = self.owner(key)?;
        match mem::replace(owner, Owner::Moved) {
            Owner::Handshake(handshake) => Some(handshake),
            other => {
                *owner = other;
                None
            }
        }
    }

    fn connecting(&mut self, key: Key) -> Option<&mut Connecting> {
        match self.owner(key) {
            Some(Owner::Connecting(connecting)) => Some(connecting),
            _ => None,
        }
    }

    fn target(&mut self, key: Key) -> Option<Origin> {
        self.connecting(key).map(|connecting| connecting.target.clone())
    }
}
