//! One test alone in its process, since it counts what the process has.

use futures::executor::block_on;
use http::Request;
use http_body_util::BodyExt;
use stage3_tokio::{Client, Config};
use testbed::{
    Server,
    reply::ok,
    run::{eventually, fd_count, thread_count},
};

#[test]
fn nothing_is_left_of_a_client_that_is_gone() {
    let server = Server::start(|conn| {
        while conn.next_request()?.is_some() {
            conn.send(ok("whole"))?;
        }
        Ok(())
    });
    let before = (fd_count(), thread_count());
    let client = Client::new(Config::new()).unwrap();
    let url = server.url_as("localhost", "/"); // so that a thread of the resolver is there too
    let call = || client.request(Request::get(&url).body(Default::default()).unwrap());
    let read = block_on(call()).unwrap();
    assert_eq!(block_on(read.into_body().collect()).unwrap().to_bytes(), "whole");
    let held = block_on(call()).unwrap();
    drop(client);
    assert_eq!(block_on(held.into_body().collect()).unwrap().to_bytes(), "whole");
    eventually("its threads and its descriptors are gone", || {
        (fd_count(), thread_count()) == before
    });
}
