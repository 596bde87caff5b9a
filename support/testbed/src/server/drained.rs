//! Whether the peer's application has read what was sent.
//!
//! TCP does not tell. But both ends live on this machine, and Linux shows in `/proc/net/tcp` how
//! many bytes lie unread in each socket. Without this, pieces that are written one by one mostly
//! arrive as one, and a test of split points would test nothing.

use std::{io, net::TcpStream};

#[cfg(target_os = "linux")]
pub(super) fn wait(socket: &TcpStream, stopped: impl Fn() -> bool) -> io::Result<()> {
    use crate::BOUND;
    use std::{thread, time::Instant};

    let peer = hex(socket.peer_addr()?);
    let ours = hex(socket.local_addr()?);
    let path = if socket.peer_addr()?.is_ipv4() { "/proc/net/tcp" } else { "/proc/net/tcp6" };
    let deadline = Instant::now() + BOUND;
    while unread(&std::fs::read_to_string(path)?, &peer, &ours) && !stopped() {
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

/// Whether the socket `local` -> `remote` has bytes in its receive queue. One that is gone has
/// none. A line reads `sl local_address rem_address st tx_queue:rx_queue ...`.
#[cfg(target_os = "linux")]
fn unread(table: &str, local: &str, remote: &str) -> bool {
    table.lines().any(|line| {
        let mut columns = line.split_ascii_whitespace().skip(1);
        columns.next() == Some(local)
            && columns.next() == Some(remote)
            && columns.nth(1).is_some_and(|queues| !queues.ends_with(":00000000"))
    })
}

/// An address as the table has it: 32-bit words in the machine's byte order, then the port.
#[cfg(target_os = "linux")]
fn hex(address: std::net::SocketAddr) -> String {
    use std::{fmt::Write, net::IpAddr};

    let octets = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let mut text = String::new();
    for word in octets.chunks_exact(4) {
        let word = u32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
        let _ = write!(text, "{word:08X}");
    }
    let _ = write!(text, ":{:04X}", address.port());
    text
}
