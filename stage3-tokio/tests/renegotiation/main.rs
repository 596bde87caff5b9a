//! A server that asks for a second handshake in the middle of a response, which TLS 1.2 allows.
//!
//! rustls refuses, by an alert that has to be written while the client only reads. The client's writes
//! are held back first. OpenSSL takes part: see the tests of `support/openssl`.

#![cfg(unix)]

mod gated;
mod refused;

use stage3_tokio::{Client, Connectors};
use testbed::certs;
use tokio::runtime::{Builder, Runtime};

/// A client, and the runtime of one thread that it lives on.
fn client(connectors: Connectors) -> (Client, Runtime) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let inside = runtime.enter();
    let client = Client::with_connectors(certs::trusting_config(), connectors).unwrap();
    drop(inside);
    (client, runtime)
}
