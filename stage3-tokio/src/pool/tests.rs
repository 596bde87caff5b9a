//! The policy alone: no socket, no runtime, no task. A connection is whatever the test says.

use client_core::{ErrorKind, Outgoing};
use http::Request;

use super::*;
use crate::job::Reply;

type Caller = oneshot::Receiver<Reply>;

/// A policy, and the callers that it was given.
struct Scene {
    state: State,
    callers: Vec<Caller>,
}

/// An open connection of an origin.
struct Held {
    chain: Chain,
}

fn scene(config: Config) -> Scene {
    Scene { state: State::new(&config), callers: Vec::new() }
}

impl Scene {
    /// A request to `http://HOST/PATH`; tests tell requests apart by their paths.
    fn ask(&mut self, host_path: &str) -> Result<(Option<Waiter>, Then), Error> {
        let request = Request::get(format!("http://{host_path}")).body(Default::default());
        let outgoing = Outgoing::new(request.unwrap()).unwrap();
        let (reply, caller) = oneshot::channel();
        self.callers.push(caller);
        self.state.checkout(Job::new(outgoing, reply, None, 1024))
    }

    /// A request that must get a slot, whose connection is made, and serves it.
    fn hold(&mut self, host_path: &str) -> Held {
        let (_, then) = self.ask(host_path).unwrap();
        let chain = then.chain.expect("a free slot");
        self.state.opened();
        let held = Held { chain };
        assert_eq!(served(self.state.checkin(&held.chain, false)), host_path);
        held
    }

    /// A request that must wait.
    fn wait(&mut self, host_path: &str) -> Waiter {
        let (waiter, then) = self.ask(host_path).unwrap();
        assert!(then.chain.is_none() && then.order.is_none(), "{host_path} need not wait");
        waiter.expect("a place in the queue")
    }

    fn checkin(&mut self, held: &Held) -> Checkin {
        self.state.checkin(&held.chain, true)
    }

    fn idle(&mut self, held: &Held) -> Idling {
        match self.checkin(held) {
            Checkin::Idle(idling) => idling,
            Checkin::Serve(job) => panic!("serves {}", path(&job)),
            Checkin::Close(reason) => panic!("closed: {reason}"),
        }
    }
}

fn path(job: &Job) -> String {
    let head = String::from_utf8(job.outgoing.head.to_vec()).unwrap();
    let target = head.split(' ').nth(1).unwrap();
    format!("{}{target}", job.outgoing.origin.host())
}

fn served(checkin: Checkin) -> String {
    match checkin {
        Checkin::Serve(job) => path(&job),
        Checkin::Idle(_) => "idle".into(),
        Checkin::Close(reason) => reason.to_string(),
    }
}

fn ordered(idling: &mut Idling) -> String {
    match idling.orders.try_recv() {
        Ok(Order::Serve(job)) => path(&job),
        Ok(Order::Leave(reason)) => reason.to_string(),
        Err(_) => "nothing".into(),
    }
}

fn perform(then: Then) -> Option<Chain> {
    if let Some((seat, order)) = then.order {
        assert!(seat.send(order).is_ok(), "the idle connection is gone");
    }
    then.chain
}

#[test]
fn waiters_are_served_first_come_first_served() {
    let mut scene = scene(Config::new().max_per_origin(1));
    let held = scene.hold("a/0");
    for path in ["a/1", "a/2", "a/3"] {
        scene.wait(path);
    }
    let order = [(); 4].map(|()| served(scene.checkin(&held)));
    assert_eq!(order, ["a/1", "a/2", "a/3", "idle"]);
}

#[test]
fn a_cancelled_waiter_is_skipped() {
    let mut scene = scene(Config::new().max_per_origin(1));
    let held = scene.hold("a/0");
    let first = scene.wait("a/1");
    scene.wait("a/2");
    assert!(scene.state.take_waiter(first).is_some());
    assert!(scene.state.take_waiter(first).is_none());
    assert_eq!(scene.state.stats().waiting, 1);
    assert_eq!(served(scene.checkin(&held)), "a/2");
}

#[test]
fn a_freed_connection_goes_to_the_oldest_waiter() {
    let mut scene = scene(Config::new().max_per_origin(2));
    let held = scene.hold("a/0");
    let (_, then) = scene.ask("a/1").unwrap();
    let chain = then.chain.expect("a second slot");
    scene.wait("a/2");
    // The one that a chain is under way for is older.
    assert_eq!(served(scene.checkin(&held)), "a/1");
    scene.state.opened();
    assert_eq!(served(scene.state.checkin(&chain, false)), "a/2");
}

#[test]
fn a_fresh_connection_goes_to_the_waiter_that_it_was_made_for() {
    let mut scene = scene(Config::new().max_per_origin(2));
    let slow = perform(scene.ask("a/0").unwrap().1).unwrap();
    let fast = perform(scene.ask("a/1").unwrap().1).unwrap();
    scene.wait("a/2");
    scene.state.opened();
    assert_eq!(served(scene.state.checkin(&fast, false)), "a/1");
    // Now it is freed, and the oldest comes first.
    assert_eq!(served(scene.state.checkin(&fast, true)), "a/0");
    scene.state.opened();
    assert_eq!(served(scene.state.checkin(&slow, false)), "a/2");
}

#[test]
fn the_most_recently_used_idle_connection_is_taken_first() {
    let mut scene = scene(Config::new());
    let (first, second) = (scene.hold("a/0"), scene.hold("a/1"));
    let mut older = scene.idle(&first);
    let mut newer = scene.idle(&second);
    perform(scene.ask("a/2").unwrap().1);
    assert_eq!((ordered(&mut older), ordered(&mut newer)), ("nothing".into(), "a/2".into()));
}

