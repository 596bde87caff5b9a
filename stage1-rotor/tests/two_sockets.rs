//! A user's transport may watch more than one socket under its connection's token.
//!
//! So a connection can end at the first event of a turn and have another one in the same turn. It
//! must not find the slot empty: slab 0.1.3 would enter it into its list of free slots a second
//! time, and the loop would panic at a later insertion.

#![cfg(unix)]

use std::{
    io::{self, Read, Write},
    os::{fd::AsRawFd, unix::net::UnixStream},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
};

use http::Request;
use http_body_util::{BodyExt, Full};
use stage1_rotor::{
    Client, Config, Connector, Connectors, Origin, Transport,
    rotor::{
        EventSet, Evented, PollOpt,
        mio::{Selector, Token, unix::EventedFd},
    },
};
use testbed::{
    Gate,
    run::{block_on, bounded},
};

/// Two sockets; bytes come and go over the first.
struct Two(UnixStream, UnixStream);

impl Transport for Two {}

impl Read for Two {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Two {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Evented for Two {
    fn register(
        &self,
        by: &mut Selector,
        token: Token,
        what: EventSet,
        mode: PollOpt,
    ) -> io::Result<()> {
        EventedFd(&self.0.as_raw_fd()).register(by, token, what, mode)?;
        EventedFd(&self.1.as_raw_fd()).register(by, token, what, mode)
    }

    fn reregister(
        &self,
        by: &mut Selector,
        token: Token,
        what: EventSet,
        mode: PollOpt,
    ) -> io::Result<()> {
        EventedFd(&self.0.as_raw_fd()).reregister(by, token, what, mode)?;
        EventedFd(&self.1.as_raw_fd()).reregister(by, token, what, mode)
    }

    fn deregister(&self, by: &mut Selector) -> io::Result<()> {
        EventedFd(&self.0.as_raw_fd()).deregister(by)?;
        EventedFd(&self.1.as_raw_fd()).deregister(by)
    }
}

/// Hands the peer's ends to the test. For the host `gate` it holds the loop up until the gate is
/// open, and fails.
struct Pairs {
    peers: Mutex<Sender<Two>>,
    reached: Gate,
    gate: Gate,
}

impl Connector for Pairs {
    fn connect(&self, origin: &Origin) -> io::Result<Box<dyn Transport>> {
        if origin.host() == "gate" {
            self.reached.open();
            self.gate.wait();
            return Err(io::ErrorKind::NotFound.into());
        }
        let (first, second) = (UnixStream::pair()?, UnixStream::pair()?);
        first.0.set_nonblocking(true)?;
        self.peers.lock().unwrap().send(Two(first.1, second.1)).unwrap();
        Ok(Box::new(Two(first.0, second.0)))
    }
}

/// Sends a request over a new connection, answers it, and gives back the peer's ends.
fn exchange(client: &Client, peers: &Receiver<Two>, host: &str) -> Two {
    let request = Request::get(format!("http://{host}/")).body(Full::default()).unwrap();
    let call = std::thread::spawn({
        let call = client.request(request);
        move || block_on(async { call.await.unwrap().into_body().collect().await.unwrap() })
    });
    let mut peer = peers.recv().unwrap();
    let head = format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n");
    peer.0.read_exact(&mut vec![0; head.len()]).unwrap();
    peer.0.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    call.join().unwrap();
    peer
}

#[test]
fn an_event_for_a_connection_that_ended_in_the_same_turn_is_harmless() {
    bounded("an_event_for_a_connection_that_ended_in_the_same_turn_is_harmless", || {
        let (sender, peers) = channel();
        let (reached, gate) = (Gate::new(), Gate::new());
        let pairs =
            Pairs { peers: Mutex::new(sender), reached: reached.clone(), gate: gate.clone() };
        let connectors = Connectors::new().connector(Arc::new(pairs));
        let client = Client::with_connectors(Config::new(), connectors).unwrap();
        let mut peer = exchange(&client, &peers, "first");

        let held_up =
            client.request(Request::get("http://gate/").body(Full::default()).unwrap());
        let held_up = std::thread::spawn(move || block_on(held_up).map(drop));
        reached.wait();
        peer.1.write_all(b"!").unwrap();
        drop(peer);
        gate.open();
        held_up.join().unwrap().unwrap_err();

        let _both = ["second", "third"].map(|host| exchange(&client, &peers, host));
        assert_eq!(client.stats().idle, 2);
    });
}
