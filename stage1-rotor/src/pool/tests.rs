//! Between the policy's decisions and the machines: no loop, no socket, and a clock that
//! moves only when a test moves it.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll, Wake},
    time::Duration,
};

use client_core::{ErrorKind, Outgoing};
use http::Request;

use super::*;
use crate::{oneshot, pending::ReplyReceiver};

/// A machine, as far as a pool knows it: how often it was woken.
#[derive(Default)]
struct Machine(AtomicUsize);

impl Wake for Machine {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Machine {
    /// Whether it was woken since the last question.
    fn was_woken(&self) -> bool {
        self.0.swap(0, Ordering::Relaxed) > 0
    }
}

/// A pool, its machine, and the callers of the requests that it has seen.
struct Scene {
    pool: Pool,
    machine: Arc<Machine>,
    callers: Vec<ReplyReceiver>,
    now: Time,
}

/// A connection's slot, and the machine that it has.
type Connected = (SlotId, Arc<Machine>);

fn scene(config: Config) -> Scene {
    let machine = Arc::<Machine>::default();
    let pool = Pool::new(Arc::new(config), Arc::default(), machine.clone().into());
    Scene { pool, machine, callers: Vec::new(), now: Time::zero() }
}

fn one() -> Config {
    Config::new().max_per_origin(1).max_total(1)
}

impl Scene {
    /// A request asks for a connection. Returns its number.
    fn ask(&mut self, url: &str) -> usize {
        let number = self.callers.len();
        let request = Request::get(url).body(Default::default()).unwrap();
        let (sender, receiver) = oneshot::channel();
        let pending =
            PendingRequest::new(number as u64, Outgoing::new(request).unwrap(), sender);
        self.callers.push(receiver);
        self.pool.checkout(pending, self.now);
        number
    }

    /// The caller of a request gives up while it waits.
    fn give_up(&mut self, number: usize) {
        let Some(Holder::Waiter(waiter)) = self.callers[number].cancel() else {
            panic!("expected the pool to be notified");
        };
        self.pool.cancel(waiter);
    }

    /// Connecting succeeds for the next slot.
    fn connect(&mut self) -> (Connected, Order) {
        let target = self.pool.next_target().expect("something to connect to");
        let machine = Arc::<Machine>::default();
        let (_, order) = self.pool.connected(target.slot, machine.clone().into());
        ((target.slot, machine), order)
    }

    /// A connection in the middle of an exchange.
    fn busy(&mut self, url: &str) -> (Connected, PendingRequest) {
        self.ask(url);
        let (connected, order) = self.connect();
        self.machine.was_woken();
        (connected, pending(order).expect("a request to serve"))
    }

    fn idle(&mut self, url: &str) -> Connected {
        let (connected, _) = self.busy(url);
        assert!(matches!(self.pool.checkin(connected.0), Order::Idle));
        connected
    }

    /// The kind of error that a call was completed with, if it was.
    fn error(&mut self, number: usize) -> Option<ErrorKind> {
        match self.callers[number].poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => Some(answer.unwrap().unwrap_err().kind()),
            Poll::Pending => None,
        }
    }

    fn stats(&self) -> PoolStats {
        self.pool.publish();
        self.pool.published.lock().unwrap().clone()
    }
}

fn pending(order: Order) -> Option<PendingRequest> {
    match order {
        Order::Serve(pending) => Some(pending),
        Order::Idle | Order::Close(_) => None,
    }
}

/// The number of the request that is to be served.
fn served(order: Order) -> Option<usize> {
    pending(order).map(|pending| pending.number as usize)
}

// ===== hand-over =====

#[test]
fn a_machine_that_was_woken_asks_and_gets_the_request() {
    let mut scene = scene(Config::new());
    let (slot, machine) = scene.idle("http://a/");
    let number = scene.ask("http://a/");
    assert!(machine.was_woken());
    assert_eq!(scene.stats().waiting, 1, "until the machine comes");
    assert_eq!(served(scene.pool.order(slot)), Some(number));
    assert_eq!((scene.stats().waiting, scene.stats().reused), (0, 1));
}

