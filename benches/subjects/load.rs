//! What a subject is asked for, and how its responses are verified.

use std::{net::SocketAddr, sync::Arc};

use http::{StatusCode, Uri};
use testbed::api::pattern;

use crate::Failure;

/// What a subject is asked for. All of them get the same.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// The server.
    pub(crate) addr: SocketAddr,
    /// What is got from there.
    pub(crate) path: String,
    /// The body of a right answer.
    expected: Arc<[u8]>,
    /// Calls that are under way at once, those that wait for a connection included.
    pub(crate) callers: usize,
    /// Connections at most.
    pub(crate) connections: usize,
}

/// The JSON of `GET /quotes/7`: the exchange that the book follows.
const QUOTE: &str = "{\"id\":7,\"text\":\"All things come to those who wait, if somebody \
                     registers their interest first.\",\"author\":\"old proverb, amended\"}";

/// The server closes the connection after this answer.
const CLOSE: &str = "/close";

impl Load {
    /// Small answers on connections that are kept.
    pub(crate) fn small(addr: SocketAddr, callers: usize) -> Self {
        Load::of(addr, "/quotes/7".to_owned(), QUOTE.as_bytes().into(), callers)
    }

    /// Bodies of this length.
    pub(crate) fn bytes(addr: SocketAddr, length: usize, callers: usize) -> Self {
        Load::of(addr, format!("/bytes/{length}"), patterned(length), callers)
    }

    /// Bodies of this length, in chunked coding.
    pub(crate) fn chunked(addr: SocketAddr, length: usize, callers: usize) -> Self {
        Load::of(addr, format!("/chunked/{length}"), patterned(length), callers)
    }

    /// A connection for each call: the server closes it after its answer.
    pub(crate) fn cold(addr: SocketAddr, callers: usize) -> Self {
        Load::of(addr, CLOSE.to_owned(), b"bye\n".as_slice().into(), callers)
    }

    fn of(addr: SocketAddr, path: String, expected: Arc<[u8]>, callers: usize) -> Self {
        Load { addr, path, expected, callers, connections: callers }
    }

    /// With fewer connections than callers, so that some always wait.
    #[must_use]
    pub(crate) fn on_connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// Whether the answer's head says how long its body is.
    pub(crate) fn has_length(&self) -> bool {
        !self.path.starts_with("/chunked")
    }

    /// Whether each call needs a connection of its own.
    pub(crate) fn is_cold(&self) -> bool {
        self.path == CLOSE
    }

    /// Calls that make every connection, and let each be used again.
    pub(crate) fn warm_up(&self) -> u64 {
        self.callers as u64 * 4
    }

    /// The address that clients are given.
    pub(crate) fn url(&self) -> String {
        format!("http://{}{}", self.addr, self.path)
    }

    /// The same, parsed once.
    ///
    /// # Errors
    ///
    /// None: it is one of ours.
    pub(crate) fn uri(&self) -> Result<Uri, Failure> {
        Ok(self.url().parse()?)
    }

    /// A check of one answer.
    pub(crate) fn check(&self) -> Check<'_> {
        Check { left: &self.expected, wrong: false }
    }
}

fn patterned(length: usize) -> Arc<[u8]> {
    let mut bytes = Vec::new();
    pattern::extend(&mut bytes, 0, length);
    bytes.into()
}

/// Compares a body, as it comes, with what it has to be.
#[derive(Debug)]
pub(crate) struct Check<'a> {
    left: &'a [u8],
    wrong: bool,
}

impl Check<'_> {
    /// The next piece.
    pub(crate) fn update(&mut self, piece: &[u8]) {
        match self.left.strip_prefix(piece) {
            Some(left) => self.left = left,
            None => self.wrong = true,
        }
    }

    /// The end of the body.
    ///
    /// # Errors
    ///
    /// If the answer was not the one that was expected.
    pub(crate) fn end(self, status: StatusCode) -> Result<(), Failure> {
        if status == StatusCode::OK && self.left.is_empty() && !self.wrong {
            return Ok(());
        }
        let (missing, wrong) = (self.left.len(), self.wrong);
        let found =
            if wrong { "another body".to_owned() } else { format!("{missing} too few") };
        Err(format!("expected 200 and the whole body, found {status} and {found}").into())
    }
}
