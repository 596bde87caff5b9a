//! The hand-over between callers and the loop, under every interleaving (loom).
//!
//! The three files are the client's own. Only the primitives below them are loom's, which tries
//! the orders in which threads can run; a thread that would sleep for ever ends the test.

#![cfg(unix)]

#[path = "../src/bell.rs"]
mod bell;
#[allow(dead_code)] // not all of a job is modelled
#[path = "../src/call.rs"]
mod call;
#[path = "../src/inbox.rs"]
mod inbox;

mod sync {
    pub(crate) use loom::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU8, Ordering},
    };
    pub(crate) use std::sync::PoisonError;
}

use std::task::{Context, Poll, Waker};

use client_core::{
    Config, Error, Origin, Outgoing,
    pool::{Limits, Pool, WaiterId},
};
use http::Request;
use loom::{
    model::Builder,
    sync::{
        Arc, Notify,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use self::{
    bell::{Announce, Bell},
    call::{Call, Holder, Job},
    inbox::{Inbox, Ring},
};

/// A queue of wakeups, as rotor's: an announcement stays until somebody has slept on it.
#[derive(Clone)]
struct Queue {
    announced: Arc<Notify>,
    count: Arc<AtomicUsize>,
}

impl Queue {
    fn new() -> Self {
        Queue { announced: Arc::new(Notify::new()), count: Arc::new(AtomicUsize::new(0)) }
    }

    fn sleep(&self) {
        self.announced.wait();
    }

    fn announced(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

impl Announce for Queue {
    fn announce(&self) -> bool {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.announced.notify();
        true
    }
}

fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

fn call() -> std::sync::Arc<Call> {
    let request = Request::get("http://h/").body(Default::default()).unwrap();
    Call::new(0, Outgoing::new(request).unwrap())
}

fn waiter() -> WaiterId {
    let mut pool = Pool::new(Limits::from(&Config::new()));
    let origin = Origin::of(&"http://h/".parse().unwrap()).unwrap();
    pool.checkout(&origin, ()).expect("an empty pool")
}

/// The pool's machine, as far as its inbox goes: until it has taken so many messages.
fn take(inbox: &Inbox<u32>, bell: &Bell<Queue>, queue: &Queue, most: usize) -> Vec<u32> {
    let (mut taken, mut batch) = (Vec::new(), Vec::new());
    while taken.len() < most {
        queue.sleep();
        bell.heard();
        inbox.take(&mut batch);
        taken.append(&mut batch);
    }
    taken
}

#[test]
fn no_message_is_lost_and_no_ring() {
    explore(|| {
        let queue = Queue::new();
        let bell = Bell::new(queue.clone());
        let inbox = Arc::new(Inbox::new());
        let callers = [1, 2].map(|message| {
            let (inbox, bell) = (inbox.clone(), bell.clone());
            thread::spawn(move || {
                if inbox.submit(message) == Ok(Ring::Needed) {
                    bell.ring();
                }
            })
        });
        let mut taken = take(&inbox, &bell, &queue, 2);
        taken.sort_unstable();
        assert_eq!(taken, [1, 2]);
        for caller in callers {
            caller.join().unwrap();
        }
    });
}

#[test]
fn only_the_first_of_many_rings() {
    explore(|| {
        let inbox = Inbox::new();
        assert_eq!(inbox.submit(1), Ok(Ring::Needed));
        assert_eq!(inbox.submit(2), Ok(Ring::OnItsWay));
        let mut taken = Vec::new();
        inbox.take(&mut taken);
        assert_eq!(taken, [1, 2]);
        assert_eq!(inbox.send(3), Ring::Needed);
    });
}

#[test]
fn a_closed_inbox_refuses_requests_and_takes_word_about_earlier_ones() {
    explore(|| {
        let inbox = Inbox::new();
        inbox.close();
        assert!(inbox.is_closed());
        assert_eq!(inbox.submit(1), Err(1));
        assert_eq!(inbox.send(2), Ring::Needed);
    });
}

#[test]
fn a_request_is_refused_or_seen_by_whoever_sees_the_end() {
    explore(|| {
        let inbox = Arc::new(Inbox::new());
        let caller = {
            let inbox = inbox.clone();
            thread::spawn(move || inbox.submit(1).is_ok())
        };
        inbox.close();
        let mut left = Vec::new();
        inbox.take(&mut left);
        assert_eq!(caller.join().unwrap(), left == [1]);
    });
}

#[test]
fn an_answer_wakes_its_caller() {
    explore(|| {
        let queue = Queue::new();
        let call = call();
        let job = Job::new(call.clone());
        let answering = thread::spawn(move || job.answer(Err(Error::invalid("an answer"))));
        let waker = Waker::from(Bell::new(queue.clone()));
        let mut context = Context::from_waker(&waker);
        let answer = loop {
            match call.poll_answer(&mut context) {
                Poll::Ready(answer) => break answer,
                Poll::Pending => queue.sleep(),
            }
        };
        assert!(matches!(answer, Err(Error::InvalidRequest(_))));
        answering.join().unwrap();
    });
}

#[test]
fn a_loop_that_ends_without_an_answer_wakes_its_caller() {
    explore(|| {
        let queue = Queue::new();
        let call = call();
        let job = Job::new(call.clone());
        let ending = thread::spawn(move || drop(job));
        let waker = Waker::from(Bell::new(queue.clone()));
        let mut context = Context::from_waker(&waker);
        while call.poll_answer(&mut context).is_pending() {
            queue.sleep();
        }
        ending.join().unwrap();
    });
}

#[test]
fn a_caller_that_gives_up_is_noticed_by_each_holder_of_its_call() {
    let waiter = waiter();
    explore(move || {
        let queue = Queue::new();
        let call = call();
        let job = Job::new(call.clone());
        let machine = Bell::new(queue.clone());
        let handing_over = thread::spawn(move || {
            let waits = job.hold(Holder::Pool(waiter));
            let served = job.hold(Holder::Machine(Waker::from(machine)));
            (waits, served, job)
        });
        let told = call.give_up();
        let (waits, served, job) = handing_over.join().unwrap();
        assert!(job.is_gone());
        match told {
            None => assert_eq!((waits, served), (false, false)),
            Some(Holder::Pool(told)) => {
                assert_eq!((told, waits, served), (waiter, true, false));
            }
            Some(Holder::Machine(waker)) => {
                assert_eq!((waits, served), (true, true));
                waker.wake();
                queue.sleep();
            }
        }
    });
}

/// slab 0.1.3 spoils its list of free slots at a ring that finds a slot empty.
#[test]
fn no_ring_comes_after_a_machine_has_left() {
    explore(|| {
        let queue = Queue::new();
        let bell = Bell::new(queue.clone());
        let ringing = {
            let bell = bell.clone();
            thread::spawn(move || bell.ring())
        };
        let stays = bell.end();
        if stays {
            queue.sleep(); // ends, since the ring does come
        }
        ringing.join().unwrap();
        bell.ring();
        assert_eq!(queue.announced(), usize::from(stays));
    });
}
