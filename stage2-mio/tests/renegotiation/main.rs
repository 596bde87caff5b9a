//! A server that asks for a second handshake in the middle of a response, which TLS 1.2 allows.
//!
//! rustls refuses, by an alert that has to be written while the client only reads. The client's writes
//! are held back first. OpenSSL takes part: see the tests of `support/openssl`.

#![cfg(unix)]

mod gated;
mod record;
mod refused;
