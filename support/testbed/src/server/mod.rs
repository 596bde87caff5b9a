//! A server whose every connection runs a script.
//!
//! ```
//! use testbed::{Server, reply::ok};
//!
//! let server = Server::start(|conn| {
//!     conn.request()?;
//!     conn.wait("answer")?; // a step, until the test calls `server.open("answer")`
//!     conn.send(ok("hello"))
//! });
//! # let client = std::net::TcpStream::connect(server.addr()).unwrap();
//! # std::io::Write::write_all(&mut &client, b"GET / HTTP/1.1\r\n\r\n").unwrap();
//! server.wait_requests(1);
//! server.open("answer");
//! # let mut answer = String::new();
//! # std::io::Read::read_to_string(&mut &client, &mut answer).unwrap();
//! # assert!(answer.ends_with("hello"));
//! let log = server.finish();
//! assert_eq!(log.accepted, 1);
//! ```
//!
//! Its rules: a thread accepts, a thread per connection runs the script; the log says what
//! happened; an error of a socket ends a script in peace, any other error and any panic *fails*
//! it, which every wait of the test reports at once; dropping the server ends its sockets, then
//! its threads, and waits for both.

mod connection;
mod drained;
mod listen;
mod log;
mod request;
mod threads;
mod tls;

use std::{
    cell::Cell,
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
    task::Poll,
};

pub use self::{
    connection::Connection,
    listen::has_ipv6,
    log::{ConnectionLog, End, Log},
    request::Request,
    tls::{ServerTls, TlsLog, Version},
};
use self::{
    listen::Listener,
    log::{State, Watched},
    threads::{Acceptor, Threads},
};

/// A running server. Dropping it ends every socket and thread that it made.
pub struct Server {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    acceptors: Vec<Acceptor>,
}

/// What a server's threads have in common.
struct Shared {
    watched: Watched,
    threads: Threads,
    /// Whether the log keeps requests and connections, or only counts them.
    recorded: bool,
    tls: Option<Arc<rustls::ServerConfig>>,
}

type Script = dyn Fn(&mut Connection) -> io::Result<()> + Send + Sync;

/// How a server is to be started, where [`Server::start`] will not do.
#[derive(Clone, Debug)]
pub struct Options {
    addresses: Vec<SocketAddr>,
    recorded: bool,
    receive_buffer: Option<usize>,
    send_buffer: Option<usize>,
    tls: Option<ServerTls>,
}

/// The running servers, for [`dump`].
static RUNNING: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

thread_local! {
    /// Whether servers that this thread starts speak TLS though they are not told to.
    static OVER_TLS: Cell<bool> = const { Cell::new(false) };
}

/// Runs a case as it is: the counterpart of [`over_tls`].
pub fn plain<R>(case: impl FnOnce() -> R) -> R {
    case()
}

/// Runs a case whose servers, those that it starts on this thread, all speak TLS: what is promised
/// of plain HTTP holds under TLS too.
pub fn over_tls<R>(case: impl FnOnce() -> R) -> R {
    let before = OVER_TLS.replace(true);
    let result = case();
    OVER_TLS.set(before);
    result
}

impl Default for Options {
    fn default() -> Self {
        Options {
            addresses: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            recorded: true,
            receive_buffer: None,
            send_buffer: None,
            tls: OVER_TLS.get().then(ServerTls::new),
        }
    }
}

impl Options {
    /// On `127.0.0.1`, on a port that the system chooses, recorded.
    pub fn new() -> Self {
        Self::default()
    }

