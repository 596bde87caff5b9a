//! The policy alone: no loop, no socket, and a clock that only moves when a test moves it.

use std::time::Duration;

use client_core::{ErrorKind, Outgoing};
use http::Request;
use proptest::prelude::*;

use super::*;
use crate::call::{Call, GivenUp};

/// A pool, and the callers that it has seen.
struct Scene {
    pool: Pool,
    calls: Vec<Arc<Call>>,
    /// Those that are being served.
    jobs: Vec<Job>,
    now: Time,
}

fn scene(config: Config) -> Scene {
    let pool = Pool::new(Arc::new(config), Arc::default(), Waker::noop().clone());
    Scene { pool, calls: Vec::new(), jobs: Vec::new(), now: Time::zero() }
}

impl Scene {
    /// A caller asks; its number.
    fn ask(&mut self, url: &str) -> Ticket {
        let ticket = self.calls.len() as Ticket;
        let request = Request::get(url).body(Default::default()).unwrap();
        let call = Call::new(ticket, Outgoing::new(request).unwrap());
        self.calls.push(call.clone());
        self.pool.checkout(Job::new(call), self.now);
        ticket
    }

    /// The next chain connects; its place, and whom it serves.
    fn connect(&mut self) -> (PlaceId, Option<Ticket>) {
        let chain = self.pool.next_chain().expect("a chain to be started");
        let (_, turn) = self.pool.connected(chain.place, Waker::noop().clone());
        (chain.place, self.served(turn))
    }

    /// A caller asks, and is served by a connection of its own.
    fn hold(&mut self, url: &str) -> PlaceId {
        let ticket = self.ask(url);
        let (place, served) = self.connect();
        assert_eq!(served, Some(ticket));
        place
    }

    fn checkin(&mut self, place: PlaceId) -> Option<Ticket> {
        let turn = self.pool.checkin(place);
        self.served(turn)
    }

    fn woken(&mut self, place: PlaceId) -> Option<Ticket> {
        let turn = self.pool.woken(place);
        self.served(turn)
    }

    /// Whom a turn serves. A turn that closes is a failure of the test.
    fn served(&mut self, turn: Turn) -> Option<Ticket> {
        match turn {
            Turn::Serve(job) => {
                let ticket = job.ticket();
                self.jobs.push(job);
                Some(ticket)
            }
            Turn::Rest => None,
            Turn::Close(reason) => panic!("told to close: {reason}"),
        }
    }

    /// The kind of error that a caller got, if it got an answer.
    fn error(&self, ticket: Ticket) -> Option<ErrorKind> {
        let mut context = std::task::Context::from_waker(Waker::noop());
        match self.calls[ticket as usize].poll_answer(&mut context) {
            std::task::Poll::Ready(answer) => Some(answer.unwrap_err().kind()),
            std::task::Poll::Pending => None,
        }
    }

    fn stats(&self) -> PoolStats {
        self.pool.publish();
        self.pool.published.lock().unwrap().clone()
    }
}

fn told(turn: Turn) -> Option<CloseReason> {
    match turn {
        Turn::Close(reason) => Some(reason),
        Turn::Serve(_) | Turn::Rest => None,
    }
}

fn one() -> Config {
    Config::new().max_per_origin(1).max_total(1)
}

#[test]
fn waiters_are_served_first_come_first_served() {
    let mut scene = scene(one());
    let place = scene.hold("http://a/");
    let waiting: Vec<_> = (0..3).map(|_| scene.ask("http://a/")).collect();
    let served: Vec<_> = (0..3).map(|_| scene.checkin(place).unwrap()).collect();
    assert_eq!(served, waiting);
    assert_eq!(scene.checkin(place), None);
    assert_eq!(scene.stats().reused, 3);
}

#[test]
fn a_cancelled_waiter_is_skipped() {
    let mut scene = scene(one());
    let place = scene.hold("http://a/");
    let [first, second] = [scene.ask("http://a/"), scene.ask("http://a/")];
    let call = scene.calls[first as usize].clone();
    call.give_up();
    scene.pool.cancel(&call.outgoing.origin, first);
    assert_eq!(scene.stats().waiting, 1);
    assert_eq!(scene.checkin(place), Some(second));
}

