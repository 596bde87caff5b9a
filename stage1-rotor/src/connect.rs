//! From an origin to a stream that is open: name, addresses, Happy Eyeballs, TCP.
//!
//! rotor gives each machine one token, and a token stands for one socket. So connecting is a machine
//! ([`Connecting`]) that gets the addresses and starts the candidates, and each candidate is a machine
//! of its own ([`CandidateMachine`]). They share a [`Race`]. The candidate that connects becomes the
//! handshake, then the connection, and the other machines end. If the user has replaced all this by
//! a [`Connector`], `Connecting` itself becomes the handshake.
//!
//! Its rules:
//! - whatever wakes a machine, it looks at everything that it waits for;
//! - one deadline covers all of it, and the handshake too.

use std::{
    cell::RefCell,
    io,
    rc::Rc,
    sync::Arc,
    task::{Context as TaskContext, Poll, Waker, ready},
};

use client_core::{Error, HappyEyeballs, Lookup, after, catch_panic, io_model};
use rotor::{EventSet, Scope, Time};

use crate::{
    connector::Connector,
    machine::{Attempt, Context, Layer, Opened, Seed, Transition},
    notifier::Notifier,
    pool::Target,
    race::Race,
    timer::earliest,
    transport::{Readiness, Stream, Transport, interest, mode},
};

// ===== the machine of an attempt =====

/// The machine that starts candidates until one of them connects.
pub(crate) struct Connecting {
    attempt: Attempt,
    state: State,
    /// Notifies this machine, for the resolver and the candidates.
    waker: Waker,
}

enum State {
    /// All is left to a user's connector.
    Replaced(Arc<dyn Connector>),
    Resolving(Lookup),
    Racing(Rc<RefCell<Race>>),
}

impl Connecting {
    /// Begins to connect. In rotor a machine can neither end nor start another one while it is
    /// made. So it notifies itself, and goes on then. Returns its deadline too.
    pub(crate) fn create(target: Target, scope: &mut Scope<'_, Context>) -> (Box<Self>, Time) {
        io_model!(spawn, request = target.request, why = "connecting");
        let notifier = Notifier::new(scope.notifier());
        let waker = Waker::from(notifier.clone());
        scope.pool.set_machine(target.slot, waker.clone());
        notifier.notify();
        let deadline = after(scope.now(), scope.config.connect_timeout);
        let state = match &scope.connector {
            Some(connector) => State::Replaced(connector.clone()),
            None => {
                io_model!(resolve, request = target.request, name = target.origin.host());
                State::Resolving(scope.resolver.resolve(target.origin.name()))
            }
        };
        let attempt = Attempt { target, deadline, notifier };
        (Box::new(Connecting { attempt, state, waker }), deadline)
    }

    pub(crate) fn notified(
        self: Box<Self>,
        scope: &mut Scope<'_, Context>,
    ) -> Transition<Self> {
        self.attempt.notifier.rearm();
        self.proceed(scope)
    }

    /// Goes on as far as it can.
    pub(crate) fn proceed(
        mut self: Box<Self>,
        scope: &mut Scope<'_, Context>,
    ) -> Transition<Self> {
        if let State::Racing(race) = &self.state
            && race.borrow().is_won()
        {
            return Transition::end(&self.attempt.notifier);
        }
        if let Some(error) = self.attempt.stopped(scope) {
            return self.fail(error, scope);
        }
        if let State::Replaced(connector) = &self.state {
            let connector = connector.clone();
            return self.connect(&*connector, scope);
        }
        let now = scope.now();
        let race = match self.race(now) {
            Poll::Ready(Ok(race)) => race,
            Poll::Ready(Err(error)) => return self.fail(error, scope),
            Poll::Pending => return self.suspend(None),
        };
        let started = race.borrow_mut().start_next(now, scope.config.tcp_nodelay);
        if let Some(number) = started {
            io_model!(spawn, request = self.attempt.target.request, why = "candidate");
            return Transition::Spawn(self, Seed::Candidate(race, number));
        }
        let lost = race.borrow_mut().lost();
        match lost {
            Some(error) => self.fail(error, scope),
            None => self.suspend(race.borrow().due()),
        }
    }

    /// rotor had no slot for a candidate: that one has failed.
    pub(crate) fn not_spawned(
        self: Box<Self>,
        race: &RefCell<Race>,
        number: usize,
        scope: &mut Scope<'_, Context>,
    ) -> Transition<Self> {
        let full = io::Error::other("the event loop has no slot for one more socket");
        race.borrow_mut().failed(number, full, scope.now());
        self.proceed(scope)
    }

