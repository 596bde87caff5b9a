//! A server that asks for a second handshake in the middle of a response, which TLS 1.2 allows.
//!
//! rustls refuses, by an alert that has to be written while the client only reads. OpenSSL does it
//! (feature `openssl`): then a read has to write, and a write has to read. In all cases the
//! client's writes are held back first.

#![cfg(unix)]

mod gated;
#[cfg(feature = "openssl")]
mod honoured;
mod record;
mod refused;
#[cfg(feature = "openssl")]
mod textbook;