#[test]
fn a_caller_that_gave_up_before_it_was_seen_takes_nothing() {
    let mut scene = scene(one());
    let request = Request::get("http://a/").body(Default::default()).unwrap();
    let call = Call::new(0, Outgoing::new(request).unwrap());
    call.give_up();
    scene.pool.checkout(Job::new(call), scene.now);
    assert!(scene.pool.next_chain().is_none());
    assert_eq!(scene.stats(), PoolStats::default());
}

#[test]
fn a_freed_connection_goes_to_the_oldest_waiter() {
    let mut scene = scene(Config::new().max_per_origin(2));
    let place = scene.hold("http://a/");
    let waiting = [scene.ask("http://a/"), scene.ask("http://a/")];
    // A chain is being made for the first of the two, but the connection is there sooner.
    assert_eq!(scene.checkin(place), Some(waiting[0]));
    let (_, served) = scene.connect();
    assert_eq!(served, Some(waiting[1]));
}

#[test]
fn a_chain_whose_waiter_was_served_becomes_idle() {
    let mut scene = scene(Config::new().max_per_origin(2));
    let place = scene.hold("http://a/");
    let waiting = scene.ask("http://a/");
    assert_eq!(scene.checkin(place), Some(waiting));
    assert_eq!(scene.connect().1, None);
    assert_eq!((scene.stats().idle, scene.stats().in_use), (1, 1));
}

#[test]
fn the_most_recently_used_idle_connection_is_taken_first() {
    let mut scene = scene(Config::new());
    let [first, second] = [scene.hold("http://a/"), scene.hold("http://a/")];
    scene.checkin(second);
    scene.checkin(first);
    let ticket = scene.ask("http://a/");
    assert_eq!(scene.woken(second), None, "a ring for nothing");
    assert_eq!(scene.woken(first), Some(ticket));
}

#[test]
fn a_promised_connection_that_dies_loses_no_request() {
    let mut scene = scene(Config::new());
    let place = scene.hold("http://a/");
    scene.checkin(place);
    let ticket = scene.ask("http://a/");
    assert!(scene.pool.next_chain().is_none(), "the idle connection is to serve it");
    scene.pool.closed(place, CloseReason::PeerClosed);
    assert_eq!(scene.connect().1, Some(ticket));
}

#[test]
fn a_promised_connection_whose_caller_gave_up_is_idle_again() {
    let mut scene = scene(Config::new());
    let place = scene.hold("http://a/");
    scene.checkin(place);
    let ticket = scene.ask("http://a/");
    let origin = scene.calls[ticket as usize].outgoing.origin.clone();
    scene.pool.cancel(&origin, ticket);
    assert_eq!(scene.woken(place), None);
    let next = scene.ask("http://a/");
    assert_eq!(scene.woken(place), Some(next));
}

#[test]
fn a_chain_is_made_for_the_waiter_to_whom_nothing_is_promised() {
    let mut scene = scene(Config::new());
    let place = scene.hold("http://a/");
    scene.checkin(place);
    let [first, second] = [scene.ask("http://a/"), scene.ask("http://a/")];
    assert_eq!(scene.woken(place), Some(first));
    assert_eq!(scene.connect().1, Some(second));
    assert!(scene.pool.next_chain().is_none());
}

#[test]
fn a_promised_connection_that_nobody_needs_any_more_makes_room_for_others() {
    let mut scene = scene(one());
    let place = scene.hold("http://a/");
    scene.checkin(place);
    let ticket = scene.ask("http://a/");
    let other = scene.ask("http://b/");
    let origin = scene.calls[ticket as usize].outgoing.origin.clone();
    scene.pool.cancel(&origin, ticket);
    assert_eq!(told(scene.pool.woken(place)), Some(CloseReason::Evicted));
    scene.pool.closed(place, CloseReason::Evicted);
    assert_eq!(scene.connect().1, Some(other));
}

