//! From a name to its addresses: the part that a user may replace.

use std::{fmt, io, net::IpAddr, pin::Pin, sync::Arc};

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
/// The future is polled where the client's sockets live: by the event loop in stages 1 and 2, by
/// a task in stage 3. It must not block there, and wakes its waker from wherever it likes.
/// Dropping it gives up.
pub trait Resolve: Send + Sync {
    /// Asks for the addresses of `name`, best first.
    ///
    /// # Errors
    ///
    /// Whatever the source says; no address at all counts as an error of kind `NotFound`.
    fn resolve(&self, name: Name) -> Resolving;
}

impl fmt::Debug for dyn Resolve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolve")
    }
}
