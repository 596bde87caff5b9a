//! What happened on a server, and waiting for it.
//!
//! Its rules: one lock and one condition variable for a whole server; who changes the log wakes
//! whoever waits, and makes no system call for it when nobody does.

use std::{
    collections::BTreeSet,
    fmt,
    net::SocketAddr,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Instant,
};

use super::{Request, TlsLog};
use crate::BOUND;

/// What a server has seen so far.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Connections that were accepted.
    pub accepted: usize,
    /// Connections that are open now.
    pub open: usize,
    /// The most that were open at once. One whose end has arrived from the peer is not counted,
    /// even if the script has not come to see it.
    pub most_open: usize,
    /// Requests that were received.
    pub received: usize,
    /// Each request, in the order of arrival over all connections. Empty on a server that was
    /// started unrecorded.
    pub requests: Vec<Arc<Request>>,
    /// Each connection, in the order of acceptance. Empty on a server that was started unrecorded.
    pub connections: Vec<ConnectionLog>,
    /// The first script that failed, and why.
    pub failure: Option<String>,
    /// What was opened by [`Server::open`](super::Server::open) or
    /// [`Connection::open`](super::Connection::open).
    pub opened: BTreeSet<String>,
}

/// What happened on one connection.
#[derive(Clone, Debug)]
pub struct ConnectionLog {
    /// The client's address.
    pub peer: SocketAddr,
    /// Requests that were received on it.
    pub requests: usize,
    /// Bytes that were read; under TLS, decrypted.
    pub bytes_in: usize,
    /// Bytes that the system has taken for sending; under TLS, before they were encrypted.
    pub bytes_out: usize,
    /// What its handshake has come to, once that is over on a server with TLS.
    pub tls: Option<TlsLog>,
    /// How it ended, once it has.
    pub end: Option<End>,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The peer closed it in order.
    PeerClosed,
    /// The peer reset it; a close with unread data does that too.
    PeerReset,
    /// The script closed it, or came to its end.
    Closed,
    /// The script reset it.
    Reset,
    /// TLS failed: an alert of the peer's, or a rule that it broke.
    Tls(String),
    /// The server was stopped.
    Stopped,
    /// The script failed: a gate stayed shut, what came was no request, an assertion.
    Failed(String),
}

impl Log {
    /// Connections that have ended.
    pub fn closed(&self) -> usize {
        self.accepted - self.open
    }

    /// What the handshake of the connection of this index has come to, once it is over.
    pub fn tls(&self, connection: usize) -> Option<&TlsLog> {
        self.connections.get(connection)?.tls.as_ref()
    }

    /// How the connection of this index ended; `None` if it is open, or was never accepted.
    pub fn end(&self, connection: usize) -> Option<&End> {
        self.connections.get(connection)?.end.as_ref()
    }

    /// The requests of one connection, in order.
    pub fn requests_on(&self, connection: usize) -> Vec<&Request> {
        self.requests.iter().map(|r| &**r).filter(|r| r.connection == connection).collect()
    }

    /// The targets of all requests, in the order of arrival.
    pub fn targets(&self) -> Vec<&str> {
        self.requests.iter().map(|request| request.target()).collect()
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} accepted, {} open, {} at most at once, {} requests, opened: {:?}",
            self.accepted, self.open, self.most_open, self.received, self.opened
        )?;
        for (index, connection) in self.connections.iter().enumerate() {
            let ConnectionLog { peer, bytes_in, bytes_out, end, .. } = connection;
            let requests = self.requests_on(index);
            writeln!(
                f,
                "  #{index} {peer}: in {bytes_in}, out {bytes_out}, {end:?}, {requests:?}"
            )?;
        }
        if let Some(failure) = &self.failure {
            writeln!(f, "  a script failed: {failure}")?;
        }
        Ok(())
    }
}

/// The log with those who wait for it to change.
#[derive(Default)]
pub(super) struct Watched {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) log: Log,
    /// The server is being stopped: it accepts nobody any more.
    pub(super) deaf: bool,
    /// And every wait of a script ends.
    pub(super) stopping: bool,
    /// Threads that wait. `notify_all` is a system call even for nobody.
    waiting: usize,
    /// Tasks that wait.
    wakers: Vec<Waker>,
}

impl Watched {
    /// For a look. Nothing under this lock runs a script, so a poisoned one is still sound.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the log, and wakes who waits.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.lock();
        let result = change(&mut state);
        let wakers = std::mem::take(&mut state.wakers);
        let waiting = state.waiting > 0;
        drop(state);
        if waiting {
            self.changed.notify_all();
        }
        wakers.into_iter().for_each(Waker::wake);
        result
    }

    /// Blocks until `ready` has an answer, at most for [`BOUND`]; `None` if it never had one.
    pub(super) fn wait<R>(&self, mut ready: impl FnMut(&State) -> Option<R>) -> Option<R> {
        let deadline = Instant::now() + BOUND;
        let mut state = self.lock();
        loop {
            if let Some(result) = ready(&state) {
                return Some(result);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            state.waiting += 1;
            let woken = self.changed.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
            state.waiting -= 1;
        }
    }

    /// The same for a task, without a bound of its own.
    pub(super) fn poll<R>(
        &self,
        cx: &mut Context<'_>,
        ready: impl FnOnce(&State) -> Option<R>,
    ) -> Poll<R> {
        let mut state = self.lock();
        match ready(&state) {
            Some(result) => Poll::Ready(result),
            None => {
                state.wakers.push(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
