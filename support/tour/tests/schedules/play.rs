//! Plays a script to one client.
//!
//! After each act it waits until all is seen that the model predicts. That is a condition for rest
//! because each act changes what is seen, and because requests, connections and the sums of
//! [`PoolStats`](client_core::PoolStats) only grow: what a client does beyond the prediction, be it
//! later, differs from a later prediction, at the latest from that for a closed client.

use std::{
    collections::BTreeMap,
    io,
    ops::Range,
    sync::OnceLock,
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use client_core::{ApiClient, Body, Error};
use futures::{FutureExt, future::BoxFuture};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full};

use crate::{
    model::{Script, Step},
    names::Names,
    schedule::{Act, Send, Size, piece},
    seen::{CallSeen, ConnectionSeen, End, HeadSeen, Lookup, Seen},
    server::{Peers, Server},
};

/// Where a client has departed from the prediction.
#[derive(Debug)]
pub(crate) struct Departure {
    pub(crate) step: usize,
    pub(crate) seen: Seen,
}

/// Plays a script. `bound` is how long coming to rest may take after each act.
///
/// # Errors
///
/// What is seen instead of what is predicted.
///
/// # Panics
///
/// If the system refuses a socket or a thread.
pub(crate) fn play<C: ApiClient>(
    script: &Script,
    server: &Server,
    bound: Duration,
) -> Result<(), Box<Departure>> {
    let mut player = Player::<C>::new(script, server).expect("a client");
    for (index, step) in script.steps.iter().enumerate() {
        if !player.step(step, bound).expect("the system's sockets") {
            return Err(Box::new(Departure { step: index, seen: player.seen }));
        }
    }
    Ok(())
}

struct Player<'a, C: ApiClient> {
    client: C,
    names: Names,
    /// The question about each origin that was pending before the act.
    questions: Vec<Option<usize>>,
    ports: Vec<u16>,
    peers: Peers<'a>,
    callers: Vec<Caller>,
    close: Option<BoxFuture<'static, ()>>,
    seen: Seen,
    identities: Identities,
}

/// What a caller holds.
enum Caller {
    Future(BoxFuture<'static, Result<Response<Body>, Error>>),
    Body(Body),
    Nothing,
}

/// Which connection is which in the prediction.
///
/// A connection has the index in which it was accepted, which is also its number, less one. If
/// several are made by one act, their order means nothing: then they are known by the first request
/// that they serve.
#[derive(Default)]
struct Identities {
    /// The predicted index of each connection, in the order in which they were accepted.
    accepted: Vec<usize>,
    /// The predicted index of each number that the client has reported.
    numbers: BTreeMap<u64, usize>,
    /// Which connections were made by one act.
    groups: Vec<Range<usize>>,
}

impl<'a, C: ApiClient> Player<'a, C> {
    fn new(script: &Script, server: &'a Server) -> io::Result<Self> {
        let origins = &script.settings.origins;
        let ports = (0..origins.len()).map(|origin| server.port(origin));
        let ports: Vec<_> = ports.collect::<io::Result<_>>()?;
        let names = Names::new(ports.iter().copied().zip(origins.iter().copied()).collect());
        let client = C::new(script.settings.config().resolver(names.clone()));
        Ok(Player {
            client: client.map_err(io::Error::other)?,
            names,
            questions: Vec::new(),
            ports,
            peers: server.peers(),
            callers: Vec::new(),
            close: None,
            seen: Seen { lookups: vec![Lookup::Nothing; origins.len()], ..Seen::default() },
            identities: Identities::default(),
        })
    }

    /// Plays an act, and waits for what it leads to. Whether that was predicted.
    fn step(&mut self, step: &Step, bound: Duration) -> io::Result<bool> {
        let Step { act, seen: predicted } = step;
        let origins = 0..self.ports.len();
        self.questions = origins.map(|origin| self.names.pending(origin)).collect();
        self.act(act);
        let begun = Instant::now();
        for round in 0.. {
            // An attempt may ask for a name after the others have the answer.
            if let Act::Resolve { origin, addresses } = act
                && predicted.lookups[*origin] == Lookup::Nothing
            {
                self.names.answer(*origin, *addresses);
            }
            self.look(predicted)?;
            self.read_to_the_end(predicted);
            if self.seen == *predicted {
                let known = self.identities.groups.last().map_or(0, |group| group.end);
                self.identities.groups.push(known..predicted.connections.len());
                return Ok(true);
            }
            if round < 100 {
                thread::yield_now();
            } else if begun.elapsed() > bound {
                break;
            } else {
                thread::sleep(Duration::from_micros(20));
            }
        }
        Ok(false)
    }