#[test]
fn an_origin_below_its_share_gets_the_freed_slot() {
    let mut scene = scene(Config::new().max_total(2));
    let hog = scene.hold("a/0");
    scene.hold("a/1");
    scene.wait("a/2");
    scene.wait("b/0");
    assert_eq!(served(scene.checkin(&hog)), "evicted");
    let chain = perform(scene.state.closed(hog.chain.place, CloseReason::Evicted)).unwrap();
    assert_eq!(chain.origin.host(), "b");
}

#[test]
fn with_more_origins_than_slots_the_oldest_waiter_wins() {
    let mut scene = scene(Config::new().max_total(1));
    let held = scene.hold("a/0");
    scene.wait("a/1");
    scene.wait("b/0");
    assert_eq!(served(scene.checkin(&held)), "a/1");
    scene.wait("a/2");
    assert_eq!(served(scene.checkin(&held)), "evicted");
}

#[test]
fn an_idle_connection_of_another_origin_is_evicted_before_anybody_waits() {
    let mut scene = scene(Config::new().max_total(2).max_waiting(0));
    let (first, second) = (scene.hold("a/0"), scene.hold("b/0"));
    let mut oldest = scene.idle(&first);
    let mut newer = scene.idle(&second);
    assert!(perform(scene.ask("c/0").unwrap().1).is_none());
    assert_eq!(ordered(&mut oldest), "evicted");
    assert_eq!(ordered(&mut newer), "nothing");
    let chain = perform(scene.state.closed(first.chain.place, CloseReason::Evicted)).unwrap();
    assert_eq!(chain.origin.host(), "c");
}

#[test]
fn a_failed_connect_fails_one_waiter_only() {
    let mut scene = scene(Config::new().max_per_origin(1));
    let chain = perform(scene.ask("a/0").unwrap().1).unwrap();
    scene.wait("a/1");
    let (job, then) = scene.state.failed(&chain);
    assert_eq!(path(&job.unwrap()), "a/0");
    assert!(perform(then).is_some(), "a chain for the next");
    assert_eq!(scene.state.stats().connecting, 1);
}

#[test]
fn a_failed_connect_whose_waiter_was_served_fails_nobody() {
    let mut scene = scene(Config::new().max_per_origin(2));
    let held = scene.hold("a/0");
    let chain = perform(scene.ask("a/1").unwrap().1).unwrap();
    assert_eq!(served(scene.checkin(&held)), "a/1");
    assert!(scene.state.failed(&chain).0.is_none());
}

#[test]
fn a_connection_whose_waiter_has_gone_becomes_idle() {
    let mut scene = scene(Config::new());
    let (waiter, then) = scene.ask("a/0").unwrap();
    let chain = perform(then).unwrap();
    scene.state.take_waiter(waiter.unwrap());
    scene.state.opened();
    let Checkin::Idle(mut idling) = scene.state.checkin(&chain, false) else {
        panic!("not idle");
    };
    assert!(perform(scene.ask("a/1").unwrap().1).is_none());
    assert_eq!(ordered(&mut idling), "a/1");
    assert_eq!(scene.state.stats().reused, 0);
}

#[test]
fn a_full_queue_refuses_and_counts_no_connects() {
    let mut scene = scene(Config::new().max_per_origin(1).max_waiting(1));
    let chain = perform(scene.ask("a/0").unwrap().1);
    assert!(chain.is_some());
    scene.wait("a/1");
    let refused = scene.ask("a/2").err().map(|error| error.kind());
    assert_eq!(refused, Some(ErrorKind::PoolBusy));
    assert_eq!(scene.state.stats().waiting, 2);
}

#[test]
fn the_idle_limit_closes_the_one_too_many() {
    let mut scene = scene(Config::new().max_idle_per_origin(1));
    let (first, second) = (scene.hold("a/0"), scene.hold("a/1"));
    let _idling = scene.idle(&first);
    assert_eq!(served(scene.checkin(&second)), "idle-limit");
}

#[test]
fn a_dead_idle_connection_and_a_request_cannot_both_have_it() {
    let mut scene = scene(Config::new().max_per_origin(1));
    let held = scene.hold("a/0");
    let mut idling = scene.idle(&held);
    perform(scene.ask("a/1").unwrap().1);
    assert!(!scene.state.leave(held.chain.place, idling.number));
    assert_eq!(ordered(&mut idling), "a/1");
    let idling = scene.idle(&held);
    assert!(scene.state.leave(held.chain.place, idling.number));
    scene.wait("a/2");
}

#[test]
fn a_closed_pool_finishes_what_it_accepted() {
    let mut scene = scene(Config::new().max_per_origin(1));
    let held = scene.hold("a/0");
    scene.wait("a/1");
    assert!(scene.state.close().is_empty());
    assert!(matches!(scene.ask("a/2"), Err(Error::ShutDown)));
    assert_eq!(served(scene.checkin(&held)), "a/1");
    assert_eq!(served(scene.checkin(&held)), "client-closed");
}

#[test]
fn an_origin_without_connections_and_waiters_is_forgotten() {
    let mut scene = scene(Config::new());
    let held = scene.hold("a/0");
    assert!(perform(scene.state.closed(held.chain.place, CloseReason::PeerAsked)).is_none());
    assert!(scene.state.places.is_empty() && scene.state.by_origin.is_empty());
    assert_eq!((scene.state.slots, scene.state.demanding), (0, 0));
}
