//! What a user and a server can see of one client, at rest.

use client_core::{ErrorKind, PoolStats, Upload};

/// Everything that is compared. Calls and connections are in the order in which they began.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Seen {
    pub(crate) calls: Vec<CallSeen>,
    pub(crate) connections: Vec<ConnectionSeen>,
    /// For each origin, what the client wants to know of its name.
    pub(crate) lookups: Vec<Lookup>,
    pub(crate) stats: PoolStats,
    /// The future of `close` has resolved.
    pub(crate) closed: bool,
}

/// Whether the client waits for the addresses of a name.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Lookup {
    #[default]
    Nothing,
    Pending,
    /// The lookup of before is over, and another one was begun.
    Renewed,
}

/// What the caller of one request has received.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CallSeen {
    pub(crate) head: Option<HeadSeen>,
    /// The pieces of the body, as they were delivered.
    pub(crate) pieces: Vec<String>,
    pub(crate) end: End,
}

/// What a caller knows once it has the head of a response.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct HeadSeen {
    /// The index of the connection.
    pub(crate) connection: usize,
    pub(crate) reused: bool,
    pub(crate) attempts: u32,
    pub(crate) upload: Upload,
}

/// How a call has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum End {
    #[default]
    Pending,
    Whole,
    Failed(ErrorKind),
    /// The caller dropped its future, or the body.
    GivenUp,
}

/// What the server has seen of one connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ConnectionSeen {
    pub(crate) origin: usize,
    pub(crate) requests: Vec<RequestSeen>,
    /// The client has closed it, or the server has reset it.
    pub(crate) ended: bool,
}

/// A request as the server received it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RequestSeen {
    pub(crate) call: usize,
    pub(crate) method: String,
    /// The server has read all of its body.
    pub(crate) whole: bool,
}

impl Seen {
    /// Begins another act: what was new is so no longer.
    pub(crate) fn settle(&mut self) {
        for lookup in self.lookups.iter_mut().filter(|lookup| **lookup == Lookup::Renewed) {
            *lookup = Lookup::Pending;
        }
    }
}
