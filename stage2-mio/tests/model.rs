//! The hand-over between callers and the loop, under every interleaving (loom).
//!
//! The two files are the client's own. Only the primitives below them are loom's, which tries all
//! orders in which threads can run; a thread that would sleep for ever ends the test.

#[path = "../src/call.rs"]
mod call;
#[path = "../src/inbox.rs"]
mod inbox;

mod sync {
    pub(crate) use loom::sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    };
}

use std::task::{Context, Poll, Wake, Waker};

use loom::{
    model::Builder,
    sync::{
        Arc, Notify,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use self::inbox::{Alarm, Inbox};

/// What wakes a sleeper: like an eventfd, it stays rung until somebody has slept on it.
struct Bell {
    bell: Notify,
    rings: AtomicUsize,
}

impl Bell {
    fn new() -> Arc<Self> {
        Arc::new(Bell { bell: Notify::new(), rings: AtomicUsize::new(0) })
    }

    fn ring(&self) {
        self.rings.fetch_add(1, Ordering::SeqCst);
        self.bell.notify();
    }

    fn sleep(&self) {
        self.bell.wait();
    }
}

impl Alarm for Arc<Bell> {
    fn ring(&self) {
        Bell::ring(self);
    }
}

/// A waker that rings. (`std`'s `Arc`, as `Wake` wants it, around loom's.)
struct Rings(Arc<Bell>);

impl Wake for Rings {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.ring();
    }
}

fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// The loop, as far as its inbox goes: until it has taken so many messages, or the inbox ended.
fn take(inbox: &Inbox<u32, Arc<Bell>>, bell: &Bell, most: usize) -> Vec<u32> {
    let (mut taken, mut batch) = (Vec::new(), Vec::new());
    while taken.len() < most {
        if inbox.may_sleep() {
            bell.sleep();
        }
        inbox.woken();
        inbox.take(&mut batch);
        taken.append(&mut batch);
    }
    taken
}

#[test]
fn no_message_is_lost_and_no_wake() {
    explore(|| {
        let bell = Bell::new();
        let inbox = Arc::new(Inbox::new(bell.clone()));
        let callers = [1, 2].map(|message| {
            let inbox = inbox.clone();
            thread::spawn(move || inbox.push(message).unwrap())
        });
        let mut taken = take(&inbox, &bell, 2);
        taken.sort_unstable();
        assert_eq!(taken, [1, 2]);
        for caller in callers {
            caller.join().unwrap();
        }
    });
}

#[test]
fn a_loop_that_is_awake_is_not_woken() {
    explore(|| {
        let bell = Bell::new();
        let inbox = Inbox::new(bell.clone());
        inbox.push(1).unwrap();
        assert!(!inbox.may_sleep());
        inbox.woken();
        inbox.push(2).unwrap();
        assert_eq!(bell.rings.load(Ordering::SeqCst), 0);
        let mut batch = Vec::new();
        inbox.take(&mut batch);
        assert_eq!(batch, [1, 2]);
        assert!(inbox.may_sleep());
        inbox.push(3).unwrap();
        inbox.push(4).unwrap();
        assert_eq!(bell.rings.load(Ordering::SeqCst), 1, "one wake is enough");
    });
}

#[test]
fn a_message_is_taken_or_comes_back_when_the_loop_ends() {
    explore(|| {
        let bell = Bell::new();
        let inbox = Arc::new(Inbox::new(bell));
        let caller = {
            let inbox = inbox.clone();
            thread::spawn(move || inbox.push(1))
        };
        let mut taken = Vec::new();
        while !inbox.end_if_empty() {
            inbox.take(&mut taken);
        }
        match caller.join().unwrap() {
            Ok(()) => assert_eq!(taken, [1]),
            Err(message) => assert_eq!((message, taken.len()), (1, 0)),
        }
    });
}

#[test]
fn a_message_that_nobody_takes_is_dropped_with_the_loop() {
    explore(|| {
        let inbox = Arc::new(Inbox::new(Bell::new()));
        let told = Arc::new(());
        let caller = {
            let (inbox, message) = (inbox.clone(), told.clone());
            thread::spawn(move || drop(inbox.push(message)))
        };
        inbox.end();
        caller.join().unwrap();
        assert_eq!(Arc::strong_count(&told), 1);
    });
}

#[test]
fn an_answer_wakes_its_caller() {
    explore(|| {
        let bell = Bell::new();
        let (mut call, reply) = call::channel::<u32, ()>();
        let event_loop = thread::spawn(move || reply.answer(7));
        let waker = Waker::from(std::sync::Arc::new(Rings(bell.clone())));
        let mut cx = Context::from_waker(&waker);
        let answer = loop {
            match call.poll(&mut cx) {
                Poll::Ready(answer) => break answer,
                Poll::Pending => bell.sleep(),
            }
        };
        assert_eq!(answer, Some(7));
        event_loop.join().unwrap();
    });
}

#[test]
fn a_loop_that_ends_without_an_answer_wakes_its_caller() {
    explore(|| {
        let bell = Bell::new();
        let (mut call, reply) = call::channel::<u32, ()>();
        let event_loop = thread::spawn(move || drop(reply));
        let waker = Waker::from(std::sync::Arc::new(Rings(bell.clone())));
        let mut cx = Context::from_waker(&waker);
        while call.poll(&mut cx).is_pending() {
            bell.sleep();
        }
        assert_eq!(call.poll(&mut cx), Poll::Ready(None));
        event_loop.join().unwrap();
    });
}

#[test]
fn a_caller_that_gives_up_meets_the_loop_at_one_place_or_the_other() {
    explore(|| {
        let (mut call, reply) = call::channel::<u32, &str>();
        // The loop moves the request from the queue to a connection, meanwhile.
        let event_loop = thread::spawn(move || {
            let queued = reply.place("queue");
            let began = queued && reply.place("connection");
            (queued, began, reply)
        });
        let told = call.cancel();
        let (queued, began, reply) = event_loop.join().unwrap();
        assert!(reply.is_gone());
        // The loop went on without knowing exactly as far as the caller can tell it to undo.
        assert_eq!(
            told,
            match (queued, began) {
                (false, _) => None,
                (true, false) => Some("queue"),
                (true, true) => Some("connection"),
            }
        );
    });
}