    /// The end of a connection is behind what was sent before it. An upload is read only when the
    /// client sends no more of it.
    fn read_to_the_end(&mut self, predicted: &Seen) {
        if self.seen.stats == predicted.stats {
            for (peer, index) in self.peers.peers.iter_mut().zip(&self.identities.accepted) {
                let ended = predicted.connections.get(*index).is_some_and(|seen| seen.ended);
                peer.reads_on |= ended;
            }
        }
    }

    fn act(&mut self, act: &Act) {
        match *act {
            Act::Start { origin, method, size } => self.start(origin, method, size),
            Act::Resolve { origin, addresses } => self.names.answer(origin, addresses),
            Act::Send(send) => self.send(send),
            Act::ReadRest { connection } => self.peer(connection).reads_on = true,
            Act::Noise { connection } => self.peer(connection).send(b"x"),
            Act::Shut { connection } => self.peer(connection).shut(),
            Act::Reset { connection } => self.peer(connection).reset(),
            Act::GiveUp { call } => {
                self.callers[call] = Caller::Nothing;
                self.seen.calls[call].end = End::GivenUp;
            }
            Act::Close => self.close = Some(self.client.close().boxed()),
        }
    }

    fn peer(&mut self, connection: usize) -> &mut crate::server::Peer {
        let accepted = self.identities.accepted.iter().position(|index| *index == connection);
        &mut self.peers.peers[accepted.expect("a connection that was accepted")]
    }

    fn start(&mut self, origin: usize, method: &str, size: Size) {
        static UPLOAD: OnceLock<Bytes> = OnceLock::new();
        let all = UPLOAD.get_or_init(|| vec![b'u'; Size::Upload.bytes()].into());
        let (port, call) = (self.ports[origin], self.callers.len());
        let request = Request::builder()
            .method(method)
            .uri(format!("http://origin{origin}.test:{port}/{call}"))
            .body(Full::new(all.slice(..size.bytes())))
            .expect("a request");
        self.callers.push(Caller::Future(self.client.request(request).boxed()));
        self.seen.calls.push(CallSeen::default());
    }

    fn send(&mut self, send: Send) {
        let peer = self.peer(send.connection);
        let mut bytes = send.head.map_or(String::new(), |head| head.bytes());
        let pieces = (peer.sent..peer.sent + send.pieces).map(piece);
        peer.sent += send.pieces;
        peer.chunked = send.head.map_or(peer.chunked, |head| head.is_chunked());
        for piece in pieces {
            match peer.chunked {
                true => bytes += &format!("{:x}\r\n{piece}\r\n", piece.len()),
                false => bytes += &piece,
            }
        }
        if send.end && peer.chunked {
            bytes += "0\r\n\r\n";
        }
        if send.more {
            bytes += "x";
        }
        peer.send(bytes.as_bytes());
    }

