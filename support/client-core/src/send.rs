//! A write that raises no SIGPIPE when the peer has closed the connection. By default the signal
//! ends the program. The standard library suppresses it in plain writes, not in vectored ones.

use std::{
    io::{self, IoSlice},
    os::fd::AsFd,
};

use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};

/// Apple's systems have no such flag, but an option of the socket, which `socket2` and mio set.
#[cfg(target_vendor = "apple")]
const NO_SIGNAL: SendFlags = SendFlags::empty();
#[cfg(not(target_vendor = "apple"))]
const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;

/// Writes some bytes of these pieces, and raises no SIGPIPE. Never blocks on a socket that is in
/// non-blocking mode.
///
/// # Errors
///
/// The socket's, `WouldBlock` among them.
pub fn send_vectored(socket: impl AsFd, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    Ok(sendmsg(socket, pieces, &mut SendAncillaryBuffer::default(), NO_SIGNAL)?)
}
