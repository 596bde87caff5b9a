//! The system's resolver, which blocks, on threads of its own.
//!
//! Its rules:
//! - at most [`MOST_THREADS`] look up at once; further names wait their turn;
//! - a thread lives as long as there are names. A lookup cannot be stopped once it runs, so the
//!   thread then owns nothing but the name, and nobody waits for its end;
//! - a lookup whose future is gone is not begun.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, ToSocketAddrs},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Waker},
    thread,
};

use client_core::{Name, Resolve, Resolving, io_model};

/// Lookups that run at once.
const MOST_THREADS: usize = 8;

/// `getaddrinfo`, off the loop.
#[derive(Debug, Default)]
pub(crate) struct SystemResolver {
    lookups: Arc<Mutex<Lookups>>,
}

#[derive(Debug, Default)]
struct Lookups {
    /// Those that no thread has begun.
    waiting: VecDeque<Weak<Lookup>>,
    threads: usize,
}

#[derive(Debug)]
struct Lookup {
    name: Name,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    answer: Option<io::Result<Vec<IpAddr>>>,
    waker: Option<Waker>,
}

/// The future of one lookup; it alone keeps the lookup alive.
struct LookingUp(Arc<Lookup>);

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let lookup = Arc::new(Lookup { name, state: Mutex::default() });
        let mut lookups = lock(&self.lookups);
        lookups.waiting.push_back(Arc::downgrade(&lookup));
        if lookups.threads < MOST_THREADS {
            match spawn(self.lookups.clone()) {
                Ok(()) => lookups.threads += 1,
                // The others will get to it.
                Err(_) if lookups.threads > 0 => {}
                Err(error) => lookup.finish(Err(error)),
            }
        }
        Box::pin(LookingUp(lookup))
    }
}

fn spawn(lookups: Arc<Mutex<Lookups>>) -> io::Result<()> {
    io_model!(spawn, why = "resolver");
    let thread = thread::Builder::new().name("stage2-resolver".into());
    thread.spawn(move || while look_up_next(&lookups) {}).map(drop)
}

/// Serves the next name; false if there is none, and the thread is to end.
fn look_up_next(lookups: &Mutex<Lookups>) -> bool {
    let mut queue = lock(lookups);
    let Some(next) = queue.waiting.pop_front() else {
        queue.threads -= 1;
        return false;
    };
    drop(queue);
    if let Some(name) = next.upgrade().map(|lookup| lookup.name.clone()) {
        let answer = (name.as_str(), 0).to_socket_addrs();
        let answer = answer.map(|found| found.map(|address| address.ip()).collect());
        if let Some(lookup) = next.upgrade() {
            lookup.finish(answer);
        }
    }
    true
}

impl Lookup {
    fn finish(&self, answer: io::Result<Vec<IpAddr>>) {
        let mut state = lock(&self.state);
        state.answer = Some(answer);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Future for LookingUp {
    type Output = io::Result<Vec<IpAddr>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = lock(&self.0.state);
        match state.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Nothing panics under these locks, so a poisoned one is still sound.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wakes a thread that is parked, as an executor would.
    struct Unpark(thread::Thread);

    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    #[test]
    fn every_name_is_answered_though_few_threads_serve_them() {
        let resolver = SystemResolver::default();
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut cx = Context::from_waker(&waker);
        let lookups: Vec<_> = (0..4 * MOST_THREADS)
            .map(|_| resolver.resolve(Name::new("127.0.0.1", 80)))
            .collect();
        assert!(lock(&resolver.lookups).threads <= MOST_THREADS);
        for mut lookup in lookups {
            let answer = loop {
                match lookup.as_mut().poll(&mut cx) {
                    Poll::Ready(answer) => break answer,
                    Poll::Pending => thread::park(),
                }
            };
            assert_eq!(answer.unwrap(), [IpAddr::from([127, 0, 0, 1])]);
        }
    }
}
