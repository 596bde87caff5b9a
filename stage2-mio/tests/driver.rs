//! The loop on the caller's own thread.

use std::thread;

use bytes::Bytes;
use client_core::{Config, ErrorKind};
use http::Request;
use http_body_util::{BodyExt, Full};
use stage2_mio::{Client, Connectors};
use testbed::{Server, reply, run::bounded};

fn server() -> Server {
    Server::start(|conn| {
        loop {
            conn.request()?;
            conn.send(reply::ok("hello"))?;
        }
    })
}

fn get(server: &Server) -> Request<Full<Bytes>> {
    Request::get(server.url("/")).body(Full::default()).unwrap()
}

#[test]
fn a_call_needs_no_other_thread() {
    bounded("a_call_needs_no_other_thread", || {
        let server = server();
        let (client, mut driver) =
            Client::with_driver(Config::new(), Connectors::new()).unwrap();
        for round in 0..3 {
            let response = driver.block_on(client.request(get(&server))).unwrap().unwrap();
            assert_eq!(response.body().exchange().reused, round > 0);
            let body = driver.block_on(response.into_body().collect()).unwrap().unwrap();
            assert_eq!(body.to_bytes(), "hello");
        }
        driver.block_on(client.close()).unwrap();
        assert_eq!(client.stats().open, 0);
    });
}

#[test]
fn a_handle_on_another_thread_wakes_the_driver() {
    bounded("a_handle_on_another_thread_wakes_the_driver", || {
        let server = server();
        let (client, mut driver) =
            Client::with_driver(Config::new(), Connectors::new()).unwrap();
        let request = client.request(get(&server));
        let other = thread::spawn(move || testbed::run::block_on(request));
        let (done, wait) = futures::channel::oneshot::channel();
        let watcher = thread::spawn(move || {
            let status = other.join().unwrap().unwrap().status();
            done.send(status).unwrap();
        });
        assert_eq!(driver.block_on(wait).unwrap().unwrap(), 200);
        watcher.join().unwrap();
        drop(client);
    });
}

#[test]
fn a_driver_that_is_dropped_ends_its_calls() {
    bounded("a_driver_that_is_dropped_ends_its_calls", || {
        let server = server();
        let (client, driver) = Client::with_driver(Config::new(), Connectors::new()).unwrap();
        let mut request = Box::pin(client.request(get(&server)));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(request.as_mut().poll(&mut cx).is_pending());
        drop(driver);
        let error = testbed::run::block_on(request).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ShutDown);
        testbed::run::block_on(client.close());
    });
}