    /// On `[::1]` only, on a port that the system chooses.
    #[must_use]
    pub fn ipv6(self) -> Self {
        self.on([SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 0))])
    }

    /// On this port of `127.0.0.1`, and of `[::1]` where the machine has it; 0 lets the system
    /// choose one that is free on both.
    #[must_use]
    pub fn port(self, port: u16) -> Self {
        let v4 = SocketAddr::from(([127, 0, 0, 1], port));
        let v6 = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, port));
        self.on([v4].into_iter().chain(has_ipv6().then_some(v6)))
    }

    /// On exactly these addresses. Where more than one has port 0, all get the same port.
    #[must_use]
    pub fn on(mut self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.addresses = addresses.into_iter().collect();
        self
    }

    /// Counts only, and keeps no request and no connection: for servers that run for long.
    /// [`Log::most_open`] then still counts a peer's close that the script has not seen.
    #[must_use]
    pub fn unrecorded(mut self) -> Self {
        self.recorded = false;
        self
    }

    /// The system's receive buffer of each connection, in bytes; the system may double it, and
    /// has a least of its own.
    #[must_use]
    pub fn receive_buffer(mut self, bytes: usize) -> Self {
        self.receive_buffer = Some(bytes);
        self
    }

    /// The system's send buffer of each connection, likewise.
    #[must_use]
    pub fn send_buffer(mut self, bytes: usize) -> Self {
        self.send_buffer = Some(bytes);
        self
    }

    /// Speaks TLS.
    #[must_use]
    pub fn tls(mut self, tls: ServerTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Starts the server.
    ///
    /// # Errors
    ///
    /// The system's, if an address cannot be bound or a thread not be started; rustls's, if key and
    /// certificate do not fit.
    pub fn start(
        self,
        script: impl Fn(&mut Connection) -> io::Result<()> + Send + Sync + 'static,
    ) -> io::Result<Server> {
        let listeners = listen::bind(&self)?;
        let addresses = listeners.iter().map(Listener::address).collect();
        let shared = Arc::new(Shared {
            watched: Watched::default(),
            threads: Threads::default(),
            recorded: self.recorded,
            tls: self.tls.as_ref().map(ServerTls::build).transpose()?,
        });
        let script: Arc<Script> = Arc::new(script);
        let mut server = Server { shared, addresses, acceptors: Vec::new() };
        for listener in listeners {
            let acceptor = Acceptor::start(listener, server.shared.clone(), script.clone())?;
            server.acceptors.push(acceptor);
        }
        register(&server.shared);
        Ok(server)
    }
}

impl Server {
    /// Starts a server on `127.0.0.1`, on a port that the system chooses. The script runs in a
    /// thread of its own for each connection; when it returns, the connection is closed.
    ///
    /// # Panics
    ///
    /// If the system has no port or thread to give.
    pub fn start(
        script: impl Fn(&mut Connection) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Options::new().start(script).expect("a server on a free port of 127.0.0.1")
    }

    /// The address, the first if there is more than one.
    pub fn addr(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// All addresses.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.addr().port()
    }

