//! The session as a stream of stage 2, watched by mio.

use std::io;

use client_core::Origin;
use stage2_mio::{
    Blocked, TlsConnector, Transport,
    mio::{Interest, Registry, Token, event::Source},
};

use crate::{
    OpenSsl,
    readiness::{Session, Wait},
};

impl TlsConnector for OpenSsl {
    fn connect(
        &self,
        origin: &Origin,
        stream: Box<dyn Transport>,
    ) -> io::Result<Box<dyn Transport>> {
        Ok(Box::new(Session::new(self.session(origin, stream)?)))
    }
}

impl Transport for Session<Box<dyn Transport>> {
    fn handshake(&mut self) -> io::Result<()> {
        self.shake_hands()
    }

    fn blocked(&self) -> Option<Blocked> {
        self.waits_for.map(|wait| match wait {
            Wait::Read => Blocked::Read,
            Wait::Write => Blocked::Write,
            Wait::Either => Blocked::Either,
        })
    }

    fn close(&mut self) {
        self.shut_down();
    }
}

/// The socket below is what the loop watches.
impl Source for Session<Box<dyn Transport>> {
    fn register(&mut self, by: &Registry, token: Token, what: Interest) -> io::Result<()> {
        self.stream.get_mut().stream.register(by, token, what)
    }

    fn reregister(&mut self, by: &Registry, token: Token, what: Interest) -> io::Result<()> {
        self.stream.get_mut().stream.reregister(by, token, what)
    }

    fn deregister(&mut self, by: &Registry) -> io::Result<()> {
        self.stream.get_mut().stream.deregister(by)
    }
}
