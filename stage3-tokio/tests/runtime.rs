//! What only this stage promises: on which runtime it lives, and how that ends.

use bytes::Bytes;
use futures::{FutureExt, executor::block_on, future::join};
use http::Request;
use http_body_util::{BodyExt, Full};
use stage3_tokio::{Client, Config, Connectors, Error, ErrorKind, RuntimeChoice, TimeoutPhase};
use testbed::{Server, dead_ends::Refusing, reply::ok, run};
use tokio::runtime::{Builder, Runtime};

fn get(url: &str) -> Request<Full<Bytes>> {
    Request::get(url).body(Full::default()).unwrap()
}

async fn fetch(client: &Client, url: &str) -> Result<Bytes, Error> {
    let response = client.request(get(url)).await?;
    Ok(response.into_body().collect().await?.to_bytes())
}

fn on(runtime: RuntimeChoice) -> Result<Client, Error> {
    Client::on(runtime, Config::new(), Connectors::new())
}

fn echo() -> Server {
    Server::start(|conn| {
        while let Some(request) = conn.next_request()? {
            if request.target() == "/silence" {
                conn.wait_closed()?;
            }
            conn.send(ok(request.target()))?;
        }
        Ok(())
    })
}

fn runtimes() -> [Runtime; 2] {
    let single = Builder::new_current_thread().enable_all().build().unwrap();
    let several = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    [single, several]
}

#[test]
fn outside_a_runtime_it_has_one_of_its_own_whose_thread_ends_with_it() {
    let server = echo();
    let client = Client::new(Config::new()).unwrap();
    assert_eq!(block_on(fetch(&client, &server.url("/a"))).unwrap(), "/a");
    let own = || run::thread_names().map(|all| all.contains(&"stage3-tokio".to_string()));
    assert_ne!(own(), Some(false));
    block_on(client.close());
    run::eventually("the end of the runtime's thread", || own() != Some(true));
}

#[test]
fn inside_a_runtime_it_uses_that_one() {
    let server = echo();
    for runtime in runtimes() {
        runtime.block_on(async {
            let client = on(RuntimeChoice::Current).unwrap();
            assert_eq!(fetch(&client, &server.url("/a")).await.unwrap(), "/a");
            client.close().await;
        });
    }
}

#[test]
fn an_own_runtime_may_be_asked_for_and_dropped_inside_another() {
    let server = echo();
    for runtime in runtimes() {
        runtime.block_on(async {
            let client = on(RuntimeChoice::Own).unwrap();
            assert_eq!(fetch(&client, &server.url("/a")).await.unwrap(), "/a");
            drop(client);
        });
    }
    server.wait_closed(2);
}

#[test]
fn the_current_runtime_is_expected_where_it_is_asked_for() {
    let error = on(RuntimeChoice::Current).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
}

#[test]
fn a_runtime_that_ends_under_the_client_ends_every_call() {
    let server = echo();
    for runtime in runtimes() {
        let config = Config::new().max_per_origin(1);
        let client = runtime.block_on(async { Client::new(config) }).unwrap();
        let before = server.look(|log| log.received);
        let under_way = client.request(get(&server.url("/silence")));
        let queued = client.request(get(&server.url("/queued")));
        let mut both = Box::pin(join(under_way, queued));
        runtime.block_on(async {
            assert!((&mut both).now_or_never().is_none());
            while server.look(|log| log.received) == before {
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(client.stats().waiting, 1);
        runtime.shutdown_background();
        let (first, second) = run::block_on(both);
        assert!(matches!(first, Err(Error::ShutDown)), "{first:?}");
        assert!(matches!(second, Err(Error::ShutDown)), "{second:?}");
        let later = run::block_on(fetch(&client, &server.url("/later")));
        assert!(matches!(later, Err(Error::ShutDown)), "{later:?}");
        run::block_on(client.close());
        assert_eq!(client.stats().open, 0);
    }
}

#[test]
fn limits_beyond_the_clock_are_as_good_as_none() {
    let server = echo();
    let never = std::time::Duration::MAX;
    let config = Config::new()
        .idle_timeout(never)
        .connect_timeout(never)
        .head_timeout(never)
        .body_idle_timeout(never)
        .total_timeout(never);
    let client = Client::new(config).unwrap();
    for _ in 0..2 {
        assert_eq!(block_on(fetch(&client, &server.url("/a"))).unwrap(), "/a");
    }
    assert_eq!(client.stats().reused, 1);
}

#[test]
fn a_call_in_the_queue_ends_at_its_deadline_though_nobody_polls_it() {
    let server = echo();
    let limit = std::time::Duration::from_millis(50);
    let config = Config::new().max_per_origin(1).total_timeout(limit);
    let client = Client::new(config).unwrap();
    let mut first = Box::pin(client.request(get(&server.url("/silence"))));
    let mut second = Box::pin(client.request(get(&server.url("/b"))));
    assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
    run::eventually("both to leave", || {
        let stats = client.stats();
        // If the first ran out while it connected, its connection is idle now.
        stats.waiting + stats.connecting + stats.in_use == 0
    });
    for call in [first, second] {
        let error = block_on(call).unwrap_err();
        assert_eq!(error.timeout_phase(), Some(TimeoutPhase::Total));
    }
}

#[test]
fn a_refused_connection_leaves_nothing_behind() {
    let refusal = Refusing::new();
    let client = Client::new(Config::new()).unwrap();
    let error = block_on(fetch(&client, &refusal.url("/"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect);
    let stats = client.stats();
    assert_eq!((stats.connecting, stats.open, stats.created), (0, 0, 0));
    block_on(client.close());
}

#[test]
fn a_runtime_without_io_ends_every_call_and_hangs_none() {
    run::bounded("a_runtime_without_io_ends_every_call_and_hangs_none", || {
        let runtime = Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let client = Client::new(Config::new()).unwrap();
            let error = fetch(&client, "http://127.0.0.1:1/").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ShutDown);
            client.close().await;
        });
    });
}
