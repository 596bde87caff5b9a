//! New keys in the middle of a response, and a read that has to write for them.
//!
//!     cargo run --release -p openssl-connector --example stage3-rekey
//!     cargo run --release -p openssl-connector --example stage3-rekey --features openssl
//!
//! Two parties may agree on new keys while they talk. With TLS 1.3 that is a message and its
//! answer, which rustls sends with whatever the client writes next. With TLS 1.2 it is a second
//! handshake, a renegotiation. rustls refuses it; OpenSSL takes part, and then a client that only
//! wants to read has to write. What if there is no room to write? The read waits for room, and not
//! for something to read, though it is a read. The client does not note that: the read has left its
//! waker where there will be room. When there is, the task is polled again and continues.
//!
//! Try: in `src/stage3.rs`, let the write of `Polled` poll with `Waker::noop()`: the second part hangs
//! where it says that there is room again.

#[cfg(feature = "openssl")]
#[path = "../../../stage3-tokio/tests/renegotiation/gated.rs"]
mod gated;
#[path = "rekey/mod.rs"]
mod rekey;

use std::process::ExitCode;

use futures::executor::block_on;
use stage3_tokio as stage;
use testbed::lesson;

fn main() -> ExitCode {
    lesson::main("stage3-rekey", |_| {
        block_on(rekey::key_update())?;
        #[cfg(feature = "openssl")]
        block_on(rekey::renegotiation::renegotiation())?;
        Ok(())
    })
}
