//! The server that fails as planned, and counts what it received.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    thread,
    time::Duration,
};

use client_core::{Name, Resolver, Resolving};
use futures::channel::oneshot;
use testbed::{Connection, Request, reply, server};

use super::plan::{self, Fault, Plan, Seed};

/// The origins by their numbers: three of the server without TLS, one of that with it.
const NAMES: [&str; 4] = ["localhost", "both.invalid", "two.invalid", "pinned.invalid"];

/// The server, without TLS and with it.
pub(super) struct Server {
    plain: testbed::Server,
    secure: testbed::Server,
    pub(super) ledger: Arc<Ledger>,
}

/// What was received.
pub(super) struct Ledger {
    pub(super) seed: Seed,
    /// How often, by the request's number.
    received: Vec<AtomicU8>,
    /// Callers that give up once their request was received.
    leaving: Mutex<HashMap<u64, oneshot::Sender<()>>>,
    /// The first request that is not what was sent.
    wrong: Mutex<Option<String>>,
}

/// Every name is this machine.
#[derive(Debug)]
pub(super) struct Loopback;

impl Resolver for Loopback {
    fn resolve(&self, _: Name) -> Resolving {
        Box::pin(async { Ok(vec![[127, 0, 0, 1].into()]) })
    }
}

impl Server {
    pub(super) fn start(seed: Seed, requests: u64) -> io::Result<Self> {
        let ledger = Arc::new(Ledger {
            seed,
            received: (0..requests).map(|_| AtomicU8::new(0)).collect(),
            leaving: Mutex::default(),
            wrong: Mutex::default(),
        });
        let options = server::Options::new().unrecorded();
        let plain = start(options.clone(), &ledger)?;
        let secure = start(options.tls(server::ServerTls::new()), &ledger)?;
        Ok(Server { plain, secure, ledger })
    }

    /// The URL of each origin, with a slash at its end.
    pub(super) fn urls(&self) -> Vec<String> {
        let (plain, secure) = NAMES.split_at(NAMES.len() - 1);
        let plain = plain.iter().map(|name| self.plain.url_as(name, "/"));
        plain.chain(secure.iter().map(|name| self.secure.url_as(name, "/"))).collect()
    }

    pub(super) fn open(&self) -> usize {
        [&self.plain, &self.secure].map(|server| server.look(|log| log.open)).iter().sum()
    }

    /// What went wrong on this side.
    pub(super) fn failure(&self) -> Option<String> {
        let mut servers = [&self.plain, &self.secure].into_iter();
        let failure = servers.find_map(|server| server.look(|log| log.failure.clone()));
        failure.or_else(|| lock(&self.ledger.wrong).clone())
    }

    pub(super) fn finish(self) {
        self.plain.finish();
        self.secure.finish();
    }
}

fn start(options: server::Options, ledger: &Arc<Ledger>) -> io::Result<testbed::Server> {
    let ledger = ledger.clone();
    options.start(move |conn| {
        while let Some(request) = conn.next_request()? {
            if !follow(conn, &ledger, &request)? {
                break;
            }
        }
        Ok(())
    })
}

impl Ledger {
    pub(super) fn received(&self, id: u64) -> u8 {
        self.received[id as usize].load(Ordering::SeqCst)
    }

    /// Resolves when the request has been received.
    pub(super) fn arrival(&self, id: u64) -> oneshot::Receiver<()> {
        let (arrived, arrival) = oneshot::channel();
        lock(&self.leaving).insert(id, arrived);
        arrival
    }

    pub(super) fn forget(&self, id: u64) {
        lock(&self.leaving).remove(&id);
    }

    /// Counts a request, and looks whether it is the one that was sent.
    fn count(&self, request: &Request) -> Option<(u64, Plan, u8)> {
        let id: u64 = request.target()[1..].parse().ok()?;
        let time = self.received.get(id as usize)?.fetch_add(1, Ordering::SeqCst);
        let plan = Plan::of(self.seed, id);
        let body = plan::upload(self.seed, id, plan.upload);
        (request.method() == plan.method && request.body == body).then_some((id, plan, time))
    }
}

/// Does to a request what is planned. Whether the connection goes on.
fn follow(conn: &mut Connection, ledger: &Ledger, request: &Request) -> io::Result<bool> {
    let Some((id, plan, time)) = ledger.count(request) else {
        lock(&ledger.wrong).get_or_insert_with(|| format!("received {request:?}"));
        return Ok(false);
    };
    let body = plan::body(ledger.seed, id, plan.length);
    match fail(conn, ledger, (id, plan, time), &body) {
        // The client may have closed it: it has no use for a connection that breaks a rule.
        Err(error) if error.kind() != io::ErrorKind::TimedOut => Ok(false),
        goes_on => goes_on,
    }
}

fn fail(
    conn: &mut Connection,
    ledger: &Ledger,
    (id, plan, time): (u64, Plan, u8),
    body: &[u8],
) -> io::Result<bool> {
    let tag = id.to_string();
    let whole = || reply::respond(200, &[("x-tag", &tag)], body);
    match plan.fault {
        Fault::None | Fault::BodyDropped => conn.send(whole())?,
        Fault::Chunked => conn.send(chunked(&tag, body))?,
        Fault::UntilClose => {
            conn.send(reply::head(200, &[("x-tag", &tag)]))?;
            conn.send(body)?;
            return Ok(false);
        }
        Fault::Delay => {
            thread::sleep(Duration::from_millis(1 + id % 20));
            conn.send(whole())?;
        }
        Fault::Slow => {
            let whole = whole();
            for piece in whole.chunks(whole.len() / 4 + 1) {
                conn.send(piece)?;
                thread::sleep(Duration::from_millis(1 + id % 4));
            }
        }
        Fault::ClosedAfter => {
            conn.send(whole())?;
            return Ok(false);
        }
        Fault::ResetAfter => {
            conn.send(whole())?;
            conn.reset()?;
            return Ok(false);
        }
        Fault::ClosedBefore | Fault::ResetBefore if time > 0 => conn.send(whole())?,
        Fault::ClosedBefore => return Ok(false),
        Fault::ResetBefore => {
            conn.reset()?;
            return Ok(false);
        }
        Fault::Truncated | Fault::ResetWithin => {
            let whole = whole();
            conn.send(&whole[..whole.len() - 1 - plan.length / 2])?;
            if plan.fault == Fault::ResetWithin {
                conn.reset()?;
            }
            return Ok(false);
        }
        Fault::Garbage => conn.send([&whole()[..], b"and more"].concat())?,
        Fault::Malformed => conn.send("HTTP/1.1 200 OK\r\ncontent-length : 1\r\n\r\nx")?,
        Fault::Silent | Fault::CallerLeaves => {
            if let Some(arrived) = lock(&ledger.leaving).remove(&id) {
                // A caller that has its error already does not wait for it.
                let _ = arrived.send(());
            }
            conn.wait_closed()?;
            return Ok(false);
        }
    }
    Ok(true)
}

fn chunked(tag: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = reply::head(200, &[("x-tag", tag), ("transfer-encoding", "chunked")]);
    for piece in body.chunks(700) {
        bytes.extend_from_slice(&reply::chunk(piece));
    }
    bytes.extend_from_slice(format!("0\r\nx-tag: {tag}\r\n\r\n").as_bytes());
    bytes
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
