//! Decisions about one exchange that need no I/O: which limit of time it is under, and whether its
//! connection may serve another one.

use std::{io, time::Duration};

use http::Response;

use crate::{
    Body, CloseReason, Config, Error, TimeoutPhase, Upload,
    clock::{Moment, after},
    decode::{Head, KeepAlive},
};

/// How far an exchange has come, as far as its limits of time depend on it.
///
/// Besides the limit of the whole call, at most one limit runs at a time: for sending the request,
/// then for the head of the response, then for its body. None runs while the caller leaves the
/// window of the response full, since the server may then wait for the caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the request that the transport has taken.
    pub written: usize,
    /// The transport has taken all of the request, or will take no more of it.
    pub sent: bool,
    /// Bytes that have been received.
    pub received: u64,
    /// The head of the response has come.
    pub head: bool,
    /// The response is not whole, and the caller leaves its window full.
    pub window_full: bool,
}

impl Progress {
    /// The limit that runs now. [`Config::limit`] has its length.
    pub fn limit(self) -> Option<TimeoutPhase> {
        match self {
            Progress { window_full: true, .. } => None,
            Progress { sent: false, .. } => Some(TimeoutPhase::Write),
            Progress { head: false, .. } => Some(TimeoutPhase::Head),
            _ => Some(TimeoutPhase::BodyIdle),
        }
    }

    /// Whether the limit that runs now restarts: it is another one than `before`, or a byte that it
    /// waits for has come. The limit of the head waits for all of the head.
    pub fn restarts(self, before: Progress) -> bool {
        let limit = self.limit();
        limit != before.limit()
            || match limit {
                Some(TimeoutPhase::Write) => self.written != before.written,
                Some(TimeoutPhase::BodyIdle) => self.received != before.received,
                _ => false,
            }
    }
}

impl Config {
    /// The length of a limit of time. Zero for a total limit that is not set.
    pub fn limit(&self, phase: TimeoutPhase) -> Duration {
        match phase {
            TimeoutPhase::Connect => self.connect_timeout,
            TimeoutPhase::Write => self.write_idle_timeout,
            TimeoutPhase::Head => self.head_timeout,
            TimeoutPhase::BodyIdle => self.body_idle_timeout,
            TimeoutPhase::Total => self.total_timeout.unwrap_or_default(),
        }
    }
}

impl Error {
    /// The error of a limit of time that ran out.
    pub fn timeout(phase: TimeoutPhase, config: &Config) -> Self {
        Error::Timeout { phase, after: config.limit(phase) }
    }
}

impl Head {
    /// The response that has this head.
    pub fn into_response(self, body: Body) -> Response<Body> {
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.version_mut() = self.version;
        *response.headers_mut() = self.headers;
        response
    }
}

impl CloseReason {
    /// The reason for closing a connection whose transport failed with this error.
    pub fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData => CloseReason::ProtocolError,
            io::ErrorKind::UnexpectedEof => CloseReason::PeerClosed,
            _ => CloseReason::Reset,
        }
    }
}

/// The limit of time that runs in an exchange, besides the limit of the whole call.
#[derive(Clone, Copy, Debug)]
pub struct TimeLimit<T> {
    /// The progress at the last update.
    progress: Progress,
    until: Option<T>,
}

impl<T: Moment> TimeLimit<T> {
    /// For an exchange that begins now.
    pub fn new(now: T, config: &Config) -> Self {
        let progress = Progress::default();
        TimeLimit { progress, until: end(progress, now, config) }
    }

    /// Restarts the limit, if the exchange has come further.
    pub fn update(&mut self, progress: Progress, now: T, config: &Config) {
        if progress.restarts(self.progress) {
            self.until = end(progress, now, config);
        }
        self.progress = progress;
    }

    /// When it runs out.
    pub fn until(&self) -> Option<T> {
        self.until
    }

    /// The limit that has run out, if one has. `total` is the end of the whole call's limit.
    pub fn expired(&self, total: Option<T>, now: T) -> Option<TimeoutPhase> {
        if total.is_some_and(|total| total <= now) {
            return Some(TimeoutPhase::Total);
        }
        self.progress.limit().filter(|_| self.until.is_some_and(|until| until <= now))
    }
}

fn end<T: Moment>(progress: Progress, now: T, config: &Config) -> Option<T> {
    progress.limit().map(|limit| after(now, config.limit(limit)))
}

