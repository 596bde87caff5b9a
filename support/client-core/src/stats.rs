//! The statistics of a pool, and of one exchange.

use std::fmt;

use crate::decode;

/// Why a connection was closed. Each connection has one reason, the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// It was idle for longer than [`Config::idle_timeout`](crate::Config::idle_timeout).
    IdleExpired,
    /// The origin had [`Config::max_idle_per_origin`](crate::Config::max_idle_per_origin) already.
    IdleLimit,
    /// The peer closed it.
    PeerClosed,
    /// The peer reset it, or the socket failed.
    Reset,
    /// The peer sent bytes that belong to no response.
    Unsolicited,
    /// The peer asked for it: `Connection: close`, `Keep-Alive`, HTTP/1.0, or a body that only the
    /// end of the connection ends.
    PeerAsked,
    /// The response broke a rule or a limit.
    ProtocolError,
    /// A limit of time ran out.
    Timeout,
    /// The caller dropped the response's future.
    Cancelled,
    /// The caller dropped the body before its end, or before its request was sent whole.
    BodyDropped,
    /// A waiter needed its slot, or an attempt its descriptor.
    Evicted,
    /// The client was closed.
    ClientClosed,
}

impl CloseReason {
    /// All reasons, in the order of the type.
    pub const ALL: [CloseReason; 12] = [
        CloseReason::IdleExpired,
        CloseReason::IdleLimit,
        CloseReason::PeerClosed,
        CloseReason::Reset,
        CloseReason::Unsolicited,
        CloseReason::PeerAsked,
        CloseReason::ProtocolError,
        CloseReason::Timeout,
        CloseReason::Cancelled,
        CloseReason::BodyDropped,
        CloseReason::Evicted,
        CloseReason::ClientClosed,
    ];

    /// The reason as logs and programs read it.
    pub fn as_str(self) -> &'static str {
        match self {
            CloseReason::IdleExpired => "idle-expired",
            CloseReason::IdleLimit => "idle-limit",
            CloseReason::PeerClosed => "peer-closed",
            CloseReason::Reset => "reset",
            CloseReason::Unsolicited => "unsolicited",
            CloseReason::PeerAsked => "peer-asked",
            CloseReason::ProtocolError => "protocol-error",
            CloseReason::Timeout => "timeout",
            CloseReason::Cancelled => "cancelled",
            CloseReason::BodyDropped => "body-dropped",
            CloseReason::Evicted => "evicted",
            CloseReason::ClientClosed => "client-closed",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The state of a pool at one moment, and what it has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Connections that are open now: `idle` and `in_use` together. One that is being made is
    /// neither, though it counts against the limits.
    pub open: usize,
    /// Open connections that wait for a request.
    pub idle: usize,
    /// Open connections in the middle of an exchange.
    pub in_use: usize,
    /// Connections that are being made: name, TCP, TLS.
    pub connecting: usize,
    /// Requests that wait for a connection.
    pub waiting: usize,
    /// Connections that were made. Addresses that lost a race are not counted.
    pub created: u64,
    /// Exchanges that were begun on a connection that had carried one before.
    pub reused: u64,
    /// Requests that were sent a second time after a stale connection.
    pub retried: u64,
    closed: [u64; CloseReason::ALL.len()],
}

impl PoolStats {
    /// How many connections were closed for this reason.
    pub fn closed(&self, reason: CloseReason) -> u64 {
        self.closed[reason as usize]
    }

    /// How many connections were closed, for any reason.
    pub fn closed_in_all(&self) -> u64 {
        self.closed.iter().sum()
    }

    /// Counts one more connection closed for this reason. Only a pool has a use for it.
    pub fn count_closed(&mut self, reason: CloseReason) {
        self.closed[reason as usize] += 1;
    }
}

/// One line: what is open now, and what has happened so far.
impl fmt::Display for PoolStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PoolStats { open, idle, in_use, connecting, waiting, .. } = self;
        let PoolStats { created, reused, retried, .. } = self;
        write!(f, "{open} open ({idle} idle, {in_use} in use), {connecting} connecting, ")?;
        write!(
            f,
            "{waiting} waiting; {created} created, {reused} reused, {retried} retried; "
        )?;
        write!(f, "{} closed", self.closed_in_all())?;
        let reasons = CloseReason::ALL.into_iter().filter(|reason| self.closed(*reason) > 0);
        for (index, reason) in reasons.enumerate() {
            let before = if index == 0 { ": " } else { ", " };
            write!(f, "{before}{} {reason}", self.closed(reason))?;
        }
        Ok(())
    }
}

/// Which connection carried an exchange, and how it got there: [`Body::exchange`](crate::Body).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    /// The connection's number, unique within its client, from 1.
    pub connection: u64,
    /// The connection had carried an exchange before.
    pub reused: bool,
    /// How often the request was sent: 1, or 2 after a stale connection.
    pub attempts: u32,
    /// Whether the request was sent whole. Certain at the body's end.
    pub upload: Upload,
}

/// What became of sending a request.
///
/// A server may answer before it has read the request. The client then goes on sending while the
/// server reads (RFC 9112 section 9.5). It stops when
///
/// - the response is whole and says that the connection ends: `Connection: close`, HTTP/1.0 without
///   `keep-alive`, or a body that only the end of the connection ends;
/// - the server ends or resets the connection;
/// - [`Config::write_idle_timeout`](crate::Config::write_idle_timeout) or
///   [`Config::total_timeout`](crate::Config::total_timeout) runs out;
/// - the caller drops the response.
///
/// The response is delivered in the first three cases too, if it is whole. A server that answers
/// with success to half a request may have stored half of it, so the caller can ask:
/// [`Body::exchange`](crate::Body::exchange).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Upload {
    /// The client is still sending, or about to.
    #[default]
    Pending,
    /// The connection took all of the request.
    Whole,
    /// The client stopped before the end. The server cannot have received the whole request.
    Cut,
}

impl Upload {
    /// What a whole response means for its request. `Pending` means that sending goes on.
    ///
    /// `sent`: the transport took all of the request. `refused`: it takes no more of it.
    /// `keep_alive`: [`Decoder::keep_alive`](crate::Decoder::keep_alive).
    pub fn at_response_end(
        sent: bool,
        refused: bool,
        keep_alive: Option<decode::KeepAlive>,
    ) -> Self {
        match (sent, refused, keep_alive) {
            (true, ..) => Upload::Whole,
            (false, false, Some(_)) => Upload::Pending,
            (false, ..) => Upload::Cut,
        }
    }

    /// The upload once nothing more will be sent: `Pending` becomes `Cut`.
    #[must_use]
    pub fn ended(self) -> Self {
        if self == Upload::Whole { self } else { Upload::Cut }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sending_goes_on_after_a_response_that_keeps_the_connection() {
        let kept = Some(decode::KeepAlive::default());
        assert_eq!(Upload::at_response_end(false, false, kept), Upload::Pending);
        assert_eq!(Upload::at_response_end(false, false, None), Upload::Cut);
        assert_eq!(Upload::at_response_end(false, true, kept), Upload::Cut);
        for (refused, keep_alive) in [(false, kept), (false, None), (true, kept)] {
            assert_eq!(Upload::at_response_end(true, refused, keep_alive), Upload::Whole);
        }
    }
}
