//! Whether the peer's application has read what was sent.
//!
//! TCP does not tell. But both ends live on this machine, and Linux tells how many bytes lie unread
//! in each socket. Without this, pieces that are written one by one mostly arrive as one, and a test
//! of split points would test nothing.

#[cfg(target_os = "linux")]
mod diag;
#[cfg(target_os = "linux")]
mod table;

use std::{io, net::TcpStream};

#[cfg(target_os = "linux")]
pub(super) fn wait(socket: &TcpStream, stopped: impl Fn() -> bool) -> io::Result<()> {
    use crate::BOUND;
    use std::{thread, time::Instant};

    let (peer, ours) = (socket.peer_addr()?, socket.local_addr()?);
    let diag = diag::Diag::new();
    let unread = || {
        let asked = diag.as_ref().and_then(|diag| diag.unread(peer, ours).ok());
        // Where there is no such service, or no such socket any more, the table has the answer.
        asked.map_or_else(|| table::unread(peer, ours), Ok)
    };
    let deadline = Instant::now() + BOUND;
    while unread()? && !stopped() {
        if Instant::now() > deadline {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("the peer left a piece unread for {BOUND:?}"),
            ));
        }
        thread::yield_now();
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn wait(_socket: &TcpStream, _stopped: impl Fn() -> bool) -> io::Result<()> {
    std::thread::yield_now();
    Ok(())
}