/// The error and the close reason of an exchange whose stream has ended. `end` is what
/// [`Decoder::eof`](crate::Decoder::eof) says, `cause` the error of the stream, if there is one.
///
/// # Errors
///
/// Both, unless the end of the stream is the end of the response.
pub fn stream_end(
    end: Result<(), Error>,
    cause: Option<io::Error>,
) -> Result<(), (Error, CloseReason)> {
    match (end, cause) {
        (Ok(()), None) => Ok(()),
        (Err(error), None) => Err((error, CloseReason::PeerClosed)),
        (end, Some(cause)) => {
            let expected = match end {
                Err(Error::ClosedEarly { expected, .. }) => expected,
                _ => "expected an orderly end of the body",
            };
            let reason = CloseReason::of(&cause);
            Err((Error::broken(expected, cause), reason))
        }
    }
}

/// Whether the error of a refused write is why the stream ended. The system reports a failure once,
/// so after a write that failed the stream seems to end in good order.
///
/// `end` is what [`Decoder::eof`](crate::Decoder::eof) says. If it is `Ok`, only the end of the
/// stream ends the body. A write is refused after an orderly end too, but not by a reset: then the
/// body may have been cut.
pub fn is_cause(refusal: &io::Error, end: &Result<(), Error>) -> bool {
    end.is_err() || refusal.kind() == io::ErrorKind::ConnectionReset
}

/// How an exchange with a whole response has left its connection.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Whether the request was sent whole.
    pub upload: Upload,
    /// Why sending the request stopped before its end, if something failed: the transport, or a
    /// limit of time that ran out. The peer may also have ended the connection.
    pub ceased: Option<CloseReason>,
    /// The caller asked for the end of the connection.
    pub close: bool,
    /// [`Decoder::keep_alive`](crate::Decoder::keep_alive).
    pub keep_alive: Option<KeepAlive>,
    /// Bytes came after the end of the response.
    pub surplus_bytes: bool,
}

/// What a connection remembers from one exchange to the next.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowance {
    /// How many more exchanges the server will serve, if it said so.
    left: Option<u64>,
    reused: bool,
    may_be_stale: bool,
}

impl Allowance {
    /// The connection becomes idle: its server may close it before the next request arrives.
    pub fn mark_idle(&mut self) {
        self.may_be_stale = true;
    }

    /// An exchange begins. Returns whether the connection has carried one before, and whether its
    /// server may have closed it meanwhile ([`Failure`](crate::Failure)).
    pub fn begin(&mut self) -> (bool, bool) {
        let before = (self.reused, self.may_be_stale);
        (self.reused, self.may_be_stale) = (true, true);
        before
    }

