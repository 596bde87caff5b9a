//! From an origin to a stream that is open: name, addresses, race, TCP.
//!
//! A machine ([`Racer`]) asks for the addresses and starts attempts, each of which is a machine of
//! its own ([`Attempt`]), because rotor gives a machine one token, and a token tells one socket.
//! They share a [`Contest`]. The attempt that wins goes on in its place of rotor's table and with its
//! registration ([`Handshake`]), and the racer ends. If the user has replaced all this by a
//! [`Connector`], the racer itself goes on so.
//!
//! Its rules (RFC 8305 section 5):
//! - the next address is tried when the one before has failed, or after [`ATTEMPT_DELAY`];
//! - the first to connect wins; the sockets of the others are closed before it sends a byte;
//! - one deadline covers all of it, and TLS too.

use std::{
    cell::RefCell,
    io,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::Arc,
    task::{Context as TaskContext, Poll, Waker, ready},
    vec,
};

use client_core::{
    ATTEMPT_DELAY, AttemptError, Error, Lookup, TimeoutPhase, catch_panic, interleave, io_model,
};
use rotor::{EventSet, Response, Scope, Time, Void};

use crate::{
    bell::Bell,
    connector::Connector,
    event_loop::{Context, Fsm, Reply, Seed, end},
    handshake::{Handshake, Step as Shake, lose},
    pool::Target,
    timer::{after, earliest, passed, rest},
    transport::{Socket, Stream, Transport, interest, mode},
};

// ===== The race, without sockets =====

/// Which address is tried when.
pub(crate) struct Race {
    untried: vec::IntoIter<SocketAddr>,
    /// When the next attempt starts, though the others still run.
    next_at: Time,
    running: usize,
    begun: usize,
    /// With the number of the attempt, since they do not fail in order.
    failures: Vec<(usize, AttemptError)>,
}

/// What the race wants.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Start this attempt.
    Try(usize, SocketAddr),
    /// Wait for the attempts, and for this moment.
    Wait(Option<Time>),
    /// All have failed.
    Lost,
}

impl Race {
    pub(crate) fn new(addresses: Vec<IpAddr>, port: u16, now: Time) -> Self {
        let addresses = interleave(addresses).into_iter();
        let untried: Vec<_> = addresses.map(|address| SocketAddr::new(address, port)).collect();
        Race {
            untried: untried.into_iter(),
            next_at: now,
            running: 0,
            begun: 0,
            failures: Vec::new(),
        }
    }

    pub(crate) fn step(&mut self, now: Time) -> Step {
        let is_due = self.running == 0 || self.next_at <= now;
        let next = if is_due { self.untried.next() } else { None };
        if let Some(address) = next {
            let number = self.begun;
            self.begun += 1;
            self.running += 1;
            self.next_at = after(now, ATTEMPT_DELAY);
            return Step::Try(number, address);
        }
        if self.running == 0 {
            return Step::Lost;
        }
        Step::Wait((self.untried.len() > 0).then_some(self.next_at))
    }

    /// An attempt has failed: the next may start at once.
    pub(crate) fn failed(&mut self, number: usize, address: SocketAddr, error: io::Error) {
        self.running -= 1;
        self.next_at = Time::zero();
        self.failures.push((number, AttemptError::new(address, error)));
    }

    /// What each address answered, in the order of the attempts.
    fn take_failures(&mut self) -> Vec<AttemptError> {
        let mut failures = std::mem::take(&mut self.failures);
        failures.sort_by_key(|(number, _)| *number);
        failures.into_iter().map(|(_, error)| error).collect()
    }
}

// ===== The race, with sockets =====

/// What the machines of one race share. They live in one thread.
pub(crate) struct Contest {
    target: Target,
    /// For all of connecting.
    deadline: Time,
    race: Race,
    /// By the number of the attempt. A socket that is gone tells its machine to end.
    entrants: Vec<Entrant>,
    /// Wakes the racer.
    racer: Waker,
    /// Somebody won: the place belongs to a connection now.
    won: bool,
}

