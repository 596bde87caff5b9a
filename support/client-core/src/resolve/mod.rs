//! From a name to its addresses: the part that a user may replace, and what all clients do around
//! it.
//!
//! Its rules:
//! - a name that is an address already is not looked up;
//! - there is one lookup of a name at a time, whoever asks: a name whose servers are silent takes
//!   one thread, not one per caller;
//! - the system's resolver blocks. At most [`MOST_LOOKUPS`] of its lookups run at once, on threads
//!   that the client starts in its own way. A thread lives as long as there are names to look up;
//! - a resolver of the user's is foreign code: its panic fails one lookup.

mod lookup;
mod workers;

use std::{
    collections::HashMap,
    fmt, io,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use self::{
    lookup::{Asker, Lookup, Source},
    workers::Workers,
};
use crate::Config;

pub use self::workers::{MOST_LOOKUPS, Work};

/// The host of an origin, as a resolver takes it: no brackets. Its addresses have no port, but a
/// source may tell services on one host apart by it.
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

/// The answer of a resolver, some time later.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// A source of addresses.
///
/// A client asks for a name and port once at a time, and shares the answer among all who wait for
/// it.
///
/// The future is polled where the client's sockets live: by the event loop in stages 1 and 2, by
/// a task in stage 3. It must not block there, and wakes its waker from wherever it likes.
/// Dropping it gives up.
pub trait Resolver: Send + Sync {
    /// Asks for the addresses of `name`, best first.
    ///
    /// # Errors
    ///
    /// Whatever the source says; no address at all counts as an error of kind `NotFound`.
    fn resolve(&self, name: Name) -> Resolving;
}

impl fmt::Debug for dyn Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

/// The resolver of one client: the user's or the system's, with the rules above.
pub struct Lookups {
    /// The user's; `None` is the system's.
    replaced: Option<Arc<dyn Resolver>>,
    workers: Workers,
    /// The lookups that are under way, or are over and have not been dropped yet.
    lookups: Mutex<HashMap<Name, Weak<Lookup>>>,
}

impl Lookups {
    /// The resolver that `config` names. `start` runs a piece of work on a thread that may block,
    /// without waiting for it. It is only called for the system's resolver.
    pub fn new(
        config: &Config,
        start: impl Fn(Work) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Lookups {
            replaced: config.resolver.clone(),
            workers: Workers::new(start, workers::system),
            lookups: Mutex::default(),
        }
    }

    /// Asks for the addresses of a name, as [`Resolver::resolve`] does: there is at least one, best
    /// first. It neither blocks nor panics.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up. Once all who asked for a name have given up, its lookup is
    /// dropped if it is the user's, and not begun if it waits for a thread. A lookup that a thread
    /// has begun can't be stopped. It goes on, and answers those who ask for the name meanwhile.
    pub fn resolve(&self, name: Name) -> Resolving {
        if let Some(address) = name.as_address() {
            return Box::pin(std::future::ready(Ok(vec![address])));
        }
        let mut lookups = lock(&self.lookups);
        let key = self.key(&name);
        // Dropped after the lock: if it is over, this may be all that holds a user's error.
        let latest = lookups.get(&key).and_then(Weak::upgrade);
        if let Some(asker) = latest.as_ref().and_then(Asker::join) {
            return Box::pin(asker);
        }
        let source = match &self.replaced {
            Some(resolver) => Source::Unasked(resolver.clone(), name),
            None => Source::Blocking,
        };
        let (lookup, asker) = Lookup::begin(&key, source);
        lookups.retain(|_, lookup| lookup.strong_count() > 0);
        lookups.insert(key, Arc::downgrade(&lookup));
        drop(lookups);
        if self.replaced.is_none() {
            self.workers.ask(&lookup);
        }
        Box::pin(asker)
    }

    /// Names with one key have one lookup. The system knows no port.
    fn key(&self, name: &Name) -> Name {
        let port = if self.replaced.is_some() { name.port } else { 0 };
        Name::new(&name.host.to_ascii_lowercase(), port)
    }
}

impl fmt::Debug for Lookups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookups").field("replaced", &self.replaced).finish_non_exhaustive()
    }
}

/// No foreign code runs under these locks, so a poisoned one is still sound.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
