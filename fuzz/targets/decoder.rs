//! The decoder: however its input is cut, it says the same.

#![no_main]

use bytes::BytesMut;
use client_core::{
    Error,
    decode::{Decoder, Event, Limits},
};
use http::Method;

const LIMITS: Limits = Limits { head: 2000, headers: 20, body: Some(20_000) };

/// Heads, trailers and errors as text; a body's bytes put together.
#[derive(Debug, Default, PartialEq)]
struct Told {
    events: String,
    body: Vec<u8>,
    /// Bytes that are left over, unless there was an error.
    left: usize,
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((cuts, response)) = input.split_first() else { return };
    let method = if cuts % 2 == 0 { Method::GET } else { Method::HEAD };
    let whole = decode(&method, &[response]);
    let bytes: Vec<&[u8]> = response.chunks(1).collect();
    assert_eq!(decode(&method, &bytes), whole);
    let pieces: Vec<&[u8]> = response.chunks(usize::from(*cuts) + 2).collect();
    assert_eq!(decode(&method, &pieces), whole);
});

fn decode(method: &Method, pieces: &[&[u8]]) -> Told {
    let mut told = Told::default();
    let mut decoder = Decoder::new(method, LIMITS);
    let mut buffer = BytesMut::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        if let Err(error) = drain(&mut decoder, &mut buffer, &mut told) {
            told.events.push_str(&error.to_string());
            return told;
        }
    }
    told.left = buffer.len();
    told.events.push_str(&format!("{:?}", decoder.keep_alive()));
    if !decoder.is_done() {
        told.events.push_str(&format!("{:?}", decoder.eof(&buffer)));
    }
    told
}

fn drain(decoder: &mut Decoder, buffer: &mut BytesMut, told: &mut Told) -> Result<(), Error> {
    while let Some(event) = decoder.decode(buffer)? {
        match event {
            Event::Data(piece) => {
                assert!(!piece.is_empty());
                told.body.extend_from_slice(&piece);
            }
            other => told.events.push_str(&format!("{other:?}")),
        }
    }
    Ok(())
}