#[test]
fn a_machine_that_is_woken_for_nothing_stays_idle() {
    let mut scene = scene(Config::new());
    let (slot, _) = scene.idle("http://a/");
    assert!(matches!(scene.pool.order(slot), Order::Idle));
    assert_eq!(scene.stats().idle, 1);
}

#[test]
fn a_machine_that_becomes_free_takes_the_next_request_without_being_woken() {
    let mut scene = scene(one());
    let ((slot, machine), _) = scene.busy("http://a/");
    let waiting = scene.ask("http://a/");
    assert_eq!(served(scene.pool.checkin(slot)), Some(waiting));
    assert!(!machine.was_woken());
    assert!(!scene.machine.was_woken());
}

#[test]
fn a_machine_that_becomes_free_wakes_none_though_it_must_close() {
    let mut scene = scene(one());
    let ((slot, machine), _) = scene.busy("http://a/");
    scene.ask("http://b/");
    assert!(matches!(scene.pool.checkin(slot), Order::Close(CloseReason::Evicted)));
    assert!(!machine.was_woken());
    assert!(scene.pool.next_target().is_none(), "the socket is still open");
    scene.pool.closed(slot, CloseReason::Evicted, None);
    assert!(scene.machine.was_woken());
    assert!(scene.pool.next_target().is_some());
}

#[test]
fn an_idle_machine_that_must_close_is_woken() {
    let mut scene = scene(one());
    let (slot, machine) = scene.idle("http://a/");
    scene.ask("http://b/");
    assert!(machine.was_woken());
    assert!(matches!(scene.pool.order(slot), Order::Close(CloseReason::Evicted)));
}

#[test]
fn a_reserved_connection_that_dies_loses_no_request() {
    let mut scene = scene(Config::new());
    let (slot, _) = scene.idle("http://a/");
    let number = scene.ask("http://a/");
    scene.pool.closed(slot, CloseReason::PeerClosed, None);
    assert!(scene.machine.was_woken(), "to connect once more");
    assert_eq!(served(scene.connect().1), Some(number));
}

// ===== callers that give up =====

#[test]
fn a_caller_that_gave_up_before_its_request_was_seen_takes_nothing() {
    let mut scene = scene(Config::new());
    let request = Request::get("http://a/").body(Default::default()).unwrap();
    let (sender, mut receiver) = oneshot::channel();
    assert!(receiver.cancel().is_none());
    let pending = PendingRequest::new(0, Outgoing::new(request).unwrap(), sender);
    scene.pool.checkout(pending, scene.now);
    assert!(scene.pool.next_target().is_none());
    assert_eq!(scene.stats(), PoolStats::default());
}

#[test]
fn a_caller_that_gives_up_while_it_waits_is_forgotten() {
    let mut scene = scene(one());
    let ((slot, _), _) = scene.busy("http://a/");
    let [first, second] = [scene.ask("http://a/"), scene.ask("http://a/")];
    scene.give_up(first);
    assert_eq!(scene.stats().waiting, 1);
    assert_eq!(served(scene.pool.checkin(slot)), Some(second));
}

#[test]
fn a_caller_that_gives_up_while_it_is_served_wakes_the_machine() {
    let mut scene = scene(Config::new());
    let ((_, machine), pending) = scene.busy("http://a/");
    let Some(Holder::Connection(waker)) = scene.callers[0].cancel() else {
        panic!("expected the machine to be notified");
    };
    waker.wake();
    assert!(machine.was_woken() && pending.reply.is_closed());
}

