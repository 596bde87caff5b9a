//! The session as a stream of stage 1, watched by rotor.

use std::io;

use client_core::Origin;
use stage1_rotor::{
    Blocked, TlsConnector, Transport,
    rotor::{
        EventSet, Evented, PollOpt,
        mio::{Selector, Token},
    },
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
impl Evented for Session<Box<dyn Transport>> {
    fn register(
        &self,
        by: &mut Selector,
        token: Token,
        what: EventSet,
        mode: PollOpt,
    ) -> io::Result<()> {
        self.stream.get_ref().stream.register(by, token, what, mode)
    }

    fn reregister(
        &self,
        by: &mut Selector,
        token: Token,
        what: EventSet,
        mode: PollOpt,
    ) -> io::Result<()> {
        self.stream.get_ref().stream.reregister(by, token, what, mode)
    }

    fn deregister(&self, by: &mut Selector) -> io::Result<()> {
        self.stream.get_ref().stream.deregister(by)
    }
}
