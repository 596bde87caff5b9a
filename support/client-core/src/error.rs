//! What can go wrong, as one enum that can be cloned.
//!
//! Its rules:
//! - an error names what was expected;
//! - a cause is kept as its source;
//! - programs read the names of one table, [`ErrorKind::as_str`].

use std::{error::Error as StdError, fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::InvalidMessage;

use crate::is_out_of_descriptors;

/// The cause of an error, shared by its clones.
pub type Source = Arc<dyn StdError + Send + Sync>;

/// Why a request, or the body of its response, failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request cannot be sent as it stands: URL, scheme, header or method. Nothing was sent.
    #[error("invalid request: {0}")]
    InvalidRequest(Arc<str>),

    /// The name has no address, or the resolver failed.
    #[error("could not resolve {name}")]
    Resolve {
        /// The host that was asked for.
        name: Arc<str>,
        /// What the resolver said.
        source: Source,
    },

    /// No address of the origin took the connection.
    #[error("could not connect to {origin}: {}", list(attempts))]
    Connect {
        /// The origin, as `host:port`.
        origin: Arc<str>,
        /// Each address that was tried, in the order of the attempts.
        attempts: Arc<[AttemptError]>,
    },

    /// The TLS handshake failed, or the peer broke the protocol later, or there is no usable root
    /// or certificate.
    #[error("TLS: {message}")]
    Tls {
        /// What was expected.
        message: Arc<str>,
        /// What the TLS library said.
        source: Option<Source>,
    },

    /// A limit of time ran out.
    #[error("timed out after {after:?}: {phase}")]
    Timeout {
        /// Which limit.
        phase: TimeoutPhase,
        /// Its length.
        after: Duration,
    },

    /// The peer ended the connection before the response was whole.
    #[error("the connection closed early: {expected}")]
    ClosedEarly {
        /// What was still to come.
        expected: &'static str,
        /// The error of the socket, if it was no orderly end.
        source: Option<Source>,
    },

    /// The response breaks a rule of HTTP/1.1.
    #[error("protocol error: {0}")]
    Protocol(Arc<str>),

    /// The response exceeds a limit of [`Config`](crate::Config).
    #[error("too large: {what} exceeds the limit of {limit}")]
    TooLarge {
        /// What was too large.
        what: &'static str,
        /// The limit, in bytes or pieces as `what` says.
        limit: u64,
    },

    /// As many callers wait for a connection as [`Config::max_waiting`](crate::Config) allows.
    #[error("pool busy: {limit} requests are waiting already")]
    PoolBusy {
        /// The limit.
        limit: usize,
    },

    /// The operating system refused what the client needs, such as a file descriptor.
    #[error("i/o: {context}")]
    Io {
        /// What the client was doing.
        context: &'static str,
        /// What the system said.
        source: Source,
    },

    /// The client was closed, or what it ran on has ended.
    #[error("the client is shut down")]
    ShutDown,
}

/// One address that did not take the connection.
#[derive(Clone, Debug)]
pub struct AttemptError {
    /// The address.
    pub address: SocketAddr,
    /// What the system said, or that it did not answer in time.
    pub source: Source,
}

/// Which limit of time ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimeoutPhase {
    /// Name, TCP and TLS together, for one connection.
    Connect,
    /// Between two bytes of the request that the transport takes.
    Write,
    /// From the request's last byte written to the end of the response's head.
    Head,
    /// Between two pieces of the body, while there is room for one.
    BodyIdle,
    /// The whole call, its time in the queue and both bodies included.
    Total,
}

/// The kind of an [`Error`], for a `match` that needs no payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs)] // The variants are those of `Error`.
pub enum ErrorKind {
    InvalidRequest,
    Resolve,
    Connect,
    Tls,
    Timeout,
    ClosedEarly,
    Protocol,
    TooLarge,
    PoolBusy,
    Io,
    ShutDown,
}