    /// How long a connection may be idle after an exchange.
    ///
    /// # Errors
    ///
    /// Why it can serve no other exchange.
    pub fn after(
        &mut self,
        exchange: Outcome,
        config: &Config,
    ) -> Result<Duration, CloseReason> {
        if let Some(reason) = exchange.ceased {
            return Err(reason);
        }
        let usable = exchange.upload == Upload::Whole && !exchange.close;
        let keep_alive =
            exchange.keep_alive.filter(|_| usable).ok_or(CloseReason::PeerAsked)?;
        if exchange.surplus_bytes {
            return Err(CloseReason::Unsolicited);
        }
        // A server need not repeat how many exchanges it allows.
        self.left = keep_alive.max.or(self.left.map(|left| left.saturating_sub(1)));
        match self.left {
            Some(0) => Err(CloseReason::PeerAsked),
            _ => Ok(keep_alive.timeout.unwrap_or(Duration::MAX).min(config.idle_timeout)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENDING: Progress =
        Progress { written: 0, sent: false, received: 0, head: false, window_full: false };
    const SENT: Progress = Progress { written: 9, sent: true, ..SENDING };
    const BODY: Progress = Progress { received: 9, head: true, ..SENT };

    #[test]
    fn one_limit_runs_at_a_time() {
        assert_eq!(SENDING.limit(), Some(TimeoutPhase::Write));
        assert_eq!(Progress { head: true, ..SENDING }.limit(), Some(TimeoutPhase::Write));
        assert_eq!(SENT.limit(), Some(TimeoutPhase::Head));
        assert_eq!(BODY.limit(), Some(TimeoutPhase::BodyIdle));
        for progress in [SENDING, BODY] {
            assert_eq!(Progress { window_full: true, ..progress }.limit(), None);
        }
    }

    #[test]
    fn a_limit_begins_anew_with_each_byte_it_waits_for() {
        assert!(Progress { written: 1, ..SENDING }.restarts(SENDING));
        assert!(!Progress { received: 1, ..SENDING }.restarts(SENDING));
        assert!(Progress { received: 10, ..BODY }.restarts(BODY));
        assert!(!BODY.restarts(BODY));
    }

    #[test]
    fn the_limit_of_the_head_runs_through() {
        assert!(SENT.restarts(SENDING));
        assert!(!Progress { received: 1, ..SENT }.restarts(SENT));
        assert!(BODY.restarts(SENT));
    }

    #[test]
    fn a_limit_begins_anew_when_the_window_opens() {
        let full = Progress { window_full: true, ..BODY };
        assert!(full.restarts(BODY) && BODY.restarts(full));
    }

    #[test]
    fn each_limit_has_its_error() {
        let config = Config::new().write_idle_timeout(Duration::from_secs(7));
        let error = Error::timeout(TimeoutPhase::Write, &config);
        let (phase, seven) = (TimeoutPhase::Write, Duration::from_secs(7));
        assert!(
            matches!(error, Error::Timeout { phase: p, after } if (p, after) == (phase, seven))
        );
    }

    #[test]
    fn a_limit_runs_out_at_its_own_moment() {
        let config = Config::new().head_timeout(Duration::from_secs(3));
        let start = std::time::Instant::now();
        let second = Duration::from_secs(1);
        let mut limit = TimeLimit::new(start, &config);
        limit.update(SENT, start + second, &config);
        assert_eq!(limit.until(), Some(start + 4 * second));
        assert_eq!(limit.expired(None, start + 3 * second), None);
        assert_eq!(limit.expired(None, start + 4 * second), Some(TimeoutPhase::Head));
        let total = Some(start + 2 * second);
        assert_eq!(limit.expired(total, start + 2 * second), Some(TimeoutPhase::Total));
    }

    #[test]
    fn a_connection_may_be_stale_once_it_was_idle_or_used() {
        let (mut fresh, mut idled) = (Allowance::default(), Allowance::default());
        idled.mark_idle();
        assert_eq!(fresh.begin(), (false, false));
        assert_eq!(fresh.begin(), (true, true));
        assert_eq!(idled.begin(), (false, true));
    }

    fn whole() -> Outcome {
        let keep_alive = Some(KeepAlive::default());
        let (upload, ceased) = (Upload::Whole, None);
        Outcome { upload, ceased, close: false, keep_alive, surplus_bytes: false }
    }

    #[test]
    fn a_connection_serves_on_unless_something_speaks_against_it() {
        let after = |outcome| Allowance::default().after(outcome, &Config::new());
        assert_eq!(after(whole()), Ok(Config::new().idle_timeout));
        let cases = [
            (Outcome { keep_alive: None, ..whole() }, CloseReason::PeerAsked),
            (Outcome { close: true, ..whole() }, CloseReason::PeerAsked),
            (Outcome { upload: Upload::Cut, ..whole() }, CloseReason::PeerAsked),
            (Outcome { surplus_bytes: true, ..whole() }, CloseReason::Unsolicited),
            (Outcome { ceased: Some(CloseReason::Timeout), ..whole() }, CloseReason::Timeout),
        ];
        for (outcome, reason) in cases {
            assert_eq!(after(outcome), Err(reason), "{outcome:?}");
        }
    }

    #[test]
    fn a_reset_that_a_write_reported_does_not_end_a_body() {
        let early = Err(Error::ClosedEarly { expected: "expected more", source: None });
        let broken = io::ErrorKind::BrokenPipe.into();
        let reset = io::ErrorKind::ConnectionReset.into();
        assert!(is_cause(&broken, &early) && is_cause(&reset, &early));
        assert!(is_cause(&reset, &Ok(())) && !is_cause(&broken, &Ok(())));
    }

    #[test]
    fn the_server_may_count_the_exchanges_and_limit_the_pause() {
        let (mut allowance, config) = (Allowance::default(), Config::new());
        let keep_alive =
            |max, timeout| Outcome { keep_alive: Some(KeepAlive { max, timeout }), ..whole() };
        let five = Duration::from_secs(5);
        assert_eq!(allowance.after(keep_alive(Some(2), Some(five)), &config), Ok(five));
        assert_eq!(allowance.after(keep_alive(None, None), &config), Ok(config.idle_timeout));
        let end = allowance.after(keep_alive(None, Some(Duration::MAX)), &config);
        assert_eq!(end, Err(CloseReason::PeerAsked));
    }
}
