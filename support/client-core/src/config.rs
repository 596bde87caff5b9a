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
    /// The most connections to one origin at once, counting those that are being made. Default 8.
    pub max_per_origin: usize,
    /// The most connections in all at once, counting those that are being made. Default 128, which
    /// is half of macOS's default limit of 256 open files. The other half is left to the program, to
    /// a second address that is tried at the same time, to name resolution and to the event loop. If
    /// no descriptor is left nevertheless, an idle connection is closed and the attempt begins
    /// again, once.
    pub max_total: usize,
    /// The most idle connections kept for one origin. Default 8.
    pub max_idle_per_origin: usize,
    /// The longest time for which a connection stays idle. Default 90 s.
    pub idle_timeout: Duration,
    /// The most requests that wait for a connection, in all origins together. Default 100,000.
    pub max_waiting: usize,
    /// The time for name, TCP and TLS of one connection, for all its addresses together. Default
    /// 10 s.
    pub connect_timeout: Duration,
    /// The time in which the transport must take at least one byte of the request. It restarts with
    /// each byte that is taken, and goes on after a response that comes early. It pauses while the
    /// caller leaves the window full of a response that is not whole, since a server may read no
    /// further before the response is read. The system takes up to a megabyte at once, so on a slow
    /// network a short limit can run out although bytes arrive. Default 30 s.
    pub write_idle_timeout: Duration,
    /// The time from the request's last byte written to the end of the response's head. Default
    /// 30 s.
    pub head_timeout: Duration,
    /// The time in which at least one byte of the body must come, once the request is sent. It
    /// pauses while the window is full. Default 30 s.
    pub body_idle_timeout: Duration,
    /// The time for the whole call, from its future's first poll to the last byte of the request
    /// sent and of the body received. Waiting for a connection counts. Default: none.
    pub total_timeout: Option<Duration>,
    /// The longest head, the longest trailer section, and the most of 1xx responses before one
    /// response, each in bytes. Default 64 KiB.
    pub max_head: usize,
    /// The most fields of a head, and of a trailer section. A greater number counts as 256. Default
    /// 100.
    pub max_headers: usize,
    /// The longest body, in bytes after chunked coding is taken off. Default: none.
    pub max_body: Option<u64>,
    /// Decoded bytes of a body that wait for the caller before the client stops reading. One read
    /// buffer more may come. Default 64 KiB.
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
