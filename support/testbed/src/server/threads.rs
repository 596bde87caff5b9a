//! The threads of a server, and the sockets by which they are ended.
//!
//! Its rules: a connection's socket is shared by its thread and this register, nobody else, so
//! that letting go of it in both closes it; a thread that has ended is joined when the next
//! connection comes, or by the stop.

use std::{
    any::Any,
    collections::HashMap,
    io,
    net::{Shutdown, SocketAddr, TcpStream},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{Connection, ConnectionLog, End, Script, Shared, listen::Listener};

/// A script's stack: ample for a script, and a thousand of them are no matter.
const STACK: usize = 512 * 1024;

/// The thread that accepts on one listening socket.
pub(super) struct Acceptor {
    listener: Arc<Listener>,
    thread: JoinHandle<()>,
}

impl Acceptor {
    pub(super) fn start(
        listener: Listener,
        shared: Arc<Shared>,
        script: Arc<Script>,
    ) -> io::Result<Self> {
        let listener = Arc::new(listener);
        let accepting = listener.clone();
        let thread = thread::Builder::new()
            .name("testbed-accept".to_owned())
            .spawn(move || accept_all(&accepting, &shared, &script))?;
        Ok(Acceptor { listener, thread })
    }

    /// Ends the thread, which must have been told by the `deaf` flag.
    pub(super) fn stop(self) {
        self.listener.unblock();
        // It catches what a script does, and has no panic of its own to pass on.
        let _ = self.thread.join();
    }
}

fn accept_all(listener: &Listener, shared: &Arc<Shared>, script: &Arc<Script>) {
    loop {
        let accepted = listener.accept();
        if shared.watched.lock().deaf {
            return;
        }
        match accepted.and_then(|(stream, peer)| run(shared, script, stream, peer)) {
            Ok(()) => {}
            // A peer that gave up while it waited is no matter; out of descriptors or threads is,
            // and then the loop must not spin until some are free.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                shared.watched.change(|state| {
                    state.log.failure.get_or_insert_with(|| format!("accept: {error}"));
                });
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// Starts the script's thread for one connection.
fn run(
    shared: &Arc<Shared>,
    script: &Arc<Script>,
    stream: TcpStream,
    peer: SocketAddr,
) -> io::Result<()> {
    let socket = Arc::new(stream);
    let mut running = shared.threads.lock();
    let index = shared.accepted(&running, peer);
    running.sockets.insert(index, socket.clone());
    let (of_script, script) = (shared.clone(), script.clone());
    let thread = thread::Builder::new()
        .name("testbed-script".to_owned())
        .stack_size(STACK)
        .spawn(move || follow(&of_script, &script, socket, index));
    match thread {
        Ok(thread) => {
            running.threads.insert(index, thread);
        }
        Err(error) => {
            running.sockets.remove(&index);
            shared.ended(index, End::Failed(error.to_string()));
            return Err(error);
        }
    }
    let ended = std::mem::take(&mut running.ended);
    drop(running);
    ended.into_iter().for_each(join);
    Ok(())
}

fn follow(shared: &Arc<Shared>, script: &Arc<Script>, socket: Arc<TcpStream>, index: usize) {
    match Connection::new(shared.clone(), socket, index) {
        Ok(mut connection) => {
            let result = catch_unwind(AssertUnwindSafe(|| script(&mut connection)));
            let end = match result {
                Ok(result) => connection.verdict(result),
                Err(panic) => End::Failed(message(&*panic)),
            };
            connection.finish(end);
        }
        Err(error) => {
            shared.ended(index, End::Failed(error.to_string()));
            shared.forget(index);
        }
    }
    let mut running = shared.threads.lock();
    if let Some(thread) = running.threads.remove(&index) {
        running.ended.push(thread);
    }
}

/// The sockets and threads of the connections that are open.
#[derive(Default)]
pub(super) struct Threads(Mutex<Running>);

#[derive(Default)]
struct Running {
    sockets: HashMap<usize, Arc<TcpStream>>,
    threads: HashMap<usize, JoinHandle<()>>,
    /// Threads that have nothing more to do than to end.
    ended: Vec<JoinHandle<()>>,
}

impl Threads {
    fn lock(&self) -> MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends every connection, and waits for its thread.
    pub(super) fn stop(&self) {
        let mut running = self.lock();
        for socket in running.sockets.values() {
            // One that the peer has reset is not connected any more, and ends by itself.
            let _ = socket.shutdown(Shutdown::Both);
        }
        let mut threads = std::mem::take(&mut running.ended);
        threads.extend(running.threads.drain().map(|(_, thread)| thread));
        drop(running);
        threads.into_iter().for_each(join);
    }
}

fn join(thread: JoinHandle<()>) {
    // A script's panic was caught and is in the log.
    let _ = thread.join();
}

impl Shared {
    /// The register lets go of a connection's socket.
    pub(super) fn forget(&self, index: usize) {
        self.threads.lock().sockets.remove(&index);
    }

    /// Counts a new connection, and gives it its index.
    fn accepted(&self, running: &Running, peer: SocketAddr) -> usize {
        // Only a recorded server is asked how many were open at once.
        let gone = match self.recorded {
            true => running.sockets.values().filter(|socket| peer_is_gone(socket)).count(),
            false => 0,
        };
        self.watched.change(|state| {
            let log = &mut state.log;
            let index = log.accepted;
            log.accepted += 1;
            log.open += 1;
            log.most_open = log.most_open.max(log.open - gone.min(log.open - 1));
            if self.recorded {
                let new = ConnectionLog {
                    peer,
                    requests: 0,
                    bytes_in: 0,
                    bytes_out: 0,
                    tls: None,
                    end: None,
                };
                log.connections.push(new);
            }
            index
        })
    }
}

/// Whether the peer's close has arrived, though the script has not read so far. A client that
/// closes one connection and then makes another has one open, not two.
#[cfg(target_os = "linux")]
fn peer_is_gone(socket: &TcpStream) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    // Not by a look at what is to be read: TLS says goodbye before it closes.
    let mut asked = [PollFd::new(socket, PollFlags::RDHUP)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut asked, Some(&at_once)).is_ok_and(|events| events > 0)
}

#[cfg(all(unix, not(target_os = "linux")))]
fn peer_is_gone(socket: &TcpStream) -> bool {
    let mut byte = [std::mem::MaybeUninit::uninit()];
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    match socket2::SockRef::from(socket).recv_with_flags(&mut byte, flags) {
        Ok(length) => length == 0,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    }
}

#[cfg(not(unix))]
fn peer_is_gone(_socket: &TcpStream) -> bool {
    false
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("with no message"))
}
