//! Holds a conversation with one client, and keeps what is seen of it from both sides.

use std::{
    io, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use client_core::{ApiClient, Config, Error, ErrorKind, PoolStats};
use http::{HeaderMap, StatusCode, Version};
use http_body_util::BodyExt;
use testbed::{
    Connection, Gate, Request, Server, certs,
    run::{block_on, eventually},
};

use super::{
    request::Text,
    talk::{Exchange, Talk},
};

/// The largest body that a client takes here.
pub(crate) const MAX_BODY: usize = 30_000;

/// Less than many bodies, so that reading stops and goes on.
const WINDOW: usize = 4096;

/// The server, with what it is to do.
pub(crate) struct Theatre {
    server: Server,
    play: Arc<Mutex<Play>>,
}

/// What the server does in one conversation, and what it has received.
#[derive(Default)]
struct Play {
    exchanges: Vec<Exchange>,
    /// For each exchange, a gate for each time that its request was received: opened when the
    /// server has done its part.
    received: Vec<Vec<Gate>>,
    requests: Vec<Received>,
    /// The first connection's index.
    first: Option<usize>,
}

/// What is seen of a conversation.
#[derive(Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) answers: Vec<Answer>,
    requests: Vec<Received>,
    /// At the end, with the client closed.
    stats: PoolStats,
}

/// A request as the server received it.
#[derive(Debug, PartialEq)]
struct Received {
    connection: usize,
    head: Text,
    body: Text,
}

/// What a caller gets, and what the pool says afterwards.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) head: Option<Head>,
    /// What came before the error, if there is one.
    pub(crate) body: Text,
    pub(crate) trailers: Option<HeaderMap>,
    pub(crate) error: Option<ErrorKind>,
    /// How often the server received the request.
    pub(crate) received: usize,
    stats: PoolStats,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    /// Connection, whether it was used before, how often the request was sent.
    exchange: client_core::Exchange,
}

impl Theatre {
    pub(crate) fn open() -> Self {
        let play = Arc::new(Mutex::new(Play::default()));
        let of_server = play.clone();
        let server = Server::start(move |conn| serve(conn, &of_server));
        Theatre { server, play }
    }

    pub(crate) fn close(self) {
        self.server.finish();
    }

    /// Holds a conversation with a new client.
    pub(crate) fn hold<C: ApiClient>(&self, talk: &Talk) -> Seen {
        let exchanges = talk.exchanges.clone();
        let received = exchanges.iter().map(|_| Vec::new()).collect();
        *lock(&self.play) = Play { exchanges, received, ..Play::default() };
        let config = Config::new()
            .max_per_origin(1)
            .max_body(MAX_BODY as u64)
            .body_window(WINDOW)
            .tls(certs::trusting());
        let client = C::new(config).expect("a client");
        let mut answers = Vec::new();
        for (index, exchange) in talk.exchanges.iter().enumerate() {
            answers.push(self.exchange(&client, index, exchange));
        }
        block_on(client.close());
        let stats = client.stats();
        let requests = mem::take(&mut lock(&self.play).requests);
        Seen { answers, requests, stats }
    }

    fn exchange<C: ApiClient>(&self, client: &C, index: usize, exchange: &Exchange) -> Answer {
        let request = exchange.ask.request(&self.server.url(&format!("/{index}")));
        let mut answer = Answer {
            head: None,
            body: Text(Vec::new()),
            trailers: None,
            error: None,
            received: 0,
            stats: PoolStats::default(),
        };
        answer.error =
            block_on(answer.receive(client, request)).err().map(|error| error.kind());
        let gates = lock(&self.play).received[index].clone();
        gates.iter().for_each(Gate::wait);
        answer.received = gates.len();
        let ends = |time| exchange.act(time).ends_connection(exchange.ask.method);
        if answer.received.checked_sub(1).is_some_and(ends) {
            eventually("the end of a connection that cannot be kept", || {
                client.stats().open == 0
            });
        }
        answer.stats = client.stats();
        answer
    }
}

impl Answer {
    async fn receive<C: ApiClient>(
        &mut self,
        client: &C,
        request: http::Request<http_body_util::Full<bytes::Bytes>>,
    ) -> Result<(), Error> {
        let (head, mut body) = client.request(request).await?.into_parts();
        self.head = Some(Head {
            status: head.status,
            version: head.version,
            headers: head.headers,
            exchange: body.exchange(),
        });
        while let Some(frame) = body.frame().await {
            match frame?.into_data() {
                Ok(data) => self.body.0.extend_from_slice(&data),
                Err(frame) => self.trailers = frame.into_trailers().ok(),
            }
        }
        Ok(())
    }
}

/// The script of every connection.
fn serve(conn: &mut Connection, play: &Mutex<Play>) -> io::Result<()> {
    while let Some(request) = conn.next_request()? {
        let done = Gate::new();
        let (exchange, time) = lock(play).receive(&request, done.clone());
        let played = exchange.act(time).play(conn, exchange.ask.method);
        done.open();
        match played {
            Ok(true) => {}
            Ok(false) => return conn.wait_closed().or(Ok(())),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(error),
            // The client has closed the connection before the end, as it may.
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}

impl Play {
    /// What is to be done, and for the how manieth time.
    fn receive(&mut self, request: &Request, done: Gate) -> (Exchange, usize) {
        let first = *self.first.get_or_insert(request.connection);
        let index: usize = request.target()[1..].parse().expect("the exchange's index");
        self.requests.push(Received {
            connection: request.connection - first,
            head: Text(request.head.clone()),
            body: Text(request.body.clone()),
        });
        self.received[index].push(done);
        (self.exchanges[index].clone(), self.received[index].len() - 1)
    }
}

fn lock(play: &Mutex<Play>) -> MutexGuard<'_, Play> {
    play.lock().unwrap_or_else(PoisonError::into_inner)
}
