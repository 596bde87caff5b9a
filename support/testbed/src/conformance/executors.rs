//! Handles work from any thread and any executor.

use std::sync::Arc;

use client_core::{ApiClient, Config};

use super::{client, expect, fetch, get};
use crate::{Server, reply};

fn server() -> Server {
    Server::start(|conn| {
        while let Some(request) = conn.next_request()? {
            conn.send(reply::chunked(&["got ", request.target()], &[]))?;
        }
        Ok(())
    })
}

/// `futures::executor::block_on`, and its thread pool's kin: a plain waker.
pub fn the_futures_executor_drives_calls<C: ApiClient>() {
    let server = server();
    let client = client::<C>(Config::new());
    let got = futures::executor::block_on(fetch(&client, get(&server.url("/a"))));
    assert_eq!(&got.unwrap().body[..], b"got /a");
}

/// smol, with tasks that move between threads.
pub fn smol_drives_calls<C: ApiClient>() {
    let server = server();
    let client = client::<C>(Config::new());
    let tasks: Vec<_> = (0..10)
        .map(|n| {
            let (client, request) = (client.clone(), get(&server.url(&format!("/{n}"))));
            smol::spawn(async move { fetch(&client, request).await })
        })
        .collect();
    for (n, task) in tasks.into_iter().enumerate() {
        assert_eq!(smol::block_on(task).unwrap().body, format!("got /{n}").as_bytes());
    }
}

/// A client that is made inside a runtime of tokio, on several threads.
pub fn tokio_with_many_threads_drives_calls<C: ApiClient>() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.unwrap().block_on(async {
        let server = server();
        let client = client::<C>(Config::new());
        let tasks: Vec<_> = (0..10)
            .map(|n| {
                let (client, request) = (client.clone(), get(&server.url(&format!("/{n}"))));
                tokio::spawn(async move { fetch(&client, request).await })
            })
            .collect();
        for (n, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.await.unwrap().unwrap().body, format!("got /{n}").as_bytes());
        }
        client.close().await;
    });
}

/// A client that is made inside a runtime of tokio, on one thread.
pub fn tokio_with_one_thread_drives_calls<C: ApiClient>() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(async {
        let server = server();
        let client = client::<C>(Config::new());
        let calls = (0..10).map(|n| fetch(&client, get(&server.url(&format!("/{n}")))));
        for got in calls.collect::<Vec<_>>() {
            assert!(got.await.unwrap().body.starts_with(b"got /"));
        }
        client.close().await;
    });
}

/// A client that is made where there is no runtime serves callers that have one.
pub fn a_client_made_outside_serves_a_runtime<C: ApiClient>() {
    let server = server();
    let client = client::<C>(Config::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let got = runtime.unwrap().block_on(fetch(&client, get(&server.url("/a"))));
    assert_eq!(&got.unwrap().body[..], b"got /a");
    // It does not depend on that runtime, which is gone.
    assert!(expect(&client, get(&server.url("/b"))).exchange.reused);
}

/// A client that is made inside a runtime serves callers that have none.
pub fn a_client_made_inside_a_runtime_serves_others<C: ApiClient>() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let server = server();
    let client = runtime.block_on(async { client::<C>(Config::new()) });
    let got = futures::executor::block_on(fetch(&client, get(&server.url("/a"))));
    assert_eq!(&got.unwrap().body[..], b"got /a");
    futures::executor::block_on(client.close());
}

/// One client, many threads that know nothing of each other.
pub fn many_threads_share_a_client<C: ApiClient>() {
    let server = Arc::new(server());
    let client = client::<C>(Config::new());
    let threads: Vec<_> = (0..8)
        .map(|n| {
            let (client, server) = (client.clone(), server.clone());
            std::thread::spawn(move || {
                for call in 0..20 {
                    let path = format!("/{n}/{call}");
                    let got = expect(&client, get(&server.url(&path)));
                    assert_eq!(got.body, format!("got {path}").as_bytes());
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("its own responses"));
    assert!(client.stats().created <= 8);
}

/// A call may begin on one thread and end on another: the waker is that of the last poll.
pub fn a_call_may_move_between_threads<C: ApiClient>() {
    let server = Server::start(|conn| {
        conn.request()?;
        conn.wait("moved")?;
        conn.send(reply::ok("x"))
    });
    let client = client::<C>(Config::new());
    let mut call = Box::pin(client.request(get(&server.url("/"))));
    super::begin(&mut call);
    let moved = std::thread::spawn(move || {
        let polled = futures::executor::block_on(futures::future::poll_immediate(&mut call));
        assert!(polled.is_none());
        server.open("moved");
        futures::executor::block_on(call).expect("a response").status()
    });
    assert_eq!(moved.join().expect("a response"), 200);
}
