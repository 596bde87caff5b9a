//! TLS by OpenSSL, in place of rustls, for all three stages (feature `openssl`).
//!
//! `OpenSsl` implements the trait `TlsConnector` of each stage, and uses nothing of a stage but
//! what the stage exports. Without the feature the crate is empty.
//!
//! OpenSSL reads and writes the stream itself. With TLS 1.2 a server may begin a second handshake in
//! the middle of a response: then a read has to write, and a write has to read.
//!
//! The rules, in all stages:
//! - while such a renegotiation is under way, only reads drive it. `SSL_write` would take a piece
//!   of the body that lies in the socket for a part of the handshake, and kill the connection. So a
//!   write waits for reads, whatever it has waited for before;
//! - a record is never left half written (`below`). OpenSSL would put a renegotiation off until
//!   the record is out, and then begin it in the next `SSL_write`;
//! - `SSL_OP_NO_RENEGOTIATION` is not set: with a full send buffer its refusal breaks the stream.
//!
//! `connector` has the settings and the errors, `below` the stream as OpenSSL sees it, `readiness`
//! the session of stages 1 and 2; `stage1`, `stage2` and `stage3` have what differs between them.

#![forbid(unsafe_code)]
#![cfg(feature = "openssl")]

mod below;
mod connector;
mod readiness;
#[cfg(unix)]
mod stage1;
mod stage2;
mod stage3;

pub use connector::OpenSsl;