#[test]
fn a_reserved_connection_whose_caller_gave_up_goes_to_the_next() {
    let mut scene = scene(one());
    let (slot, _) = scene.idle("http://a/");
    let [first, second] = [scene.ask("http://a/"), scene.ask("http://a/")];
    scene.callers[first].cancel();
    assert_eq!(served(scene.pool.order(slot)), Some(second));
    scene.pool.checkin(slot);
    let third = scene.ask("http://a/");
    scene.callers[third].cancel();
    assert!(matches!(scene.pool.order(slot), Order::Idle));
    assert_eq!((scene.stats().idle, scene.stats().waiting), (1, 0));
}

#[test]
fn a_request_whose_caller_gave_up_is_not_sent_again() {
    let mut scene = scene(Config::new());
    let ((slot, _), pending) = scene.busy("http://a/");
    scene.callers[0].cancel();
    scene.pool.closed(slot, CloseReason::Reset, Some(pending));
    assert!(scene.pool.next_target().is_none());
    assert_eq!((scene.stats().retried, scene.stats().closed(CloseReason::Reset)), (0, 1));
}

// ===== connecting =====

#[test]
fn connecting_that_is_abandoned_before_it_has_a_machine_never_starts() {
    let mut scene = scene(one());
    let gone = scene.ask("http://a/");
    scene.give_up(gone);
    scene.ask("http://b/");
    let target = scene.pool.next_target().unwrap();
    assert_eq!(target.origin.host(), "b");
    assert_eq!(scene.stats().connecting, 1);
}

#[test]
fn connecting_that_is_abandoned_wakes_its_machine_and_frees_its_slot() {
    let mut scene = scene(one());
    let gone = scene.ask("http://a/");
    let slot = scene.pool.next_target().unwrap().slot;
    let machine = Arc::<Machine>::default();
    scene.pool.set_machine(slot, machine.clone().into());
    scene.give_up(gone);
    assert!(scene.pool.is_wanted(slot), "nothing else needs the slot");
    scene.ask("http://b/");
    assert!(machine.was_woken() && !scene.pool.is_wanted(slot));
    scene.pool.failed(slot, Error::ShutDown);
    assert!(scene.machine.was_woken());
    assert_eq!(scene.pool.next_target().unwrap().origin.host(), "b");
}

#[test]
fn a_failure_to_connect_is_the_error_of_the_waiter_that_the_connection_was_for() {
    let mut scene = scene(one());
    let [first, second] = [scene.ask("http://a/"), scene.ask("http://a/")];
    let target = scene.pool.next_target().unwrap();
    scene.pool.failed(target.slot, Error::invalid("no"));
    assert_eq!(scene.error(first), Some(ErrorKind::InvalidRequest));
    assert_eq!(scene.error(second), None);
    assert!(scene.machine.was_woken());
    assert_eq!(served(scene.connect().1), Some(second));
}

#[test]
fn connecting_that_finds_no_descriptor_starts_again_when_an_idle_connection_is_closed() {
    let exhausted = || Error::io("opening a socket", std::io::Error::from_raw_os_error(24));
    let mut scene = scene(Config::new());
    let (idle, machine) = scene.idle("http://a/");
    let number = scene.ask("http://b/");
    let slot = scene.pool.next_target().unwrap().slot;
    scene.pool.failed(slot, exhausted());
    assert!(machine.was_woken() && scene.pool.next_target().is_none());
    assert_eq!(scene.error(number), None);
    assert!(matches!(scene.pool.order(idle), Order::Close(CloseReason::Evicted)));
    scene.pool.closed(idle, CloseReason::Evicted, None);
    assert!(scene.machine.was_woken());
    let again = scene.pool.next_target().unwrap().slot;
    scene.pool.failed(again, exhausted());
    assert_eq!(scene.error(number), Some(ErrorKind::Io));
}

#[test]
fn a_request_is_refused_when_too_many_wait() {
    let mut scene = scene(one().max_waiting(1));
    let numbers = [0; 4].map(|_| scene.ask("http://a/"));
    let busy = Some(ErrorKind::PoolBusy);
    assert_eq!(numbers.map(|number| scene.error(number)), [None, None, busy, busy]);
}

// ===== deadlines =====

