//! All sockets of this machine, as `/proc/net/tcp` lists them: there on every Linux, and slow.

use std::{
    fmt::Write,
    io,
    net::{IpAddr, SocketAddr},
};

/// Whether the socket `local` -> `remote` has bytes in its receive queue. One that is gone has
/// none. A line reads `sl local_address rem_address st tx_queue:rx_queue ...`.
pub(super) fn unread(local: SocketAddr, remote: SocketAddr) -> io::Result<bool> {
    let path = if local.is_ipv4() { "/proc/net/tcp" } else { "/proc/net/tcp6" };
    let (local, remote) = (hex(local), hex(remote));
    Ok(std::fs::read_to_string(path)?.lines().any(|line| {
        let mut columns = line.split_ascii_whitespace().skip(1);
        columns.next() == Some(&local)
            && columns.next() == Some(&remote)
            && columns.nth(1).is_some_and(|queues| !queues.ends_with(":00000000"))
    }))
}

/// An address as the table has it: 32-bit words in the machine's byte order, then the port.
fn hex(address: SocketAddr) -> String {
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
