//! From a name to its addresses: the part that a user can replace, and what all clients do around
//! it.
//!
//! Its rules:
//! - a name that is an address already is not looked up;
//! - there is one lookup of a name at a time, however many callers ask: a name whose servers are
//!   silent takes one thread, not one per caller;
//! - the system's resolver blocks. At most [`MOST_LOOKUPS`] of its lookups run at once, on threads
//!   that the stage starts. A thread ends when there is no name left to look up;
//! - a user's resolver is foreign code: it runs under no lock, and its panic fails one lookup.

mod workers;

use std::{
    collections::HashMap,
    fmt, io,
    net::IpAddr,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{
    FutureExt, TryFutureExt,
    channel::oneshot,
    future::{self, WeakShared},
};

use self::workers::{Job, Workers};
use crate::{Config, Error};

pub use self::workers::{MOST_LOOKUPS, Work};

/// The host and port of an origin, as a resolver takes them: an IPv6 address has no brackets. The
/// addresses that it returns have no port, but they may depend on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    host: Arc<str>,
    port: u16,
}

impl Name {
    /// A name; an IPv6 address without its brackets.
    pub fn new(host: &str, port: u16) -> Self {
        Name { host: host.into(), port }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.host
    }

    /// The port that the connection is for.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address, if the name is one already: then no resolver is asked.
    pub fn as_address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)
    }
}

/// The future of a resolver's answer.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Looks up the addresses of a name.
///
/// A client looks up each name and port once at a time, and shares the answer among the requests
/// that wait for it.
///
/// The future is polled where the client's sockets live: by the event loop in stages 1 and 2, by
/// a task in stage 3. It must not block there. It may wake its waker from any thread. Dropping it
/// gives up.
pub trait Resolver: Send + Sync {
    /// Asks for the addresses of `name`, best first.
    ///
    /// # Errors
    ///
    /// Any error of the source. An answer without addresses counts as an error of kind `NotFound`.
    fn resolve(&self, name: Name) -> Resolving;
}

impl fmt::Debug for dyn Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

/// The addresses of a name, some time later: at least one, best first. See [`Lookups::resolve`].
pub type Lookup = Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, Error>> + Send>>;

/// The lookups of one client, by the user's resolver or by the system's.
pub struct Lookups {
    /// The user's; `None` is the system's.
    resolver: Option<Arc<dyn Resolver>>,
    workers: Workers,
}

/// The lookups that have no answer yet. Those that all callers gave up may be among them.
type Running = HashMap<Name, WeakShared<Lookup>>;

impl Lookups {
    /// Looks names up as `config` says. `start` runs a piece of work on a thread that may block,
    /// without waiting for it. It is only called for the system's resolver.
    pub fn new(
        config: &Config,
        start: impl Fn(Work) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Lookups {
            resolver: config.resolver.clone(),
            workers: Workers::new(start, workers::system),
        }
    }

    /// Looks up a name, or joins the lookup of it that is running. Neither blocks nor panics.
    ///
    /// # Errors
    ///
    /// Of the future: [`Error::Resolve`], or [`Error::Io`] if the system had no file descriptor
    /// left to ask with.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up. Once all callers of a name have given up, its lookup is
    /// dropped if it is the user's, and not begun if it waits for a thread. A lookup that a thread
    /// has begun cannot be stopped. It goes on, and answers callers that ask for the name meanwhile.
    pub fn resolve(&self, name: Name) -> Lookup {
        if let Some(address) = name.as_address() {
            return Box::pin(future::ready(Ok(vec![address])));
        }
        let key = self.key(&name);
        let shared = self.workers.shared();
        let mut state = lock(&shared.state);
        if let Some(lookup) = state.running.get(&key).and_then(WeakShared::upgrade) {
            return Box::pin(lookup);
        }
        let (answer, answered) = oneshot::channel();
        let host = name.host.clone();
        let source: Resolving = match self.resolver.clone() {
            Some(resolver) => Box::pin(ask(resolver, name, key.clone(), shared.clone())),
            None => {
                Box::pin(answered.unwrap_or_else(|_| Err(io::Error::other("not looked up"))))
            }
        };
        let lookup = source.map(move |answer| check(&host, answer)).boxed().shared();
        // Upgrading can make this the last owner of a user's future, so these are dropped after the
        // lock.
        let mut others = Vec::new();
        state.running.retain(|_, lookup| {
            let other = lookup.upgrade();
            let is_running = other.is_some();
            others.extend(other);
            is_running
        });
        state.running.extend(lookup.downgrade().map(|lookup| (key.clone(), lookup)));
        drop(state);
        if self.resolver.is_none() {
            self.workers.queue(Job { name: key, lookup: lookup.downgrade(), answer });
        }
        Box::pin(lookup)
    }

    /// Names with one key have one lookup. The system knows no port.
    fn key(&self, name: &Name) -> Name {
        let port = if self.resolver.is_some() { name.port } else { 0 };
        Name::new(&name.host.to_ascii_lowercase(), port)
    }
}

impl fmt::Debug for Lookups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookups").field("resolver", &self.resolver).finish_non_exhaustive()
    }
}

/// Asks a user's resolver. It is foreign code, so it is called by the first poll, under no lock.
async fn ask(
    resolver: Arc<dyn Resolver>,
    name: Name,
    key: Name,
    shared: Arc<workers::Shared>,
) -> io::Result<Vec<IpAddr>> {
    let asked = async move { resolver.resolve(name).await };
    let answer = AssertUnwindSafe(asked).catch_unwind().await;
    // From now on, a call begins another lookup.
    lock(&shared.state).running.remove(&key);
    answer.unwrap_or_else(|_| Err(io::Error::other("the resolver panicked")))
}

/// No address at all is an error.
fn check(host: &str, answer: io::Result<Vec<IpAddr>>) -> Result<Vec<IpAddr>, Error> {
    match answer {
        Ok(addresses) if addresses.is_empty() => {
            let none = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            Err(Error::resolve(host, none))
        }
        other => other.map_err(|error| Error::resolve(host, error)),
    }
}

/// No foreign code runs under these locks, so a poisoned one is still sound.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
