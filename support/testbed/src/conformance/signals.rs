//! What a client does to a socket that has died. Not in the list of all cases: it has to be the only
//! test of its binary, since it changes what a signal does to the process, and listens to all of its
//! events.

use std::{
    net::Shutdown,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

use client_core::{ApiClient, CloseReason, Config};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    util::SubscriberInitExt,
};

use super::{client, expect, expect_error, get, send, wait_closed};
use crate::{
    Server, reply,
    run::block_on,
    server::{Options, over_tls, plain},
};

/// Uploads of each kind that are cut. A signal is raised by some of them only: it takes an end that
/// arrives between two steps of the client's.
const ROUNDS: usize = 10;

/// Nothing is written to a socket that is known to be dead, with TLS or without, and no write raises
/// SIGPIPE, which ends a program that has not asked for anything else (algesten/ureq#819).
///
/// A handler stands in the place of the default, so that a signal fails the test and does not kill
/// it.
///
/// # Panics
///
/// If the client does either.
pub fn dead_sockets_are_left_alone<C: ApiClient>() {
    let raised = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGPIPE, raised.clone())
        .expect("a handler for SIGPIPE");
    let goodbyes = Goodbyes::default();
    tracing_subscriber::registry().with(goodbyes.clone()).init();

    // What is not counted cannot be missed.
    let server = over_tls(server);
    let orderly = client::<C>(Config::new());
    expect(&orderly, get(&server.url("/")));
    block_on(orderly.close());
    assert_eq!(goodbyes.take(), 1, "an orderly end of TLS");

    for server in [plain(self::server), server] {
        let scheme = server.scheme();
        let client = client::<C>(Config::new());
        expect(&client, get(&server.url("/idle")));
        server.open("idle");
        wait_closed(&client, CloseReason::Reset, 1);
        assert_eq!(goodbyes.take(), 0, "a goodbye to an idle connection that was reset");
        assert!(!raised.load(SeqCst), "SIGPIPE after an idle connection ({scheme})");
        // The last two end in order first, and their peer may say goodbye.
        for path in ["/reset", "/close", "/half-close"] {
            for _ in 0..ROUNDS {
                expect_error(&client, send("PUT", &server.url(path), vec![b'x'; 8 << 20]));
            }
            assert!(path != "/reset" || goodbyes.take() == 0, "a goodbye after a reset");
            assert!(!raised.load(SeqCst), "SIGPIPE in an upload to {path} ({scheme})");
        }
        goodbyes.take();
    }
}

/// A server that ends connections in every way.
fn server() -> Server {
    let options = Options::new().receive_buffer(64 * 1024);
    let server = options.start(|conn| {
        let request = conn.request_head()?;
        if let "/" | "/idle" = request.target() {
            conn.send(reply::ok("x"))?;
        } else {
            conn.read_exact(100_000)?;
        }
        match request.target() {
            "/" => return conn.wait_closed(),
            "/idle" => conn.wait("idle")?,
            // The system resets a connection that is closed with unread bytes.
            "/close" => return Ok(()),
            "/half-close" => conn.socket()?.shutdown(Shutdown::Write)?,
            _ => {}
        }
        conn.reset()
    });
    server.expect("a server")
}

/// Counts the goodbyes of TLS among all events of the process.
#[derive(Clone, Default)]
struct Goodbyes(Arc<AtomicUsize>);

impl Goodbyes {
    /// How many there were since the last time.
    fn take(&self) -> usize {
        self.0.swap(0, SeqCst)
    }
}

impl<S: Subscriber> Layer<S> for Goodbyes {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut goodbye = IsGoodbye(false);
        event.record(&mut goodbye);
        if event.metadata().target() == "io_model" && goodbye.0 {
            self.0.fetch_add(1, SeqCst);
        }
    }
}

struct IsGoodbye(bool);

impl Visit for IsGoodbye {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0 |= field.name() == "why" && value == "close_notify";
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}