#[test]
fn an_origin_below_its_share_gets_the_freed_slot() {
    let mut scene = scene(Config::new().max_total(2));
    let held = [scene.hold("http://a/"), scene.hold("http://a/")];
    let _older = scene.ask("http://a/");
    let other = scene.ask("http://b/");
    assert_eq!(told(scene.pool.checkin(held[0])), Some(CloseReason::Evicted));
    assert!(scene.pool.next_chain().is_none(), "the socket is still open");
    scene.pool.closed(held[0], CloseReason::Evicted);
    assert_eq!(scene.connect().1, Some(other));
}

#[test]
fn an_origin_at_its_share_keeps_its_freed_connection() {
    let mut scene = scene(Config::new().max_total(2));
    let place = scene.hold("http://a/");
    scene.hold("http://b/");
    let _older = scene.ask("http://b/");
    let own = scene.ask("http://a/");
    assert_eq!(scene.checkin(place), Some(own));
}

#[test]
fn with_more_origins_than_slots_the_oldest_waiter_wins() {
    let mut scene = scene(Config::new().max_total(1));
    let place = scene.hold("http://a/");
    let other = scene.ask("http://b/");
    let own = scene.ask("http://a/");
    assert_eq!(told(scene.pool.checkin(place)), Some(CloseReason::Evicted));
    scene.pool.closed(place, CloseReason::Evicted);
    let (place, served) = scene.connect();
    assert_eq!(served, Some(other));
    assert_eq!(told(scene.pool.checkin(place)), Some(CloseReason::Evicted));
    scene.pool.closed(place, CloseReason::Evicted);
    assert_eq!(scene.connect().1, Some(own));
}

#[test]
fn an_idle_connection_of_another_origin_is_evicted_before_anybody_waits() {
    let mut scene = scene(Config::new().max_total(2).max_waiting(0));
    let [a, b] = [scene.hold("http://a/"), scene.hold("http://b/")];
    scene.checkin(b);
    scene.checkin(a);
    let ticket = scene.ask("http://c/");
    assert_eq!(scene.error(ticket), None);
    assert!(scene.pool.next_chain().is_none(), "the limit counts sockets");
    assert_eq!(told(scene.pool.woken(b)), Some(CloseReason::Evicted), "the longest unused");
    scene.pool.closed(b, CloseReason::Evicted);
    assert_eq!(scene.connect().1, Some(ticket));
    assert_eq!(scene.stats().closed(CloseReason::Evicted), 1);
}

#[test]
fn a_failed_connect_fails_one_waiter_only() {
    let mut scene = scene(one());
    let waiting = [scene.ask("http://a/"), scene.ask("http://a/")];
    let chain = scene.pool.next_chain().unwrap();
    scene.pool.failed(chain.place, Error::invalid("no"));
    assert_eq!(scene.error(waiting[0]), Some(ErrorKind::InvalidRequest));
    assert_eq!(scene.error(waiting[1]), None);
    assert_eq!(scene.connect().1, Some(waiting[1]));
}

#[test]
fn a_failed_connect_whose_waiter_was_served_fails_nobody() {
    let mut scene = scene(Config::new().max_per_origin(2));
    let place = scene.hold("http://a/");
    let waiting = [scene.ask("http://a/"), scene.ask("http://a/")];
    let chain = scene.pool.next_chain().unwrap();
    assert_eq!(scene.checkin(place), Some(waiting[0]));
    scene.pool.failed(chain.place, Error::invalid("no"));
    assert_eq!(scene.error(waiting[1]), None);
    assert_eq!(scene.connect().1, Some(waiting[1]));
}

#[test]
fn a_retry_keeps_its_place_in_the_queue_and_takes_only_a_fresh_connection() {
    let mut scene = scene(Config::new().max_per_origin(2));
    let [stale, other] = [scene.hold("http://a/"), scene.hold("http://a/")];
    let job = scene.jobs.remove(0);
    scene.pool.retry(stale, job, CloseReason::PeerClosed);
    scene.pool.closed(stale, CloseReason::PeerClosed);
    assert_eq!(scene.checkin(other), None, "it could be as stale");
    assert_eq!(scene.connect().1, Some(0));
    assert_eq!((scene.stats().retried, scene.stats().closed(CloseReason::PeerClosed)), (1, 1));
}

