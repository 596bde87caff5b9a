//! A body between the connection that feeds it and its reader, under every interleaving (loom).
//!
//! The file is the client's own. Only the primitives below it are loom's, which tries all orders in
//! which threads can run; a thread that would wait for ever ends the test.

#[path = "../src/body.rs"]
#[allow(dead_code, unreachable_pub)] // what is public there is not here
mod body;

mod sync {
    pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};
}

use std::{future::poll_fn, pin::Pin};

use bytes::Bytes;
use client_core::{Error, ErrorKind, Exchange, Upload};
use loom::{future::block_on, thread};

use self::body::{Body, Gone, Sender};

fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// A body of these pieces whose window is two bytes.
fn channel() -> (Sender, Body) {
    body::channel(2, None, Exchange::default())
}

/// Feeds a body as a connection does: a piece whenever there is room for one.
fn feed(sender: &mut Sender, pieces: &[&'static [u8]]) -> Result<(), Gone> {
    for piece in pieces {
        block_on(poll_fn(|cx| sender.poll_room(cx)))?;
        sender.push(Bytes::from_static(piece));
    }
    Ok(())
}

/// What comes of a body, and how it ends.
fn read(mut body: Body) -> (Vec<u8>, Result<(), Error>) {
    let mut bytes = Vec::new();
    loop {
        match block_on(poll_fn(|cx| http_body::Body::poll_frame(Pin::new(&mut body), cx))) {
            None => return (bytes, Ok(())),
            Some(Ok(frame)) => bytes.extend(frame.into_data().expect("data")),
            Some(Err(error)) => return (bytes, Err(error)),
        }
    }
}

#[test]
fn a_sender_that_waits_for_room_gets_it() {
    explore(|| {
        let (mut sender, body) = channel();
        let feeding = thread::spawn(move || {
            feed(&mut sender, &[b"ab", b"c", b"d"]).expect("a reader");
            sender.finish(None);
        });
        let (bytes, end) = read(body);
        assert_eq!(bytes, b"abcd");
        end.expect("a whole body");
        feeding.join().unwrap();
    });
}

#[test]
fn a_sender_that_waits_for_room_learns_that_its_reader_is_gone() {
    explore(|| {
        let (mut sender, body) = channel();
        let feeding = thread::spawn(move || feed(&mut sender, &[b"ab", b"cd", b"ef"]));
        drop(body);
        assert_eq!(feeding.join().unwrap(), Err(Gone));
    });
}

#[test]
fn what_came_before_an_error_is_read_before_it() {
    explore(|| {
        let (mut sender, body) = channel();
        let feeding = thread::spawn(move || {
            feed(&mut sender, &[b"ab", b"c"]).expect("a reader");
            sender.fail(Error::protocol("broken"));
        });
        let (bytes, end) = read(body);
        assert_eq!(bytes, b"abc");
        assert_eq!(end.expect_err("an error").kind(), ErrorKind::Protocol);
        feeding.join().unwrap();
    });
}

#[test]
fn a_sender_that_goes_without_a_word_ends_its_reader() {
    explore(|| {
        let (mut sender, body) = channel();
        let feeding = thread::spawn(move || {
            feed(&mut sender, &[b"ab"]).expect("a reader");
        });
        let (bytes, end) = read(body);
        assert_eq!(bytes, b"ab");
        assert_eq!(end.expect_err("an error").kind(), ErrorKind::ShutDown);
        feeding.join().unwrap();
    });
}