struct Entrant {
    address: SocketAddr,
    socket: Option<Socket>,
    waker: Option<Waker>,
}

impl Contest {
    /// Starts attempts until one has a socket. That one gets a machine.
    fn step(&mut self, now: Time, nodelay: bool) -> Step {
        loop {
            let step = self.race.step(now);
            let Step::Try(number, address) = step else { return step };
            io_model!(connect, request = self.target.request, address = %address);
            let socket = Socket::connect(address).and_then(|socket| {
                socket.set_nodelay(nodelay)?;
                Ok(socket)
            });
            let (socket, failure) = match socket {
                Ok(socket) => (Some(socket), None),
                Err(error) => (None, Some(error)),
            };
            self.entrants.push(Entrant { address, socket, waker: None });
            match failure {
                None => return step,
                Some(error) => self.race.failed(number, address, error),
            }
        }
    }

    /// An attempt has failed. Its socket is closed.
    fn failed(&mut self, number: usize, error: io::Error) {
        let entrant = &mut self.entrants[number];
        if entrant.socket.take().is_some() {
            self.race.failed(number, entrant.address, error);
            self.racer.wake_by_ref();
        }
    }

    /// An attempt has won. All other sockets are closed before this returns.
    fn won_by(&mut self, number: usize) -> Option<Socket> {
        let socket = self.entrants[number].socket.take();
        self.won = true;
        self.close();
        self.racer.wake_by_ref();
        socket
    }

    /// Closes all sockets, and lets their machines end.
    fn close(&mut self) {
        for entrant in &mut self.entrants {
            if entrant.socket.take().is_some()
                && let Some(waker) = &entrant.waker
            {
                waker.wake_by_ref();
            }
        }
    }
}

// ===== The race's machine =====

/// The machine that runs a race.
pub(crate) struct Racer {
    target: Target,
    stage: Stage,
    /// For all of connecting.
    deadline: Time,
    bell: Arc<Bell>,
    /// The bell again, as the resolver and the attempts ring it.
    waker: Waker,
}

enum Stage {
    /// All is left to a user's connector.
    Replaced(Arc<dyn Connector>),
    Resolving(Lookup),
    Racing(Rc<RefCell<Contest>>),
}

impl Racer {
    /// Begins to connect. A machine can neither end nor spawn while it is made, so the rest
    /// waits for the ring that it sends to itself.
    pub(crate) fn create(
        target: Target,
        scope: &mut Scope<'_, Context>,
    ) -> Response<Fsm, Void> {
        io_model!(spawn, request = target.request, why = "chain");
        let bell = Bell::new(scope.notifier());
        let waker = Waker::from(bell.clone());
        scope.pool.held_by(target.slot, waker.clone());
        waker.wake_by_ref();
        let deadline = after(scope.now(), scope.config.connect_timeout);
        let stage = match &scope.connector {
            Some(connector) => Stage::Replaced(connector.clone()),
            None => {
                io_model!(resolve, request = target.request, name = target.origin.host());
                Stage::Resolving(scope.resolver.resolve(target.origin.name()))
            }
        };
        Box::new(Racer { target, stage, deadline, bell, waker }).rest(None)
    }

    pub(crate) fn woken(self: Box<Self>, scope: &mut Scope<'_, Context>) -> Reply {
        self.bell.heard();
        self.step(scope)
    }