impl Error {
    /// The kind, without what was said about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::InvalidRequest(_) => ErrorKind::InvalidRequest,
            Error::Resolve { .. } => ErrorKind::Resolve,
            Error::Connect { .. } => ErrorKind::Connect,
            Error::Tls { .. } => ErrorKind::Tls,
            Error::Timeout { .. } => ErrorKind::Timeout,
            Error::ClosedEarly { .. } => ErrorKind::ClosedEarly,
            Error::Protocol(_) => ErrorKind::Protocol,
            Error::TooLarge { .. } => ErrorKind::TooLarge,
            Error::PoolBusy { .. } => ErrorKind::PoolBusy,
            Error::Io { .. } => ErrorKind::Io,
            Error::ShutDown => ErrorKind::ShutDown,
        }
    }

    /// Which limit of time ran out, if one did.
    pub fn timeout_phase(&self) -> Option<TimeoutPhase> {
        match self {
            Error::Timeout { phase, .. } => Some(*phase),
            _ => None,
        }
    }

    /// An [`Error::InvalidRequest`] that says what was expected.
    pub fn invalid(message: impl Into<Arc<str>>) -> Self {
        Error::InvalidRequest(message.into())
    }

    /// An [`Error::Protocol`] that says which rule was broken.
    pub fn protocol(message: impl Into<Arc<str>>) -> Self {
        Error::Protocol(message.into())
    }

    /// A stream failed: an [`Error::Tls`] if it was TLS that did, else an [`Error::ClosedEarly`]
    /// whose cause is the socket's error. An end without TLS's own (RFC 8446 section 6.1) is the
    /// latter, of kind `UnexpectedEof`.
    pub fn broken(expected: &'static str, source: io::Error) -> Self {
        match tls_of(&source) {
            Some(error) => Error::tls(error),
            None => Error::ClosedEarly { expected, source: Some(Arc::new(source)) },
        }
    }

    /// An [`Error::Tls`]: the handshake failed, whatever ended it.
    pub fn handshake(source: io::Error) -> Self {
        match tls_of(&source) {
            // A wrong port or scheme is common, so it has a message of its own.
            Some(error @ rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
                let message = format!("the server does not speak TLS here ({error})").into();
                Error::Tls { message, source: Some(Arc::new(error)) }
            }
            Some(error) => Error::tls(error),
            None => Error::Tls {
                message: "the connection ended in mid-handshake".into(),
                source: Some(Arc::new(source)),
            },
        }
    }

    /// An [`Error::Tls`] with what rustls said.
    pub fn tls(source: rustls::Error) -> Self {
        Error::Tls { message: source.to_string().into(), source: Some(Arc::new(source)) }
    }

    /// An [`Error::Io`]: the system refused what the client was doing.
    pub fn io(context: &'static str, source: io::Error) -> Self {
        Error::Io { context, source: Arc::new(source) }
    }

    /// An [`Error::Resolve`] for this name; an [`Error::Io`] if no descriptor was left to ask with.
    pub fn resolve(name: &str, source: io::Error) -> Self {
        if is_out_of_descriptors(&source) {
            return Error::io("resolving a name", source);
        }
        Error::Resolve { name: name.into(), source: Arc::new(source) }
    }
}

impl AttemptError {
    /// What `address` answered.
    pub fn new(address: SocketAddr, source: io::Error) -> Self {
        AttemptError { address, source: Arc::new(source) }
    }
}

impl ErrorKind {
    /// The kind as programs read it: `--json`, logs and tests use this table.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::InvalidRequest => "invalid-request",
            ErrorKind::Resolve => "resolve",
            ErrorKind::Connect => "connect",
            ErrorKind::Tls => "tls",
            ErrorKind::Timeout => "timeout",
            ErrorKind::ClosedEarly => "closed-early",
            ErrorKind::Protocol => "protocol",
            ErrorKind::TooLarge => "too-large",
            ErrorKind::PoolBusy => "pool-busy",
            ErrorKind::Io => "io",
            ErrorKind::ShutDown => "shut-down",
        }
    }
}

impl TimeoutPhase {
    /// The phase as programs read it.
    pub fn as_str(self) -> &'static str {
        match self {
            TimeoutPhase::Connect => "connect",
            TimeoutPhase::Write => "write",
            TimeoutPhase::Head => "head",
            TimeoutPhase::BodyIdle => "body-idle",
            TimeoutPhase::Total => "total",
        }
    }
}

impl fmt::Display for TimeoutPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TimeoutPhase::Connect => "no connection (name, TCP and TLS) in time",
            TimeoutPhase::Write => "sending the request stood still for too long",
            TimeoutPhase::Head => "no response head in time",
            TimeoutPhase::BodyIdle => "the body stood still for too long",
            TimeoutPhase::Total => "the call was not whole in time",
        })
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What rustls said, if it is inside an error of a stream.
fn tls_of(error: &io::Error) -> Option<rustls::Error> {
    error.get_ref()?.downcast_ref().cloned()
}

fn list(attempts: &[AttemptError]) -> String {
    let one = |attempt: &AttemptError| format!("{} ({})", attempt.address, attempt.source);
    attempts.iter().map(one).collect::<Vec<_>>().join(", ")
}
