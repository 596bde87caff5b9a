//! What a script does with TLS.
//!
//! Its rules are those of the connection; without TLS these calls do nothing, or fail the script.

use std::{
    io::{self, Write},
    net::TcpStream,
};

use super::{Connection, WRITE, eof};
use crate::server::tls::Tls;

impl Connection {
    /// Finishes the handshake. Otherwise it goes on when the script reads or sends; on a server
    /// without TLS there is none.
    ///
    /// # Errors
    ///
    /// Those of the socket; `InvalidData` with a [`rustls::Error`] if TLS failed, which ends the
    /// script in peace.
    pub fn handshake(&mut self) -> io::Result<()> {
        while self.tls.as_ref().is_some_and(Tls::is_handshaking) {
            self.send_records()?;
            if !self.receive_records()? {
                return Err(eof("in a handshake"));
            }
        }
        self.send_records()
    }

    /// Sends the first `length` bytes of what the handshake has the server send. `false` is that
    /// there were more: then the connection goes on as if [`without_tls`](Self::without_tls).
    ///
    /// # Errors
    ///
    /// As [`handshake`](Self::handshake).
    pub fn handshake_until(&mut self, length: usize) -> io::Result<bool> {
        let mut left = length;
        while let Some(tls) = self.tls.as_mut().filter(|tls| tls.is_handshaking()) {
            let records = tls.take_records()?;
            let now = records.len().min(left);
            self.write(&records[..now])?;
            if now < records.len() {
                self.without_tls();
                return Ok(false);
            }
            left -= now;
            if !self.receive_records()? {
                return Err(eof("in a handshake"));
            }
        }
        Ok(true)
    }

    /// The first flight of the handshake, which is not sent (RFC 8446 section 2).
    ///
    /// # Errors
    ///
    /// As [`handshake`](Self::handshake).
    pub fn first_flight(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let records = self.tls()?.take_records()?;
            if !records.is_empty() {
                return Ok(records);
            }
            if !self.receive_records()? {
                return Err(eof("before it said hello"));
            }
        }
    }

    /// The records that carry these bytes, for [`send_raw`](Self::send_raw): they may be cut,
    /// joined and held back, but come in the order in which they were made.
    ///
    /// # Errors
    ///
    /// As [`handshake`](Self::handshake), which comes first.
    pub fn seal(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<Vec<u8>> {
        self.handshake()?;
        self.tls()?.seal(bytes.as_ref())
    }

    /// Sends these bytes as they are, under TLS too: records from [`seal`](Self::seal), or what
    /// are none.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub fn send_raw(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.write(bytes.as_ref())
    }

    /// From here on the script reads and sends the bytes of the socket themselves.
    pub fn without_tls(&mut self) {
        self.tls = None;
    }

    /// From here on each byte of a record is sent alone, after the client's application has read
    /// the one before (on Linux; elsewhere they are only written one by one).
    pub fn chop(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.chopped = true;
        }
    }

    /// Changes the keys, and asks the client to change its own (RFC 8446 section 4.6.3).
    ///
    /// # Errors
    ///
    /// As [`handshake`](Self::handshake), which comes first; TLS 1.2 has no such thing.
    pub fn key_update(&mut self) -> io::Result<()> {
        self.handshake()?;
        self.tls()?.update_keys()?;
        self.send_records()
    }

    /// Says that nothing more is sent (RFC 8446 section 6.1); the socket stays open.
    ///
    /// # Errors
    ///
    /// As [`handshake`](Self::handshake), which comes first.
    pub fn close_notify(&mut self) -> io::Result<()> {
        self.handshake()?;
        self.tls()?.end();
        self.send_records()
    }

    /// Sends a fatal alert, as if the client had broken the protocol (RFC 8446 section 6.2).
    ///
    /// # Errors
    ///
    /// As [`handshake`](Self::handshake), which comes first.
    pub fn fatal_alert(&mut self) -> io::Result<()> {
        self.handshake()?;
        self.tls()?.fail()?;
        self.send_records()
    }

    // ===== within =====

    fn tls(&mut self) -> io::Result<&mut Tls> {
        self.tls.as_mut().ok_or_else(|| io::Error::other("expected a server with TLS"))
    }

    /// Reads once from TLS, behind what is unread. 0 is the peer's end, with a word of TLS or not.
    pub(super) fn read_decrypted(&mut self) -> io::Result<usize> {
        loop {
            self.send_records()?;
            let Some(tls) = &mut self.tls else { return Ok(0) };
            if let Some(length) = tls.decrypted(&mut self.buffer[self.unread.end..])? {
                return Ok(length);
            }
            let more = self.receive_records()?;
            if !more && self.tls.as_ref().is_some_and(Tls::is_handshaking) {
                return Ok(0);
            }
        }
    }

    /// Waits for records of the client; `false` is the end of the socket. If TLS fails, it says so.
    fn receive_records(&mut self) -> io::Result<bool> {
        let socket = self.socket.as_deref().ok_or(io::ErrorKind::NotConnected)?;
        let Some(tls) = &mut self.tls else { return Ok(false) };
        let received = tls.receive(socket);
        if let Some(news) = tls.news() {
            self.note(|connection| connection.tls = Some(news));
        }
        received.map_err(|error| {
            // The client may be gone, and need not be told.
            let _ = self.send_records();
            self.broken(error)
        })
    }

    /// Sends what TLS has to say.
    fn send_records(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        let records = tls.take_records()?;
        self.write(&records)
    }

    /// Sends the bytes of records.
    pub(super) fn write(&mut self, records: &[u8]) -> io::Result<()> {
        let size = match &self.tls {
            Some(tls) if tls.chopped => 1,
            _ => WRITE,
        };
        for (index, part) in records.chunks(size).enumerate() {
            if index > 0 && size == 1 {
                self.wait_read()?;
            }
            let written = self.socket()?.write_all(part);
            written.map_err(|error| self.broken(error))?;
        }
        Ok(())
    }
}

/// Says that nothing more is sent, if there is room for it at once.
pub(super) fn say_goodbye(mut tls: Tls, mut socket: &TcpStream) {
    if tls.is_handshaking() {
        return;
    }
    tls.end();
    // A client that takes nothing, or is gone, sees the end of the socket instead.
    let said = tls.take_records().and_then(|records| {
        socket.set_nonblocking(true)?;
        socket.write_all(&records)
    });
    drop(said);
}