    /// The one thing that a racer does, whatever woke it.
    pub(crate) fn step(mut self: Box<Self>, scope: &mut Scope<'_, Context>) -> Reply {
        if let Stage::Racing(contest) = &self.stage
            && contest.borrow().won
        {
            return end(&self.bell);
        }
        let now = scope.now();
        if passed(Some(self.deadline), now) {
            let after = scope.config.connect_timeout;
            return self.fail(Error::Timeout { phase: TimeoutPhase::Connect, after }, scope);
        }
        if !scope.pool.is_wanted(self.target.slot) {
            return self.fail(Error::ShutDown, scope);
        }
        if let Stage::Replaced(connector) = &self.stage {
            let connector = connector.clone();
            return self.call(&*connector, scope);
        }
        let contest = match self.contest(now) {
            Poll::Ready(Ok(contest)) => contest,
            Poll::Ready(Err(error)) => return self.fail(error, scope),
            Poll::Pending => return self.rest(None),
        };
        let step = contest.borrow_mut().step(now, scope.config.tcp_nodelay);
        match step {
            Step::Try(number, _) => {
                io_model!(spawn, request = self.target.request, why = "attempt");
                Response::spawn(Fsm::Racer(self), Seed::Attempt(contest, number))
            }
            Step::Wait(next) => self.rest(next),
            Step::Lost => {
                let failures = contest.borrow_mut().race.take_failures();
                let error = Error::connect(&self.target.origin, failures);
                self.fail(error, scope)
            }
        }
    }

    /// The slab had no slot for an attempt: it counts as failed.
    pub(crate) fn spawn_failed(
        self: Box<Self>,
        contest: &RefCell<Contest>,
        number: usize,
        scope: &mut Scope<'_, Context>,
    ) -> Reply {
        let full = io::Error::other("the event loop has no slot for one more socket");
        contest.borrow_mut().failed(number, full);
        self.step(scope)
    }

    /// The contest, as soon as there are addresses.
    fn contest(&mut self, now: Time) -> Poll<Result<Rc<RefCell<Contest>>, Error>> {
        let resolving = match &mut self.stage {
            Stage::Resolving(resolving) => resolving,
            Stage::Racing(contest) => return Poll::Ready(Ok(contest.clone())),
            Stage::Replaced(_) => return Poll::Pending,
        };
        let context = &mut TaskContext::from_waker(&self.waker);
        let origin = &self.target.origin;
        let addresses = ready!(resolving.as_mut().poll(context))?;
        let contest = Rc::new(RefCell::new(Contest {
            target: self.target.clone(),
            deadline: self.deadline,
            race: Race::new(addresses, origin.port(), now),
            entrants: Vec::new(),
            racer: self.waker.clone(),
            won: false,
        }));
        self.stage = Stage::Racing(contest.clone());
        Poll::Ready(Ok(contest))
    }

    /// Lets a user's connector open the stream. The racer is then its machine.
    fn call(self, connector: &dyn Connector, scope: &mut Scope<'_, Context>) -> Reply {
        let Racer { target, deadline, bell, .. } = self;
        io_model!(connect, request = target.request, why = "connector");
        let begun =
            catch_panic(|| connector.connect(&target.origin)).flatten().and_then(|stream| {
                let stream = Stream::Other(stream);
                io_model!(register, request = target.request);
                scope.register(&stream, interest(), mode())?;
                Ok(stream)
            });
        match begun {
            Ok(stream) => Handshake::begun(stream, target, deadline, bell, scope),
            Err(error) => lose(&target, Shake::Connector.error(error), &bell, scope),
        }
    }

    fn fail(self, error: Error, scope: &mut Scope<'_, Context>) -> Reply {
        if let Stage::Racing(contest) = &self.stage {
            contest.borrow_mut().close();
        }
        lose(&self.target, error, &self.bell, scope)
    }

    /// Lies down until an attempt rings, the next is due, or the time is over.
    fn rest<N>(self: Box<Self>, next: Option<Time>) -> Response<Fsm, N> {
        let deadline = earliest([next, Some(self.deadline)]);
        rest(Fsm::Racer(self), deadline)
    }
}

// ===== An attempt's machine =====

/// The machine of one socket that is connecting.
pub(crate) struct Attempt {
    contest: Rc<RefCell<Contest>>,
    number: usize,
    bell: Arc<Bell>,
}

