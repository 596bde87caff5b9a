//! One test alone in its process, since it counts what the process has.

#![cfg(unix)]

use client_core::Config;
use http::Request;
use http_body_util::BodyExt;
use stage1_rotor::Client;
use testbed::{
    Server,
    reply::ok,
    run::{block_on, eventually, fd_count, thread_count},
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
    let call = || {
        let url = server.url_as("localhost", "/");
        client.request(Request::get(url).body(Default::default()).unwrap())
    };
    let held = block_on(async {
        call().await.unwrap().into_body().collect().await.unwrap();
        call().await.unwrap()
    });
    drop(client);
    assert_eq!(block_on(held.into_body().collect()).unwrap().to_bytes(), "whole");
    server.wait_closed(server.look(|log| log.accepted));
    eventually("its threads and its descriptors are gone", || {
        (fd_count(), thread_count()) == before
    });
}