    /// Looks at everything once.
    fn look(&mut self, predicted: &Seen) -> io::Result<()> {
        self.peers.look(self.ports.len())?;
        let accepted: Vec<_> = self.peers.peers.iter().map(|peer| &peer.seen).collect();
        self.identities.identify(&accepted, predicted);
        self.seen.connections.resize(accepted.len(), ConnectionSeen::default());
        for (accepted, index) in accepted.iter().zip(&self.identities.accepted) {
            if let Some(seen) = self.seen.connections.get_mut(*index) {
                seen.clone_from(accepted);
            }
        }
        for (call, caller) in self.callers.iter_mut().enumerate() {
            caller.look(call, &mut self.seen, &mut self.identities);
        }
        let mut cx = Context::from_waker(Waker::noop());
        if let Some(close) = &mut self.close
            && close.poll_unpin(&mut cx).is_ready()
        {
            (self.close, self.seen.closed) = (None, true);
        }
        for (origin, lookup) in self.seen.lookups.iter_mut().enumerate() {
            let pending = self.names.pending(origin);
            // Which of several attempts has asked cannot be seen, so a new question counts only if
            // one is predicted.
            let renewed = predicted.lookups[origin] == Lookup::Renewed;
            *lookup = match pending {
                None => Lookup::Nothing,
                Some(_) if renewed && pending > self.questions[origin] => Lookup::Renewed,
                Some(_) => Lookup::Pending,
            };
        }
        self.seen.stats = self.client.stats();
        Ok(())
    }
}

impl Caller {
    /// Takes what has come.
    fn look(&mut self, call: usize, seen: &mut Seen, identities: &mut Identities) {
        let mut cx = Context::from_waker(Waker::noop());
        if let Caller::Future(future) = self
            && let Poll::Ready(answer) = future.poll_unpin(&mut cx)
        {
            *self = match answer {
                Ok(response) => {
                    let body = response.into_body();
                    let exchange = body.exchange();
                    let connection =
                        identities.of_number(exchange.connection, call, &seen.connections);
                    seen.calls[call].head = Some(HeadSeen {
                        connection,
                        reused: exchange.reused,
                        attempts: exchange.attempts,
                        upload: exchange.upload,
                    });
                    Caller::Body(body)
                }
                Err(error) => {
                    seen.calls[call].end = End::Failed(error.kind());
                    Caller::Nothing
                }
            };
        }
        let Caller::Body(body) = self else { return };
        let seen = &mut seen.calls[call];
        while seen.end == End::Pending
            && let Poll::Ready(frame) = body.frame().poll_unpin(&mut cx)
        {
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(piece))) => {
                    seen.pieces.push(String::from_utf8_lossy(&piece).into_owned());
                }
                Some(Ok(Err(_))) => seen.pieces.push("trailers".into()),
                Some(Err(error)) => seen.end = End::Failed(error.kind()),
                None => seen.end = End::Whole,
            }
        }
        if let Some(head) = &mut seen.head {
            head.upload = body.exchange().upload;
        }
        if seen.end != End::Pending {
            *self = Caller::Nothing;
        }
    }
}

impl Identities {
    /// Finds out which connections those are that were accepted last.
    fn identify(&mut self, accepted: &[&ConnectionSeen], predicted: &Seen) {
        let known = self.groups.last().map_or(0, |group| group.end);
        let new = known..predicted.connections.len();
        self.accepted.truncate(known);
        for seen in accepted.iter().skip(known) {
            let same = |index: &usize| {
                let first =
                    |seen: &ConnectionSeen| seen.requests.first().map(|first| first.call);
                first(&predicted.connections[*index]) == first(seen)
            };
            let unknown = |index: &usize| !self.accepted.contains(index);
            let index = match new.len() {
                0 | 1 => None,
                _ => new.clone().filter(unknown).find(same),
            };
            let next = (known..).find(unknown).expect("an index that is not given");
            self.accepted.push(index.unwrap_or(next));
        }
    }

    /// The connection with this number, which has served this call.
    fn of_number(&mut self, number: u64, call: usize, seen: &[ConnectionSeen]) -> usize {
        /// Not the number of any connection that is predicted.
        const UNEXPECTED: usize = 1_000_000;

        if let Some(index) = self.numbers.get(&number) {
            return *index;
        }
        let serves = |seen: &ConnectionSeen| seen.requests.iter().any(|r| r.call == call);
        let Some(index) = seen.iter().rposition(serves) else { return UNEXPECTED };
        let made_with = |group: &&Range<usize>| group.contains(&index);
        let group = self.groups.iter().find(made_with).cloned().unwrap_or(index..index + 1);
        let is_new = self.numbers.values().all(|known| *known != index);
        if !is_new || !group.contains(&(number as usize - 1)) {
            return UNEXPECTED + number as usize;
        }
        self.numbers.insert(number, index);
        index
    }
}
