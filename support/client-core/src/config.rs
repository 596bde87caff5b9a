//! What a user can set, with defaults that suit an API client.

use std::{sync::Arc, time::Duration};

use crate::{Error, Resolver, Tls};

/// The settings of a client. Every field has a setter of its name:
///
/// ```
/// use client_core::Config;
/// use std::time::Duration;
///
/// let config = Config::new().max_per_origin(4).total_timeout(Duration::from_secs(5));
/// assert_eq!(config.max_total, Config::default().max_total);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Connections to one origin at once, those that are being made included. Default 8.
    pub max_per_origin: usize,
    /// Connections in all at once, those that are being made included. Default 128: with the
    /// smallest default limit of a system, 256 open files (macOS), it leaves the other half to the
    /// program, to a second address that is tried at the same time, to name resolution and to the
    /// event loop. If descriptors run out nevertheless, an idle connection is closed and the
    /// attempt is begun again, once.
    pub max_total: usize,
    /// Idle connections kept for one origin. Default 8.
    pub max_idle_per_origin: usize,
    /// How long a connection may stay idle. Default 90 s.
    pub idle_timeout: Duration,
    /// Requests that may wait for a connection, in all origins together. Default 100,000.
    pub max_waiting: usize,
    /// Name, TCP and TLS of one connection, however many addresses are tried. Default 10 s.
    pub connect_timeout: Duration,
    /// How long sending the request may stand still: the transport takes no byte of it while some
    /// is unsent. It begins anew with each byte that is taken. It goes on after a response that
    /// comes early, and stands only while the caller leaves the window full of a response that is
    /// not whole, since a server may read no further before that is read. The system takes bytes
    /// in lots of up to a megabyte, so on a slow network a short limit can run out though bytes
    /// arrive. Default 30 s.
    pub write_idle_timeout: Duration,
    /// From the request's last byte written to the end of the response's head. Default 30 s.
    pub head_timeout: Duration,
    /// How long a body may stand still while there is room for it, once the request is sent. Default
    /// 30 s.
    pub body_idle_timeout: Duration,
    /// The whole call, from its future's first poll, its wait for a connection included, to the last
    /// byte of the request sent and of the body received. Default: none.
    pub total_timeout: Option<Duration>,
    /// The longest head, the longest trailer section, and the most of 1xx responses before one
    /// response, each in bytes. Default 64 KiB.
    pub max_head: usize,
    /// Fields in a head, and in a trailer section; 256 is the most that is honoured. Default 100.
    pub max_headers: usize,
    /// The longest body, in bytes after chunked coding is taken off. Default: none.
    pub max_body: Option<u64>,
    /// Decoded bytes of a body that may wait for the caller before reading stops; one read buffer
    /// more may come. Default 64 KiB.
    pub body_window: usize,
    /// Sends small writes at once (`TCP_NODELAY`). Default true.
    pub tcp_nodelay: bool,
    /// Looks names up. Default `None`: the system's resolver.
    pub resolver: Option<Arc<dyn Resolver>>,
    /// Trusted roots and the client's certificate. Default: the system's roots, no certificate.
    pub tls: Tls,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            max_per_origin: 8,
            max_total: 128,
            max_idle_per_origin: 8,
            idle_timeout: Duration::from_secs(90),
            max_waiting: 100_000,
            connect_timeout: Duration::from_secs(10),
            write_idle_timeout: Duration::from_secs(30),
            head_timeout: Duration::from_secs(30),
            body_idle_timeout: Duration::from_secs(30),
            total_timeout: None,
            max_head: 64 * 1024,
            max_headers: 100,
            max_body: None,
            body_window: 64 * 1024,
            tcp_nodelay: true,
            resolver: None,
            tls: Tls::new(),
        }
    }
}

/// A setter for each field, so that settings read as one expression.
macro_rules! setters {
    ($($field:ident: $value:ty),* $(,)?) => {
        $(
            #[doc = concat!("Sets [`", stringify!($field), "`](Self#structfield.", stringify!($field), ").")]
            #[must_use]
            pub fn $field(mut self, value: $value) -> Self {
                self.$field = value.into();
                self
            }
        )*
    };
}

impl Config {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    setters! {
        max_per_origin: usize,
        max_total: usize,
        max_idle_per_origin: usize,
        idle_timeout: Duration,
        max_waiting: usize,
        connect_timeout: Duration,
        write_idle_timeout: Duration,
        head_timeout: Duration,
        body_idle_timeout: Duration,
        total_timeout: impl Into<Option<Duration>>,
        max_head: usize,
        max_headers: usize,
        max_body: impl Into<Option<u64>>,
        body_window: usize,
        tcp_nodelay: bool,
        tls: Tls,
    }

    /// Replaces the system's resolver.
    #[must_use]
    pub fn resolver(mut self, resolver: impl Resolver + 'static) -> Self {
        self.resolver = Some(Arc::new(resolver));
        self
    }

    /// Checks the limits against one another; every stage's `Client::new` does it first.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidRequest`] that names the field, if a limit is zero with which no request
    /// could ever be answered.
    pub fn check(&self) -> Result<(), Error> {
        let limits = [
            ("max_per_origin", self.max_per_origin),
            ("max_total", self.max_total),
            ("max_head", self.max_head),
            ("max_headers", self.max_headers),
            ("body_window", self.body_window),
        ];
        match limits.iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(Error::invalid(format!("expected {name} to be at least 1"))),
            None => Ok(()),
        }
    }
}