#[test]
fn nobody_waits_beyond_the_limit_and_a_free_slot_is_no_wait() {
    let mut scene = scene(one().max_waiting(1));
    let tickets = [0; 4].map(|_| scene.ask("http://a/"));
    let busy = Some(ErrorKind::PoolBusy);
    assert_eq!(tickets.map(|ticket| scene.error(ticket)), [None, None, busy, busy]);
}

#[test]
fn more_idle_connections_than_the_limit_are_closed() {
    let mut scene = scene(Config::new().max_idle_per_origin(1));
    let held = [scene.hold("http://a/"), scene.hold("http://a/")];
    assert_eq!(scene.checkin(held[0]), None);
    assert_eq!(told(scene.pool.checkin(held[1])), Some(CloseReason::IdleLimit));
}

#[test]
fn a_waiter_whose_time_is_over_is_told() {
    let mut scene = scene(one().total_timeout(Duration::from_secs(1)));
    scene.hold("http://a/");
    let waiting = scene.ask("http://a/");
    let deadline = scene.pool.deadline().unwrap();
    scene.pool.expire(deadline);
    assert_eq!(scene.error(waiting), Some(ErrorKind::Timeout));
    assert_eq!((scene.pool.deadline(), scene.stats().waiting), (None, 0));
}

#[test]
fn a_closed_pool_finishes_what_it_accepted() {
    let mut scene = scene(Config::new().max_per_origin(1));
    let busy = scene.hold("http://a/");
    let idle = scene.hold("http://b/");
    scene.checkin(idle);
    let waiting = scene.ask("http://a/");
    scene.pool.shut();
    assert_eq!(told(scene.pool.woken(idle)), Some(CloseReason::ClientClosed));
    scene.pool.closed(idle, CloseReason::ClientClosed);
    assert_eq!(scene.checkin(busy), Some(waiting));
    assert!(!scene.pool.is_over());
    assert_eq!(told(scene.pool.checkin(busy)), Some(CloseReason::ClientClosed));
    scene.pool.closed(busy, CloseReason::ClientClosed);
    assert!(scene.pool.is_over());
}

#[test]
fn nothing_is_kept_of_an_origin_that_has_nothing() {
    let mut scene = scene(Config::new());
    let place = scene.hold("http://a/");
    scene.pool.closed(place, CloseReason::PeerAsked);
    assert!(scene.pool.origins.is_empty() && scene.pool.names.is_empty());
    assert_eq!((scene.pool.held, scene.pool.demand, scene.pool.queued), (0, 0, 0));
}

// ===== Any order of events =====

/// Something that happens to a pool. Numbers choose among what is there at the moment.
#[derive(Clone, Debug)]
enum Event {
    Ask(u8),
    GiveUp(usize),
    Connect,
    Fail,
    Free(usize),
    Wake(usize),
    Die(usize),
    Stale(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..4u8).prop_map(Event::Ask),
        1 => any::<usize>().prop_map(Event::GiveUp),
        3 => Just(Event::Connect),
        1 => Just(Event::Fail),
        3 => any::<usize>().prop_map(Event::Free),
        3 => any::<usize>().prop_map(Event::Wake),
        1 => any::<usize>().prop_map(Event::Die),
        1 => any::<usize>().prop_map(Event::Stale),
    ]
}

