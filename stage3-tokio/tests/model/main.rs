//! The pool and its callers, under every interleaving (loom).
//!
//! Client, pending request, pool and connection task are the client's own files. Below them stand
//! the files of this folder: connections without a socket, and loom's threads in place of a
//! runtime. The pool's lock is loom's. tokio's channels are tokio's own. Each of their operations is
//! one step, before which any other thread may run. A thread that would wait for ever fails the
//! test.

#[path = "../../src/client.rs"]
#[allow(dead_code, unreachable_pub)] // what is public there is not here
mod client;
#[path = "../../src/owner.rs"]
mod owner;
#[path = "../../src/pending.rs"]
#[allow(dead_code)]
mod pending;
#[path = "../../src/pool.rs"]
mod pool;

mod connect;
mod connection;
mod connector;
mod runtime;
mod steps;
mod sync;
mod transport;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use client_core::{Body, Config, Error, ErrorKind, PoolStats};
use http::{Request, Response};
use http_body_util::Full;
use loom::{future::block_on, thread};

use self::{
    client::Client,
    connector::{Connectors, Outcome, World},
    runtime::RuntimeChoice,
    steps::explore,
};

/// A client of one connection.
fn client_of_one(world: &Arc<World>) -> Client {
    client_on(RuntimeChoice::Current, world)
}

fn client_on(runtime: RuntimeChoice, world: &Arc<World>) -> Client {
    let connectors = Connectors { connector: Some(world.clone()) };
    Client::on(runtime, Config::new().max_per_origin(1), connectors).unwrap()
}

/// A call that has been accepted.
struct Call {
    future: Pin<Box<client::ResponseFuture>>,
    /// What it said at its first poll.
    polled: Poll<Result<Response<Body>, Error>>,
}

impl Call {
    fn result(self) -> Result<Response<Body>, Error> {
        match self.polled {
            Poll::Ready(result) => result,
            Poll::Pending => block_on(self.future),
        }
    }

    /// Which connection answered, and at which attempt.
    fn answer(self) -> (u64, u32) {
        let exchange = self.result().expect("a response").into_body().exchange();
        (exchange.connection, exchange.attempts)
    }
}

fn begin(client: &Client) -> Call {
    let request = Request::get("http://a/").body(Full::<Bytes>::default()).unwrap();
    let mut future = Box::pin(client.request(request));
    let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    Call { future, polled }
}

/// Closes the client, which must end, and leave nothing.
fn end(client: &Client) -> PoolStats {
    block_on(client.close());
    let stats = client.stats();
    assert_eq!((stats.open, stats.connecting, stats.waiting), (0, 0, 0));
    assert_eq!(stats.created, stats.closed_in_all());
    stats
}

#[test]
fn a_freed_connection_passes_over_a_caller_that_gives_up() {
    explore(|| {
        let client = client_of_one(&World::new(&[]));
        let [first, second, third] = [(); 3].map(|()| begin(&client));
        drop(second);
        first.answer();
        third.answer();
        end(&client);
    });
}

#[test]
fn callers_on_two_threads_share_a_connection() {
    explore(|| {
        let client = client_of_one(&World::new(&[]));
        let other = {
            let client = client.clone();
            thread::spawn(move || begin(&client).answer())
        };
        assert_eq!(begin(&client).answer(), (1, 1));
        assert_eq!(other.join().unwrap(), (1, 1));
        let stats = end(&client);
        assert_eq!((stats.created, stats.reused), (1, 1));
    });
}

#[test]
fn an_idle_connection_that_dies_and_a_request_meet_once() {
    explore(|| {
        let world = World::new(&[]);
        let client = client_of_one(&world);
        begin(&client).answer();
        let peer = thread::spawn(move || world.end_first());
        // Before the end, or on another connection: there it waits for it, or is sent again.
        let (connection, attempts) = begin(&client).answer();
        assert!(matches!((connection, attempts), (1, 1) | (2, 1 | 2)));
        peer.join().unwrap();
        let stats = end(&client);
        assert!(stats.retried < connection && u64::from(attempts - 1) <= stats.retried);
    });
}

#[test]
fn an_attempt_meets_a_caller_that_gives_up() {
    for outcome in [Outcome::Connects, Outcome::Fails, Outcome::Hangs] {
        explore(move || {
            let client = client_of_one(&World::new(&[outcome]));
            let [first, second] = [(); 2].map(|()| begin(&client));
            drop(first);
            // The attempt ends for the second waiter, which gets one of its own and not its error.
            let (connection, attempts) = second.answer();
            let connected = matches!(outcome, Outcome::Connects);
            assert!(attempts == 1 && (connection == 1 || connected && connection == 2));
            end(&client);
        });
    }
}

#[test]
fn a_stale_request_meets_a_caller_that_gives_up() {
    explore(|| {
        let world = World::new(&[Outcome::Connects, Outcome::Hangs]);
        let client = client_of_one(&world);
        begin(&client).answer();
        let peer = thread::spawn(move || world.end_first());
        drop(begin(&client));
        peer.join().unwrap();
        // No attempt is left that would hang for a caller who has gone.
        end(&client);
    });
}

#[test]
fn a_request_meets_the_end_of_its_client() {
    for (idle, runtime) in [(false, RuntimeChoice::Own), (true, RuntimeChoice::Current)] {
        explore(move || {
            let client = client_on(runtime, &World::new(&[]));
            if idle {
                begin(&client).answer();
            }
            let other = {
                let client = client.clone();
                thread::spawn(move || match begin(&client) {
                    Call { polled: Poll::Ready(Err(refused)), .. } => {
                        assert_eq!(refused.kind(), ErrorKind::ShutDown);
                    }
                    accepted => _ = accepted.answer(),
                })
            };
            end(&client);
            other.join().unwrap();
            end(&client);
        });
    }
}

#[test]
fn an_attempt_ends_with_the_last_caller_of_a_closed_client() {
    explore(|| {
        let client = client_of_one(&World::new(&[Outcome::Hangs]));
        let call = begin(&client);
        let caller = thread::spawn(move || drop(call));
        end(&client);
        caller.join().unwrap();
    });
}