    /// The race, as soon as there are addresses.
    fn race(&mut self, now: Time) -> Poll<Result<Rc<RefCell<Race>>, Error>> {
        let resolving = match &mut self.state {
            State::Resolving(resolving) => resolving,
            State::Racing(race) => return Poll::Ready(Ok(race.clone())),
            State::Replaced(_) => return Poll::Pending,
        };
        let Attempt { target, deadline, .. } = &self.attempt;
        let context = &mut TaskContext::from_waker(&self.waker);
        let addresses = ready!(resolving.as_mut().poll(context))?;
        let order = HappyEyeballs::new(addresses, target.origin.port(), now);
        let race = Race::new(target.clone(), *deadline, order, self.waker.clone());
        let race = Rc::new(RefCell::new(race));
        self.state = State::Racing(race.clone());
        Poll::Ready(Ok(race))
    }

    /// Lets a user's connector open the stream.
    fn connect(
        self,
        connector: &dyn Connector,
        scope: &mut Scope<'_, Context>,
    ) -> Transition<Self> {
        let attempt = self.attempt;
        io_model!(connect, request = attempt.target.request, why = "connector");
        let opened = catch_panic(|| connector.connect(&attempt.target.origin)).flatten();
        let registered = opened.and_then(|stream| {
            let stream = Stream::Other(stream);
            io_model!(register, request = attempt.target.request);
            scope.register(&stream, interest(), mode())?;
            Ok(stream)
        });
        match registered {
            Ok(stream) => {
                let ready = Readiness { writable: true, ..Readiness::default() };
                Transition::Handshake(Opened { attempt, stream, ready }, Layer::Connector)
            }
            Err(error) => attempt.fail(Layer::Connector.error(error), scope),
        }
    }

    fn fail(self, error: Error, scope: &mut Scope<'_, Context>) -> Transition<Self> {
        if let State::Racing(race) = &self.state {
            race.borrow_mut().close();
        }
        self.attempt.fail(error, scope)
    }

    /// Suspends until it is notified, the next candidate is due, or the deadline has passed.
    fn suspend(self: Box<Self>, due: Option<Time>) -> Transition<Self> {
        let deadline = earliest([due, Some(self.attempt.deadline)]);
        Transition::Suspend(self, deadline)
    }
}

// ===== the machine of a candidate =====

/// The machine of one socket that is connecting.
pub(crate) struct CandidateMachine {
    race: Rc<RefCell<Race>>,
    number: usize,
    notifier: Arc<Notifier>,
}

impl CandidateMachine {
    /// Registers the socket, once for its whole life.
    pub(crate) fn create(
        race: Rc<RefCell<Race>>,
        number: usize,
        scope: &mut Scope<'_, Context>,
    ) -> Box<Self> {
        let notifier = Notifier::new(scope.notifier());
        {
            let race = &mut *race.borrow_mut();
            io_model!(register, request = race.target.request);
            race.set_machine(number, Waker::from(notifier.clone()));
            let registered = match race.socket(number) {
                Some(socket) => scope.register(socket, interest(), mode()),
                None => Ok(()),
            };
            if let Err(error) = registered {
                race.failed(number, error, scope.now());
                notifier.notify(); // A machine cannot end while it is made.
            }
        }
        Box::new(CandidateMachine { race, number, notifier })
    }

    /// The socket has connected, or has failed to.
    pub(crate) fn ready(
        self: Box<Self>,
        events: EventSet,
        scope: &mut Scope<'_, Context>,
    ) -> Transition<Self> {
        let mut race = self.race.borrow_mut();
        io_model!(ready, request = race.target.request, events = ?events);
        match race.socket(self.number).map(Transport::handshake) {
            None => return Transition::end(&self.notifier),
            Some(Ok(())) => {}
            Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                drop(race);
                return Transition::Suspend(self, None);
            }
            Some(Err(error)) => {
                race.failed(self.number, error, scope.now());
                return Transition::end(&self.notifier);
            }
        }
        let Some(socket) = race.win(self.number) else {
            return Transition::end(&self.notifier);
        };
        let (target, deadline) = (race.target.clone(), race.deadline);
        drop(race);
        let attempt = Attempt { target, deadline, notifier: self.notifier };
        let (stream, ready) = (Stream::Tcp(socket), events.into());
        Transition::Handshake(Opened { attempt, stream, ready }, Layer::Tls)
    }

    /// Ends if the race is over.
    pub(crate) fn notified(self: Box<Self>) -> Transition<Self> {
        self.notifier.rearm();
        if self.race.borrow_mut().socket(self.number).is_none() {
            return Transition::end(&self.notifier);
        }
        Transition::Suspend(self, None)
    }
}