    /// The scheme of its URLs.
    pub fn scheme(&self) -> &'static str {
        self.shared.scheme()
    }

    /// The URL of a path on this server: `server.url("/a")` is `http://127.0.0.1:PORT/a`.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme(), self.addr())
    }

    /// The URL of a path under another name for this server, such as `localhost`.
    pub fn url_as(&self, host: &str, path: &str) -> String {
        format!("{}://{host}:{}{path}", self.scheme(), self.port())
    }

    /// What has happened so far.
    pub fn log(&self) -> Log {
        self.shared.watched.lock().log.clone()
    }

    /// Looks at the log without copying it.
    pub fn look<R>(&self, look: impl FnOnce(&Log) -> R) -> R {
        look(&self.shared.watched.lock().log)
    }

    /// Lets the scripts go on that [wait](Connection::wait) for this step, now and later.
    pub fn open(&self, step: &str) {
        self.shared.watched.change(|state| state.log.opened.insert(step.to_owned()));
    }

    /// Blocks until a script has come to `conn.open(step)`.
    ///
    /// # Panics
    ///
    /// As [`wait_for`](Self::wait_for).
    pub fn wait_open(&self, step: &str) {
        self.wait_for(&format!("step {step:?}"), |log| log.opened.contains(step));
    }

    /// Blocks until `count` connections were accepted, in all.
    ///
    /// # Panics
    ///
    /// As [`wait_for`](Self::wait_for).
    pub fn wait_accepted(&self, count: usize) {
        self.wait_for(&format!("{count} accepted"), |log| log.accepted >= count);
    }

    /// Blocks until `count` requests were received, in all.
    ///
    /// # Panics
    ///
    /// As [`wait_for`](Self::wait_for).
    pub fn wait_requests(&self, count: usize) {
        self.wait_for(&format!("{count} requests"), |log| log.received >= count);
    }

    /// Blocks until `count` connections have ended, in all. A script sees its peer's close only
    /// while it reads.
    ///
    /// # Panics
    ///
    /// As [`wait_for`](Self::wait_for).
    pub fn wait_closed(&self, count: usize) {
        self.wait_for(&format!("{count} connections ended"), |log| log.closed() >= count);
    }

    /// Blocks until the log fulfils a condition. `what` says in the message what was waited for.
    ///
    /// # Panics
    ///
    /// With the log, after [`BOUND`](crate::BOUND), and at once if a script has failed.
    #[track_caller]
    pub fn wait_for(&self, what: &str, condition: impl Fn(&Log) -> bool) {
        let come = self.shared.watched.wait(|state| outcome(state, &condition));
        if come != Some(true) {
            panic!("waited for: {what}\nserver: {}", self.log());
        }
    }

    /// The same as a future, for a test that must go on polling its client meanwhile. The bound is
    /// whatever bounds the test, such as [`run::block_on`](crate::run::block_on).
    ///
    /// # Panics
    ///
    /// With the log, when a script has failed.
    pub async fn until(&self, what: &str, condition: impl Fn(&Log) -> bool) {
        let come = std::future::poll_fn(|cx| -> Poll<bool> {
            self.shared.watched.poll(cx, |state| outcome(state, &condition))
        });
        assert!(come.await, "waited for: {what}\nserver: {}", self.log());
    }

    /// Ends every socket and thread, and gives the final log. Scripts that are still waiting are
    /// not thought to have failed.
    ///
    /// # Panics
    ///
    /// If a script failed.
    pub fn finish(mut self) -> Log {
        self.stop();
        let log = self.log();
        assert!(log.failure.is_none(), "server: {log}");
        log
    }

    /// Ends the server as [`Drop`] does, while its handle stays: what a crash of the server looks
    /// like to a client.
    pub fn stop(&mut self) {
        // First nobody listens any more, so that a client which finds its connection at an end
        // cannot begin another.
        self.shared.watched.change(|state| state.deaf = true);
        self.acceptors.drain(..).for_each(Acceptor::stop);
        self.shared.watched.change(|state| state.stopping = true);
        self.shared.threads.stop();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({}: {})", self.addr(), self.log())
    }
}

/// The logs of all servers of this process that are running, for the message of a test that hangs.
pub fn dump() -> String {
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    let servers = running.iter().filter_map(Weak::upgrade);
    servers.map(|shared| format!("server: {}", shared.watched.lock().log)).collect()
}

fn register(shared: &Arc<Shared>) {
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    running.retain(|server| server.strong_count() > 0);
    running.push(Arc::downgrade(shared));
}

/// `Some(true)` once the condition holds, `Some(false)` if it need not be waited for.
fn outcome(state: &State, condition: impl Fn(&Log) -> bool) -> Option<bool> {
    if condition(&state.log) {
        return Some(true);
    }
    state.log.failure.is_some().then_some(false)
}

impl Shared {
    fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// The connection of this index has ended.
    fn ended(&self, index: usize, end: End) {
        self.watched.change(|state| {
            state.log.open -= 1;
            if let End::Failed(why) = &end {
                state.log.failure.get_or_insert_with(|| format!("#{index}: {why}"));
            }
            if let Some(connection) = state.log.connections.get_mut(index) {
                connection.end = Some(end);
            }
        });
    }
}
