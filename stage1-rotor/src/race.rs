//! The sockets of one race between the addresses of an origin (Happy Eyeballs, RFC 8305).
//!
//! Its rules:
//! - [`HappyEyeballs`] decides which candidate is tried when. The race has the sockets;
//! - the first candidate that connects wins. The sockets of the others are closed before it sends
//!   a byte;
//! - a candidate's machine that finds its socket gone ends.

use std::{io, net::SocketAddr, task::Waker};

use client_core::{AttemptError, Error, HappyEyeballs, io_model};
use rotor::Time;

use crate::{pool::Target, transport::Socket};

/// What the machines of one race share. They live in one thread.
pub(crate) struct Race {
    pub(crate) target: Target,
    /// For all of connecting.
    pub(crate) deadline: Time,
    order: HappyEyeballs<Time>,
    /// By the number of the candidate.
    candidates: Vec<Candidate>,
    /// Wakes the machine that started the race.
    waker: Waker,
    /// A candidate has won: the slot belongs to its connection now.
    won: bool,
}

/// One address that is tried.
struct Candidate {
    address: SocketAddr,
    /// `None` once it has failed, won, or lost to another one.
    socket: Option<Socket>,
    /// Wakes its machine.
    waker: Option<Waker>,
}

impl Race {
    pub(crate) fn new(
        target: Target,
        deadline: Time,
        order: HappyEyeballs<Time>,
        waker: Waker,
    ) -> Self {
        Race { target, deadline, order, candidates: Vec::new(), waker, won: false }
    }

    /// Whether a candidate has won.
    pub(crate) fn is_won(&self) -> bool {
        self.won
    }

    /// Opens the next candidate's socket, if one is to be tried now. Returns its number.
    pub(crate) fn start_next(&mut self, now: Time, nodelay: bool) -> Option<usize> {
        while let Some(address) = self.order.start_next(now) {
            io_model!(connect, request = self.target.request, address = %address);
            let opened = Socket::connect(address).and_then(|socket| {
                socket.set_nodelay(nodelay)?;
                Ok(socket)
            });
            match opened {
                Ok(socket) => {
                    let socket = Some(socket);
                    self.candidates.push(Candidate { address, socket, waker: None });
                    return Some(self.candidates.len() - 1);
                }
                Err(error) => self.order.failed(AttemptError::new(address, error), now),
            }
        }
        None
    }

    /// When the next candidate is tried, if nothing happens before. `None` if all were started.
    pub(crate) fn due(&self) -> Option<Time> {
        self.order.due()
    }

    /// The error of connecting, if every candidate has failed.
    pub(crate) fn lost(&mut self) -> Option<Error> {
        let failures = self.order.is_lost().then(|| self.order.take_failures())?;
        Some(Error::connect(&self.target.origin, failures))
    }

    /// A candidate's socket, for its machine. `None` if that has to end.
    pub(crate) fn socket(&mut self, number: usize) -> Option<&mut Socket> {
        self.candidates[number].socket.as_mut()
    }

    /// Notes what wakes a candidate's machine.
    pub(crate) fn set_machine(&mut self, number: usize, waker: Waker) {
        self.candidates[number].waker = Some(waker);
    }

    /// A candidate has failed. Closes its socket, and lets the next one be tried.
    pub(crate) fn failed(&mut self, number: usize, error: io::Error, now: Time) {
        let Candidate { address, socket, .. } = &mut self.candidates[number];
        if socket.take().is_some() {
            self.order.failed(AttemptError::new(*address, error), now);
            self.waker.wake_by_ref();
        }
    }

    /// A candidate has won. Closes all other sockets.
    pub(crate) fn win(&mut self, number: usize) -> Option<Socket> {
        let socket = self.candidates[number].socket.take();
        self.won = true;
        self.close();
        self.waker.wake_by_ref();
        socket
    }

    /// Closes all sockets, and lets their machines end.
    pub(crate) fn close(&mut self) {
        for Candidate { socket, waker, .. } in &mut self.candidates {
            if socket.take().is_some()
                && let Some(waker) = waker
            {
                waker.wake_by_ref();
            }
        }
    }
}
