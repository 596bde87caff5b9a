//! The hand-over between callers and the loop, in every order of the threads' steps (loom).
//!
//! The three files are the client's own. Only the primitives below them are loom's, which tries the
//! orders in which threads can run. A thread that would sleep for ever fails the test.

#![cfg(unix)]

#[path = "../src/inbox.rs"]
mod inbox;
#[path = "../src/notifier.rs"]
mod notifier;
#[path = "../src/oneshot.rs"]
mod oneshot;

mod sync {
    pub(crate) use loom::sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU8, Ordering},
    };
    pub(crate) use std::sync::PoisonError;
}

use std::task::{Context, Poll, Waker};

use loom::{
    model::Builder,
    sync::{
        Arc, Notify,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use self::{
    inbox::Inbox,
    notifier::{Deliver, Notifier},
};

/// A queue of notifications, as rotor's: one stays until a thread has slept on it.
#[derive(Clone)]
struct Queue {
    delivered: Arc<Notify>,
    count: Arc<AtomicUsize>,
}

impl Queue {
    fn new() -> Self {
        Queue { delivered: Arc::new(Notify::new()), count: Arc::new(AtomicUsize::new(0)) }
    }

    fn sleep(&self) {
        self.delivered.wait();
    }

    fn delivered(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

impl Deliver for Queue {
    fn deliver(&self) -> bool {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.delivered.notify();
        true
    }
}

/// Who holds a request, as in `pending.rs`.
enum Holder {
    Waiter(u32),
    Connection(Waker),
}

type Sender = oneshot::Sender<&'static str, Holder>;
type Receiver = oneshot::Receiver<&'static str, Holder>;

fn channel() -> (Sender, Receiver) {
    oneshot::channel()
}

fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// An inbox, and the queue through which it notifies the loop.
fn inbox() -> (Arc<Inbox<u32, Queue>>, std::sync::Arc<Notifier<Queue>>, Queue) {
    let queue = Queue::new();
    let notifier = Notifier::new(queue.clone());
    (Arc::new(Inbox::new(notifier.clone())), notifier, queue)
}

/// Waits for the answer.
fn wait(mut receiver: Receiver) -> Option<&'static str> {
    let queue = Queue::new();
    let waker = Waker::from(Notifier::new(queue.clone()));
    let mut context = Context::from_waker(&waker);
    loop {
        match receiver.poll(&mut context) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => queue.sleep(),
        }
    }
}

#[test]
fn no_message_is_lost_and_no_notification() {
    explore(|| {
        let (inbox, notifier, queue) = inbox();
        let callers = [1, 2].map(|message| {
            let inbox = inbox.clone();
            thread::spawn(move || inbox.submit(message).unwrap())
        });
        // The pool's machine, as far as its inbox goes.
        let (mut taken, mut batch) = (Vec::new(), Vec::new());
        while taken.len() < 2 {
            queue.sleep();
            notifier.rearm();
            inbox.take(&mut batch);
            taken.append(&mut batch);
        }
        taken.sort_unstable();
        assert_eq!(taken, [1, 2]);
        for caller in callers {
            caller.join().unwrap();
        }
    });
}

#[test]
fn only_the_first_of_many_messages_notifies() {
    explore(|| {
        let (inbox, notifier, queue) = inbox();
        assert_eq!((inbox.submit(1), inbox.submit(2)), (Ok(()), Ok(())));
        assert_eq!(queue.delivered(), 1);
        notifier.rearm();
        inbox.send(3);
        assert_eq!(queue.delivered(), 1, "the loop has not taken the queue yet");
        let mut taken = Vec::new();
        inbox.take(&mut taken);
        assert_eq!(taken, [1, 2, 3]);
        inbox.send(4);
        assert_eq!(queue.delivered(), 2);
    });
}

#[test]
fn a_closed_inbox_refuses_requests_and_takes_messages_about_earlier_ones() {
    explore(|| {
        let (inbox, notifier, queue) = inbox();
        inbox.close();
        assert!(inbox.is_closed());
        assert_eq!(queue.delivered(), 1);
        notifier.rearm();
        assert_eq!(inbox.submit(1), Err(1));
        assert_eq!(queue.delivered(), 1);
        inbox.send(2);
        assert_eq!(queue.delivered(), 2);
    });
}

#[test]
fn a_request_is_refused_or_in_the_queue_at_the_end() {
    explore(|| {
        let (inbox, ..) = inbox();
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
        let (sender, receiver) = channel();
        let answering = thread::spawn(move || sender.send("an answer"));
        assert_eq!(wait(receiver), Some("an answer"));
        answering.join().unwrap();
    });
}

#[test]
fn a_loop_that_ends_without_an_answer_wakes_its_caller() {
    explore(|| {
        let (sender, receiver) = channel();
        let ending = thread::spawn(move || drop(sender));
        assert_eq!(wait(receiver), None);
        ending.join().unwrap();
    });
}

#[test]
fn a_caller_that_gives_up_is_noticed_by_each_holder_of_its_request() {
    explore(|| {
        let queue = Queue::new();
        let (sender, mut receiver) = channel();
        let machine = Notifier::new(queue.clone());
        let handing_over = thread::spawn(move || {
            let waits = sender.set_holder(Holder::Waiter(7));
            let served = sender.set_holder(Holder::Connection(Waker::from(machine)));
            (waits, served, sender)
        });
        let holder = receiver.cancel();
        let (waits, served, sender) = handing_over.join().unwrap();
        assert!(sender.is_closed());
        match holder {
            None => assert_eq!((waits, served), (false, false)),
            Some(Holder::Waiter(waiter)) => {
                assert_eq!((waiter, waits, served), (7, true, false));
            }
            Some(Holder::Connection(waker)) => {
                assert_eq!((waits, served), (true, true));
                waker.wake();
                queue.sleep();
            }
        }
    });
}

/// slab 0.1.3 spoils its list of free slots at a notification that finds a slot empty.
#[test]
fn no_notification_arrives_after_a_machine_has_left() {
    explore(|| {
        let queue = Queue::new();
        let notifier = Notifier::new(queue.clone());
        let notifying = {
            let notifier = notifier.clone();
            thread::spawn(move || notifier.notify())
        };
        let stays = notifier.close();
        if stays {
            queue.sleep(); // Returns, because the notification does arrive.
        }
        notifying.join().unwrap();
        notifier.notify();
        assert_eq!(queue.delivered(), usize::from(stays));
    });
}
