//! A resolver that answers in an act of the schedule.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use client_core::{Name, Resolver, Resolving};
use futures::channel::oneshot;

use crate::schedule::{Addresses, Origin};

/// The origin that was asked about, and the way to the asker until it has the answer.
type Question = (usize, Option<oneshot::Sender<io::Result<Vec<IpAddr>>>>);

/// The names of one client's origins, which have one port each.
#[derive(Clone)]
pub(crate) struct Names {
    origins: Arc<Vec<(u16, Origin)>>,
    questions: Arc<Mutex<Vec<Question>>>,
}

impl Names {
    pub(crate) fn new(origins: Vec<(u16, Origin)>) -> Self {
        Names { origins: Arc::new(origins), questions: Arc::default() }
    }

    /// The number of the question about this origin that waits for its answer.
    pub(crate) fn pending(&self, origin: usize) -> Option<usize> {
        let waits = |(of, question): &Question| {
            *of == origin && question.as_ref().is_some_and(|question| !question.is_canceled())
        };
        self.lock().iter().rposition(waits)
    }

    /// Answers what has been asked about an origin.
    pub(crate) fn answer(&self, origin: usize, addresses: Addresses) {
        for (_, question) in self.lock().iter_mut().filter(|(of, _)| *of == origin) {
            if let Some(question) = question.take() {
                // The client may have given the lookup up.
                let _ = question.send(addresses.answer());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Question>> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resolver for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let origin = self.origins.iter().position(|(port, _)| *port == name.port());
        let Some(origin) = origin else {
            return Box::pin(async { Addresses::Missing.answer() });
        };
        match self.origins[origin].1 {
            Origin::Prompt => Box::pin(async { Addresses::Serving.answer() }),
            Origin::Refusing => Box::pin(async { Addresses::Refusing.answer() }),
            Origin::Held => {
                let (question, answer) = oneshot::channel();
                self.lock().push((origin, Some(question)));
                Box::pin(async {
                    answer.await.unwrap_or_else(|gone| Err(io::Error::other(gone)))
                })
            }
        }
    }
}

impl Addresses {
    fn answer(self) -> io::Result<Vec<IpAddr>> {
        let serving = Ipv4Addr::LOCALHOST.into();
        // No socket listens there: the servers are bound to one address each.
        let refusing = Ipv4Addr::new(127, 0, 0, 2).into();
        match self {
            Addresses::Serving => Ok(vec![serving]),
            Addresses::RefusingThenServing => Ok(vec![refusing, serving]),
            Addresses::Refusing => Ok(vec![refusing]),
            Addresses::Missing => Err(io::ErrorKind::NotFound.into()),
        }
    }
}