#[test]
fn a_waiter_whose_total_timeout_passes_fails() {
    let mut scene = scene(one().total_timeout(Duration::from_secs(1)));
    scene.busy("http://a/");
    let waiting = scene.ask("http://a/");
    let deadline = scene.pool.deadline().unwrap();
    assert_eq!(deadline, after(scene.now, Duration::from_secs(1)));
    scene.pool.expire(deadline);
    assert_eq!(scene.error(waiting), Some(ErrorKind::Timeout));
    assert_eq!((scene.pool.deadline(), scene.stats().waiting), (None, 0));
}

#[test]
fn a_request_that_is_served_has_no_deadline_in_the_pool() {
    let mut scene = scene(one().total_timeout(Duration::from_secs(1)));
    let ((slot, _), pending) = scene.busy("http://a/");
    assert_eq!(scene.pool.deadline(), None);
    assert!(pending.deadline.is_some(), "the connection has it");
    scene.ask("http://a/");
    scene.pool.checkin(slot);
    assert_eq!(scene.pool.deadline(), None);
}

#[test]
fn a_request_that_is_to_be_sent_again_keeps_its_deadline() {
    let mut scene = scene(one().total_timeout(Duration::from_secs(1)));
    let ((slot, _), pending) = scene.busy("http://a/");
    let deadline = pending.deadline;
    scene.pool.closed(slot, CloseReason::Reset, Some(pending));
    assert_eq!(scene.pool.deadline(), deadline);
    assert!(scene.machine.was_woken(), "its timer has to be set");
    assert_eq!((scene.stats().retried, scene.stats().waiting), (1, 1));
}

// ===== the end =====

#[test]
fn the_last_connection_of_a_closed_pool_wakes_the_pools_machine() {
    let mut scene = scene(Config::new().max_per_origin(1));
    let ((busy, _), _) = scene.busy("http://a/");
    let (idle, machine) = scene.idle("http://b/");
    let waiting = scene.ask("http://a/");
    scene.pool.close();
    assert!(machine.was_woken());
    assert!(matches!(scene.pool.order(idle), Order::Close(CloseReason::ClientClosed)));
    scene.pool.closed(idle, CloseReason::ClientClosed, None);
    assert_eq!(served(scene.pool.checkin(busy)), Some(waiting));
    assert!(matches!(scene.pool.checkin(busy), Order::Close(CloseReason::ClientClosed)));
    assert!(!scene.machine.was_woken() && !scene.pool.is_over());
    scene.pool.closed(busy, CloseReason::ClientClosed, None);
    assert!(scene.machine.was_woken() && scene.pool.is_over());
}

// ===== recordings =====

/// What is recorded, as lines of text.
#[derive(Clone, Default)]
struct Recorded(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Recorded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is recorded while a connection is idle, expires, and another one is reset.
fn record_two_connections() -> String {
    let recorded = Recorded::default();
    let writer = recorded.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        // Another test may be registering one of the events while this subscriber comes, and the
        // event would then stay switched off.
        tracing::callsite::rebuild_interest_cache();
        let mut scene = scene(Config::new());
        let (slot, _) = scene.idle("http://a/");
        scene.pool.closed(slot, CloseReason::IdleExpired, None);
        let ((slot, _), pending) = scene.busy("http://a/");
        scene.pool.closed(slot, CloseReason::Reset, Some(pending));
    });
    String::from_utf8(recorded.0.lock().unwrap().clone()).unwrap()
}

#[test]
fn what_happens_to_a_connection_is_recorded_with_its_number() {
    let events = [
        r#"what="checkout" request=0 connection=1"#,
        r#"what="checkin" connection=1"#,
        r#"what="close" connection=1 why="idle-expired""#,
        r#"what="close" connection=2 why="reset""#,
    ];
    // The second time, this thread itself has registered the events.
    let lines = [record_two_connections(), record_two_connections()];
    for event in events {
        assert!(lines.iter().any(|l| l.contains(event)), "expected {event} in:\n{lines:?}");
    }
}
