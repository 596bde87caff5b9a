//! Names to addresses, off the loop.
//!
//! Its rules:
//! - whatever the source, the loop only polls a future; it never waits for a name;
//! - the system's resolver blocks its thread, so it gets threads of its own: at most
//!   [`MOST_THREADS`], made when there is something to ask, gone when there is nothing more. They
//!   own nothing but the questions; nobody waits for their end;
//! - a resolver that the user plugs in is foreign code: its panic fails one connect, not the loop.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, ToSocketAddrs},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    thread,
};

use client_core::{Name, Resolve, Resolving};
use futures_channel::oneshot;

use crate::parts::guard;

/// How many names the system is asked for at once.
const MOST_THREADS: usize = 4;

/// The system's resolver (`getaddrinfo`).
#[derive(Default)]
pub(crate) struct SystemResolver {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    questions: VecDeque<Question>,
    threads: usize,
}

struct Question {
    name: Name,
    answer: oneshot::Sender<io::Result<Vec<IpAddr>>>,
}

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (answer, asked) = oneshot::channel();
        let started = self.ask(Question { name, answer });
        Box::pin(async move {
            started?;
            asked.await.unwrap_or_else(|_| Err(io::Error::other("the resolver has ended")))
        })
    }
}

impl SystemResolver {
    /// Puts a question, to a new thread if there may be one more.
    fn ask(&self, question: Question) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.questions.push_back(question);
        if state.threads == MOST_THREADS {
            return Ok(());
        }
        let shared = self.state.clone();
        let thread = thread::Builder::new().name("stage1-resolver".into());
        match thread.spawn(move || answer_all(&shared)) {
            Ok(_) => state.threads += 1,
            // Those that run will come to it.
            Err(_) if state.threads > 0 => {}
            Err(error) => {
                state.questions.pop_back();
                return Err(error);
            }
        }
        Ok(())
    }
}

/// A thread's life: until there is no question left.
fn answer_all(shared: &Mutex<State>) {
    loop {
        let question = {
            let mut state = lock(shared);
            let Some(question) = state.questions.pop_front() else {
                state.threads -= 1;
                return;
            };
            question
        };
        if !question.answer.is_canceled() {
            // Nobody may be waiting any more, and that is no error.
            let _ = question.answer.send(look_up(&question.name));
        }
    }
}

fn look_up(name: &Name) -> io::Result<Vec<IpAddr>> {
    let addresses: Vec<IpAddr> =
        (name.as_str(), 0).to_socket_addrs()?.map(|address| address.ip()).collect();
    not_empty(addresses)
}

fn lock(shared: &Mutex<State>) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks for the addresses of a name. One that is an address already asks nobody.
pub(crate) fn begin(resolver: &dyn Resolve, name: Name) -> Resolving {
    if let Some(address) = name.as_address() {
        return Box::pin(async move { Ok(vec![address]) });
    }
    guard(|| resolver.resolve(name))
        .unwrap_or_else(|error| Box::pin(std::future::ready(Err(error))))
}

/// Polls what `begin` gave.
pub(crate) fn poll(
    resolving: &mut Resolving,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Vec<IpAddr>>> {
    let answer = guard(|| resolving.as_mut().poll(cx));
    answer
        .unwrap_or_else(|error| Poll::Ready(Err(error)))
        .map(|answer| answer.and_then(not_empty))
}

fn not_empty(addresses: Vec<IpAddr>) -> io::Result<Vec<IpAddr>> {
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(addresses)
}
