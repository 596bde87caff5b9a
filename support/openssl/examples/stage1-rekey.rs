//! New keys in the middle of a response, and a read that has to write for them.
//!
//!     cargo run --release -p openssl-connector --example stage1-rekey
//!     cargo run --release -p openssl-connector --example stage1-rekey --features openssl
//!
//! Two parties may agree on new keys while they talk. With TLS 1.3 that is a message and its
//! answer, which rustls sends with whatever the client writes next. With TLS 1.2 it is a second
//! handshake, a renegotiation. rustls refuses it; OpenSSL takes part, and then a client that only
//! wants to read has to write. What if there is no room to write? The read waits for room, and not
//! for something to read, though it is a read. The client has noted that, and when there is room,
//! it tries the read again.
//!
//! Try: in `src/framing.rs` of stage 1, let a read wait to read whatever its transport says: the
//! second part hangs where it says that there is room again.

#[cfg(feature = "openssl")]
#[path = "../../../stage1-rotor/tests/renegotiation/gated.rs"]
mod gated;
#[path = "rekey/mod.rs"]
mod rekey;

use std::process::ExitCode;

use futures::executor::block_on;
use stage1_rotor as stage;
use testbed::lesson;

fn main() -> ExitCode {
    lesson::main("stage1-rekey", |_| {
        block_on(rekey::key_update())?;
        #[cfg(feature = "openssl")]
        block_on(rekey::renegotiation::renegotiation())?;
        Ok(())
    })
}
