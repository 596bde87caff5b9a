//! The hand-over between callers and the loop, under every interleaving (loom).
//!
//! The two files are the client's own. Only the primitives below them are loom's, which tries all
//! orders in which threads can run; a thread that would sleep for ever ends the test.

#[path = "../src/inbox.rs"]
mod inbox;
#[path = "../src/oneshot.rs"]
mod oneshot;

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

use self::inbox::{Inbox, Notifier};

/// Ends a sleep. Like an eventfd it stays set until a sleep has consumed it.
struct Wakeup {
    set: Notify,
    count: AtomicUsize,
}

impl Wakeup {
    fn new() -> Arc<Self> {
        Arc::new(Wakeup { set: Notify::new(), count: AtomicUsize::new(0) })
    }

    fn set(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.set.notify();
    }

    fn sleep(&self) {
        self.set.wait();
    }
}

impl Notifier for Arc<Wakeup> {
    fn notify(&self) {
        self.set();
    }
}

/// A waker that ends the sleep. (`Wake` wants `std`'s `Arc`, around loom's.)
struct SleepWaker(Arc<Wakeup>);

impl Wake for SleepWaker {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.set();
    }
}

fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// The loop, as far as its inbox goes, until it has taken so many messages.
fn take(inbox: &Inbox<u32, Arc<Wakeup>>, wakeup: &Wakeup, most: usize) -> Vec<u32> {
    let (mut taken, mut batch) = (Vec::new(), Vec::new());
    while taken.len() < most {
        if inbox.may_sleep() {
            wakeup.sleep();
        }
        inbox.set_awake();
        inbox.take(&mut batch);
        taken.append(&mut batch);
    }
    taken
}

#[test]
fn no_message_is_lost_and_no_wake() {
    explore(|| {
        let wakeup = Wakeup::new();
        let inbox = Arc::new(Inbox::new(wakeup.clone()));
        let callers = [1, 2].map(|message| {
            let inbox = inbox.clone();
            thread::spawn(move || inbox.push(message).unwrap())
        });
        let mut taken = take(&inbox, &wakeup, 2);
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
        let wakeup = Wakeup::new();
        let inbox = Inbox::new(wakeup.clone());
        inbox.push(1).unwrap();
        assert!(!inbox.may_sleep());
        inbox.set_awake();
        inbox.push(2).unwrap();
        assert_eq!(wakeup.count.load(Ordering::SeqCst), 0);
        let mut batch = Vec::new();
        inbox.take(&mut batch);
        assert_eq!(batch, [1, 2]);
        assert!(inbox.may_sleep());
        inbox.push(3).unwrap();
        inbox.push(4).unwrap();
        assert_eq!(wakeup.count.load(Ordering::SeqCst), 1, "one wake is enough");
    });
}

#[test]
fn a_message_is_taken_or_comes_back_when_the_loop_ends() {
    explore(|| {
        let wakeup = Wakeup::new();
        let inbox = Arc::new(Inbox::new(wakeup));
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
fn a_message_that_is_not_taken_is_dropped_with_the_loop() {
    explore(|| {
        let inbox = Arc::new(Inbox::new(Wakeup::new()));
        let content = Arc::new(());
        let caller = {
            let (inbox, message) = (inbox.clone(), content.clone());
            thread::spawn(move || drop(inbox.push(message)))
        };
        inbox.end();
        caller.join().unwrap();
        assert_eq!(Arc::strong_count(&content), 1);
    });
}

#[test]
fn an_answer_wakes_its_caller() {
    explore(|| {
        let wakeup = Wakeup::new();
        let (sender, mut receiver) = oneshot::channel::<u32, ()>();
        let event_loop = thread::spawn(move || sender.send(7));
        let waker = Waker::from(std::sync::Arc::new(SleepWaker(wakeup.clone())));
        let mut cx = Context::from_waker(&waker);
        let answer = loop {
            match receiver.poll(&mut cx) {
                Poll::Ready(answer) => break answer,
                Poll::Pending => wakeup.sleep(),
            }
        };
        assert_eq!(answer, Some(7));
        event_loop.join().unwrap();
    });
}

#[test]
fn a_loop_that_ends_without_an_answer_wakes_its_caller() {
    explore(|| {
        let wakeup = Wakeup::new();
        let (sender, mut receiver) = oneshot::channel::<u32, ()>();
        let event_loop = thread::spawn(move || drop(sender));
        let waker = Waker::from(std::sync::Arc::new(SleepWaker(wakeup.clone())));
        let mut cx = Context::from_waker(&waker);
        while receiver.poll(&mut cx).is_pending() {
            wakeup.sleep();
        }
        assert_eq!(receiver.poll(&mut cx), Poll::Ready(None));
        event_loop.join().unwrap();
    });
}

#[test]
fn a_caller_that_gives_up_finds_the_holder_or_the_loop_finds_that_it_gave_up() {
    explore(|| {
        let (sender, mut receiver) = oneshot::channel::<u32, &str>();
        // Meanwhile the loop moves the request from the queue to a connection.
        let event_loop = thread::spawn(move || {
            let queued = sender.set_holder("queue");
            let began = queued && sender.set_holder("connection");
            (queued, began, sender)
        });
        let holder = receiver.cancel();
        let (queued, began, sender) = event_loop.join().unwrap();
        assert!(sender.is_closed());
        // The caller gets exactly the last holder that the loop could record.
        assert_eq!(
            holder,
            match (queued, began) {
                (false, _) => None,
                (true, false) => Some("queue"),
                (true, true) => Some("connection"),
            }
        );
    });
}
