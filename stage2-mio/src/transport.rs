//! What a connection runs over: the trait, and TCP.
//!
//! A transport never blocks. It says `WouldBlock` instead, and the loop tells when to try again.

use std::io::{self, Read, Write};

use mio::{Interest, event::Source, net::TcpStream};

/// What both directions of a socket are watched for, from its first moment to its last.
///
/// A socket is registered once. What it is ready for is remembered by its owner until a call says
/// `WouldBlock`; so a change of mind, from writing to reading and back, costs no system call.
pub(crate) const INTEREST: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// A stream of bytes that the loop can watch.
pub(crate) trait Transport: Read + Write + Source {}

impl Transport for TcpStream {}

/// Whether a TCP connection that was begun is made: the order of questions that mio's
/// documentation of `TcpStream::connect` gives for all platforms.
///
/// # Errors
///
/// The one with which the attempt has failed.
pub(crate) fn is_connected(stream: &TcpStream) -> io::Result<bool> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
    }
}
