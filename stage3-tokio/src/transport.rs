//! The stream under a connection.
//!
//! Whatever reads and writes asynchronously will do. Nothing in here says which readiness an
//! operation waits for: a `poll_read` that must write first leaves the waker where it is needed.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

/// A stream of bytes in both directions.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Transport for T {}

/// The stream that connecting ends with.
pub(crate) type Stream = TcpStream;

/// Opens TCP to one address.
pub(crate) async fn tcp(address: SocketAddr, nodelay: bool) -> io::Result<Stream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(nodelay)?;
    Ok(stream)
}