impl Attempt {
    /// Registers the socket, once and for all that ever follows.
    pub(crate) fn create(
        contest: Rc<RefCell<Contest>>,
        number: usize,
        scope: &mut Scope<'_, Context>,
    ) -> Response<Fsm, Void> {
        let bell = Bell::new(scope.notifier());
        let waker = Waker::from(bell.clone());
        {
            let mut contest = contest.borrow_mut();
            io_model!(register, request = contest.target.request);
            let registered = match &contest.entrants[number].socket {
                Some(socket) => scope.register(socket, interest(), mode()),
                None => Ok(()),
            };
            contest.entrants[number].waker = Some(waker.clone());
            if let Err(error) = registered {
                contest.failed(number, error);
                waker.wake(); // a machine cannot end while it is made
            }
        }
        rest(Fsm::Attempt(Box::new(Attempt { contest, number, bell })), None)
    }

    /// The socket is decided: connected or failed.
    pub(crate) fn ready(
        self: Box<Self>,
        events: EventSet,
        scope: &mut Scope<'_, Context>,
    ) -> Reply {
        let mut contest = self.contest.borrow_mut();
        io_model!(ready, request = contest.target.request, events = ?events);
        let Some(socket) = &mut contest.entrants[self.number].socket else {
            return end(&self.bell);
        };
        match socket.handshake() {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                drop(contest);
                return rest(Fsm::Attempt(self), None);
            }
            Err(error) => {
                contest.failed(self.number, error);
                return end(&self.bell);
            }
        }
        let Some(socket) = contest.won_by(self.number) else { return end(&self.bell) };
        let (target, deadline) = (contest.target.clone(), contest.deadline);
        drop(contest);
        let stream = Stream::Tcp(socket);
        Handshake::opened(stream, events.into(), target, deadline, self.bell, scope)
    }

    /// Rung because the contest is over, or for nothing.
    pub(crate) fn woken(self: Box<Self>) -> Reply {
        self.bell.heard();
        if self.contest.borrow().entrants[self.number].socket.is_none() {
            return end(&self.bell);
        }
        rest(Fsm::Attempt(self), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn race(count: u8) -> Race {
        let address = |last| IpAddr::from([127, 0, 0, last]);
        Race::new((1..=count).map(address).collect(), 80, Time::zero())
    }

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, last], 80))
    }

    fn refused() -> io::Error {
        io::ErrorKind::ConnectionRefused.into()
    }

    #[test]
    fn the_next_address_is_tried_after_the_delay() {
        let mut race = race(2);
        let (start, second) = (Time::zero(), after(Time::zero(), ATTEMPT_DELAY));
        assert_eq!(race.step(start), Step::Try(0, address(1)));
        assert_eq!(race.step(start), Step::Wait(Some(second)));
        assert_eq!(race.step(second), Step::Try(1, address(2)));
        assert_eq!(race.step(second), Step::Wait(None));
    }

    #[test]
    fn the_next_address_is_tried_at_once_when_one_has_failed() {
        let mut race = race(3);
        let start = Time::zero();
        race.step(start);
        race.failed(0, address(1), refused());
        assert_eq!(race.step(start), Step::Try(1, address(2)));
        assert_eq!(race.step(start), Step::Wait(Some(after(start, ATTEMPT_DELAY))));
    }

    #[test]
    fn a_lost_race_names_each_address_in_the_order_of_the_attempts() {
        let mut race = race(2);
        race.step(Time::zero());
        race.step(after(Time::zero(), ATTEMPT_DELAY));
        race.failed(1, address(2), refused());
        race.failed(0, address(1), refused());
        assert_eq!(race.step(Time::zero()), Step::Lost);
        let failures = race.take_failures();
        let order: Vec<_> = failures.iter().map(|failure| failure.address).collect();
        assert_eq!(order, [address(1), address(2)]);
    }
}
