//! A resolver that answers when it is told, from a thread of its own, as the system's does.
//!
//! It stands in for the system's because that may know more than one address of `localhost`, and
//! because a recording in which the answer overtakes the question's thread is another one.

use std::{
    error::Error,
    io,
    net::{IpAddr, Ipv4Addr},
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use client_core::{Name, Resolver, Resolving};
use futures::channel::oneshot;
use testbed::BOUND;

type Answer = oneshot::Sender<io::Result<Vec<IpAddr>>>;

/// The end that clients ask.
pub(super) struct Names(Mutex<Sender<Answer>>);

/// The end that answers.
pub(super) struct Answers(Receiver<Answer>);

/// A resolver, and who answers for it.
pub(super) fn names() -> (Names, Answers) {
    let (ask, asked) = channel();
    (Names(Mutex::new(ask)), Answers(asked))
}

impl Resolver for Names {
    fn resolve(&self, _: Name) -> Resolving {
        let (answer, answered) = oneshot::channel();
        let asked = self.0.lock().unwrap_or_else(PoisonError::into_inner).send(answer);
        Box::pin(async move {
            asked.map_err(io::Error::other)?;
            answered.await.unwrap_or_else(|gone| Err(io::Error::other(gone)))
        })
    }
}

impl Answers {
    /// Answers the oldest question with the loopback's address, and returns when that is done.
    ///
    /// # Errors
    ///
    /// If nobody asks within [`BOUND`].
    pub(super) fn answer(&self) -> Result<(), Box<dyn Error>> {
        let question = self.0.recv_timeout(BOUND)?;
        let thread = thread::Builder::new().name("resolver".into()).spawn(move || {
            // Whoever asked may have gone.
            let _ = question.send(Ok(vec![Ipv4Addr::LOCALHOST.into()]));
        })?;
        thread.join().map_err(|_| "the resolver's thread panicked".into())
    }
}