impl Scene {
    /// One of the places whose connections are in this condition.
    fn pick(&self, number: usize, fits: impl Fn(&State) -> bool) -> Option<PlaceId> {
        let places = self.pool.places.iter().filter(|(_, place)| fits(&place.state));
        let places: Vec<_> = places.map(|(id, _)| id).collect();
        (!places.is_empty()).then(|| places[number % places.len()])
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Ask(host) => drop(self.ask(&format!("http://h{host}/"))),
            Event::GiveUp(number) => {
                let call = self.calls.get(number % self.calls.len().max(1)).cloned();
                if let Some(call) =
                    call.filter(|call| matches!(call.give_up(), GivenUp::Waiting))
                {
                    self.pool.cancel(&call.outgoing.origin, call.ticket);
                }
            }
            Event::Connect => {
                if let Some(chain) = self.pool.next_chain() {
                    let (_, turn) = self.pool.connected(chain.place, Waker::noop().clone());
                    self.take(chain.place, turn);
                }
            }
            Event::Fail => {
                if let Some(chain) = self.pool.next_chain() {
                    self.pool.failed(chain.place, Error::invalid("no"));
                }
            }
            Event::Free(number) => {
                if let Some(place) = self.pick(number, |state| matches!(state, State::InUse)) {
                    let turn = self.pool.checkin(place);
                    self.take(place, turn);
                }
            }
            Event::Wake(number) => {
                if let Some(place) = self.pick(number, |state| !is_chain(state)) {
                    let turn = self.pool.woken(place);
                    self.take(place, turn);
                }
            }
            Event::Die(number) => {
                if let Some(place) = self.pick(number, |state| !is_chain(state)) {
                    self.pool.closed(place, CloseReason::PeerClosed);
                }
            }
            Event::Stale(number) => {
                let place = self.pick(number, |state| matches!(state, State::InUse));
                if let Some(place) = place {
                    let host = self.pool.origins[self.pool.places[place].origin].origin.clone();
                    let of_it = |job: &Job| job.call().outgoing.origin == host;
                    if let Some(index) = self.jobs.iter().position(of_it) {
                        let job = self.jobs.swap_remove(index);
                        self.pool.retry(place, job, CloseReason::Reset);
                    }
                    self.pool.closed(place, CloseReason::Reset);
                }
            }
        }
    }

    fn take(&mut self, place: PlaceId, turn: Turn) {
        match turn {
            Turn::Serve(job) => self.jobs.push(job),
            Turn::Rest => {}
            Turn::Close(reason) => self.pool.closed(place, reason),
        }
    }

    /// What must be true between any two events.
    fn check(&self) {
        let (pool, stats) = (&self.pool, self.stats());
        let count = |fits: fn(&State) -> bool| {
            pool.places.iter().filter(|(_, place)| fits(&place.state)).count()
        };
        assert_eq!(stats.connecting, count(is_chain));
        assert_eq!(stats.open + stats.connecting, pool.places.len());
        assert_eq!(pool.held, pool.places.len() - count(is_doomed));
        assert!(pool.held <= pool.config.max_total);
        assert!(
            stats.open <= pool.config.max_total,
            "a chain starts when the socket is closed"
        );
        assert_eq!(pool.idle.len(), count(|state| matches!(state, State::Idle(_))));
        let waiting: usize = pool.origins.iter().map(|(_, origin)| origin.waiters.len()).sum();
        assert_eq!(stats.waiting, waiting);
        for (_, origin) in &pool.origins {
            assert!(origin.held <= pool.config.max_per_origin);
            let unserved = origin.waiters.unchained().saturating_sub(origin.promised);
            let full = origin.held == pool.config.max_per_origin;
            let crowded = pool.held == pool.config.max_total && pool.idle.is_empty();
            assert!(unserved == 0 || full || crowded, "nobody waits while there is room");
            assert!(unserved == 0 || origin.idle.is_empty(), "nor beside an idle connection");
        }
    }
}

fn is_chain(state: &State) -> bool {
    matches!(state, State::Connecting(_))
}

fn is_doomed(state: &State) -> bool {
    matches!(state, State::Doomed(..))
}

proptest! {
    // Whoever finds a failure here writes it down as a case above, which says what went wrong.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]
    #[test]
    fn the_sums_are_right_and_nobody_waits_in_vain(
        events in prop::collection::vec(event(), 0..200),
        max_total in 1..6usize,
        max_per_origin in 1..4usize,
        max_idle in 0..3usize,
    ) {
        let config = Config::new().max_total(max_total).max_per_origin(max_per_origin);
        let mut scene = scene(config.max_idle_per_origin(max_idle));
        for event in events {
            scene.happen(event);
            scene.check();
        }
        // Whoever still waits is served, if only connections are made and freed.
        while scene.stats().waiting > 0 {
            let before = scene.stats();
            for number in 0..8 {
                scene.happen(Event::Wake(number));
                scene.happen(Event::Free(number));
                scene.happen(Event::Connect);
            }
            assert_ne!(scene.stats(), before);
        }
    }
}
