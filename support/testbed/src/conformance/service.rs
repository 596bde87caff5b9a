//! The client as a `tower_service::Service`.

use std::task::{Context, Poll, Waker};

use client_core::{ApiClient, Config, Error, ErrorKind};

use super::{client, get};
use crate::{Server, reply, run::block_on};

fn ready<C: ApiClient>(client: &mut C) -> Poll<Result<(), Error>> {
    client.poll_ready(&mut Context::from_waker(Waker::noop()))
}

/// Ready while open, refused after: it reserves nothing, since clones share the pool.
pub fn a_service_is_ready_until_it_is_closed<C: ApiClient>() {
    let mut client = client::<C>(Config::new());
    assert!(matches!(ready(&mut client), Poll::Ready(Ok(()))));
    block_on(client.close());
    match ready(&mut client) {
        Poll::Ready(Err(error)) => assert_eq!(error.kind(), ErrorKind::ShutDown),
        other => panic!("expected an error, got {other:?}"),
    }
}

/// `call` is `request`.
pub fn a_service_call_is_a_request<C: ApiClient>() {
    let server = Server::start(|conn| {
        conn.request()?;
        conn.send(reply::ok("x"))
    });
    let mut client = client::<C>(Config::new());
    assert!(matches!(ready(&mut client), Poll::Ready(Ok(()))));
    let response = block_on(client.call(get(&server.url("/")))).expect("a response");
    assert_eq!(response.status(), 200);
}

/// A full pool is no reason to be unready: it sheds load in `call`, by type.
pub fn a_full_pool_refuses_in_call<C: ApiClient>() {
    let server = Server::start(|conn| {
        conn.request()?;
        conn.wait("never")
    });
    let mut client = client::<C>(Config::new().max_per_origin(1).max_waiting(0));
    let mut busy = Box::pin(client.call(get(&server.url("/"))));
    super::begin(&mut busy);
    server.wait_requests(1);
    assert!(matches!(ready(&mut client), Poll::Ready(Ok(()))));
    let error = block_on(client.call(get(&server.url("/")))).expect_err("a full pool");
    assert_eq!(error.kind(), ErrorKind::PoolBusy, "{error}");
}
