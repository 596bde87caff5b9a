//! A server's end of TLS by OpenSSL, which can ask for a second handshake in the middle of a
//! response (feature `openssl`).
//!
//! ```
//! # use std::io;
//! use testbed::{Server, openssl_server::Session};
//!
//! let server = Server::start(|conn| {
//!     let mut tls = Session::accept(conn)?;
//!     tls.request()?;
//!     tls.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")?;
//!     tls.renegotiate()?; // asks for it, and goes on
//!     tls.send("half")?;
//!     tls.finish_renegotiation()
//! });
//! let url = format!("https://localhost:{}/", server.port());
//! ```
//!
//! Its rules: TLS 1.2, since 1.3 has no renegotiation; it runs in the thread of a script of the
//! [`Server`](crate::Server) without TLS, over that connection's socket; an error of the client's
//! ends the script in peace.

use std::{
    ffi::c_int,
    io::{self, Write},
    net::TcpStream,
    ptr,
};

use foreign_types::ForeignTypeRef;
use openssl::{
    error::ErrorStack,
    pkey::PKey,
    ssl::{Ssl, SslContext, SslMethod, SslRef, SslStream, SslVersion},
    x509::X509,
};
use openssl_sys as ffi;

use crate::{Connection, certs};

/// Bytes read at once.
const BUFFER: usize = 16 * 1024;

/// `SSL_CTRL_CLEAR_MODE` of OpenSSL's `ssl.h`.
const CLEAR_MODE: c_int = 78;

// Of OpenSSL's `ssl.h`; `openssl-sys` does not have them.
#[allow(unsafe_code)]
// SAFETY: these are their signatures in OpenSSL 1.1.1 and 3.
unsafe extern "C" {
    fn SSL_renegotiate(ssl: *mut ffi::SSL) -> c_int;
    fn SSL_renegotiate_pending(ssl: *const ffi::SSL) -> c_int;
}

/// TLS over the socket of one connection.
pub struct Session {
    stream: SslStream<TcpStream>,
    /// What was read and not used yet.
    unread: Vec<u8>,
}

impl Session {
    /// Shakes hands.
    ///
    /// # Errors
    ///
    /// Those of the socket and of TLS.
    pub fn accept(conn: &Connection) -> io::Result<Self> {
        let context = context()?;
        let mut ssl = Ssl::new(&context)?;
        stop_after_handshakes(&mut ssl);
        let mut stream = SslStream::new(ssl, conn.socket()?.try_clone()?)?;
        stream.accept().map_err(failure)?;
        Ok(Session { stream, unread: Vec::new() })
    }

    /// The next request's head; its body is left.
    ///
    /// # Errors
    ///
    /// Those of the socket and of TLS; `UnexpectedEof` if the client closes first.
    pub fn request(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                return Ok(self.unread.drain(..end + 4).collect());
            }
            self.fill()?;
        }
    }

    /// Exactly `length` bytes.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub fn read_exact(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < length {
            self.fill()?;
        }
        Ok(self.unread.drain(..length).collect())
    }

    /// Reads and forgets until the client has closed the connection, or broken it.
    pub fn wait_closed(&mut self) {
        while self.fill().is_ok() {
            self.unread.clear();
        }
    }

    /// Sends these bytes.
    ///
    /// # Errors
    ///
    /// Those of the socket and of TLS.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Asks the client for a second handshake, by a HelloRequest (RFC 5246 section 7.4.1.1), and
    /// returns when that is sent. The handshake goes on in whatever reads next; until then more of
    /// a response can be sent.
    ///
    /// # Errors
    ///
    /// Those of the socket and of TLS.
    pub fn renegotiate(&mut self) -> io::Result<()> {
        let ssl = self.stream.ssl().as_ptr();
        #[allow(unsafe_code)]
        // SAFETY: `ssl` lives in the stream, which is borrowed for these calls, and the stream
        // below it is there to be written to.
        let sent = unsafe { SSL_renegotiate(ssl) == 1 && ffi::SSL_do_handshake(ssl) == 1 };
        if sent { Ok(()) } else { Err(ErrorStack::get().into()) }
    }

    /// Whether a handshake that was asked for is not over.
    pub fn is_renegotiating(&self) -> bool {
        let ssl = self.stream.ssl().as_ptr();
        #[allow(unsafe_code)]
        // SAFETY: `ssl` lives in the stream, and the call only looks at it.
        let pending = unsafe { SSL_renegotiate_pending(ssl) };
        pending == 1
    }

    /// Reads until the handshake that was asked for is over; what the client sends meanwhile is
    /// kept.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub fn finish_renegotiation(&mut self) -> io::Result<()> {
        while self.is_renegotiating() {
            self.read_once()?;
        }
        Ok(())
    }

    fn fill(&mut self) -> io::Result<()> {
        let before = self.unread.len();
        while self.unread.len() == before {
            self.read_once()?;
        }
        Ok(())
    }

    /// Reads some bytes, or a message of a handshake.
    fn read_once(&mut self) -> io::Result<()> {
        let mut buffer = [0; BUFFER];
        match self.stream.ssl_read(&mut buffer) {
            Ok(length) => {
                self.unread.extend_from_slice(&buffer[..length]);
                Ok(())
            }
            // A handshake's message was read.
            Err(error) if error.code() == openssl::ssl::ErrorCode::WANT_READ => Ok(()),
            Err(error) => Err(failure(error)),
        }
    }
}

fn context() -> Result<SslContext, ErrorStack> {
    let own = &certs::of_loopback().identity;
    let mut builder = SslContext::builder(SslMethod::tls_server())?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    builder.set_max_proto_version(Some(SslVersion::TLS1_2))?;
    if let Some(certificate) = own.chain.first() {
        builder.set_certificate(&*X509::from_der(certificate)?)?;
    }
    builder.set_private_key(&*PKey::private_key_from_der(own.key.secret_der())?)?;
    Ok(builder.build())
}

/// Lets `SSL_read` return after a message of a handshake, where by default it would wait for data.
fn stop_after_handshakes(ssl: &mut SslRef) {
    #[allow(unsafe_code)]
    // SAFETY: `ssl` is borrowed for the call, which clears a bit of its mode and takes no pointer.
    unsafe {
        ffi::SSL_ctrl(ssl.as_ptr(), CLEAR_MODE, ffi::SSL_MODE_AUTO_RETRY, ptr::null_mut());
    }
}

/// OpenSSL's error as that of a client that has gone: what was wrong stands in the client's own.
fn failure(error: openssl::ssl::Error) -> io::Error {
    match error.into_io_error() {
        Ok(error) => error,
        Err(error) => io::Error::new(io::ErrorKind::UnexpectedEof, error),
    }
}
