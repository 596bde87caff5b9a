//! What the server does with one request: the response's bytes, spoiled or not, and what follows.

use std::io;

use proptest::{collection::vec, option, prelude::*, sample::select};
use testbed::Connection;

use super::reply::{self, Reply};

/// What is done to one request.
#[derive(Clone, Debug)]
pub(crate) struct Act {
    pub(crate) reply: Reply,
    spoil: Spoil,
    /// Where the bytes are cut into pieces, in 65536ths of their length.
    splits: Vec<u16>,
    end: End,
}

/// What is wrong with it.
#[derive(Clone, Debug)]
enum Spoil {
    Nothing,
    /// One byte is something else, missing, or one too many.
    Byte {
        at: u16,
        change: Change,
    },
    /// It ends too early; 0 is before its first byte.
    Cut {
        at: u16,
    },
    /// Bytes after its end, in the same piece or later.
    More {
        bytes: &'static [u8],
        at_once: bool,
    },
}

#[derive(Clone, Copy, Debug)]
enum Change {
    To(u8),
    Gone,
    Before(u8),
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Kept,
    Closed,
    Reset,
}

impl Act {
    /// Whether the caller has to get the response, as it was meant.
    pub(crate) fn is_clean(&self, method: &str) -> bool {
        let spoiled = matches!(self.spoil, Spoil::Byte { .. } | Spoil::Cut { .. });
        let reset = self.end == End::Reset && self.reply.is_until_close(method);
        let more =
            matches!(self.spoil, Spoil::More { .. }) && self.reply.is_until_close(method);
        !(spoiled || reset || more || self.reply.is_ambiguous())
    }

    /// Whether the client cannot keep the connection, and has to notice.
    pub(crate) fn ends_connection(&self, method: &str) -> bool {
        self.end(method) != End::Kept || matches!(self.spoil, Spoil::More { .. })
    }

    /// Does it. Whether the connection goes on.
    pub(crate) fn play(&self, conn: &mut Connection, method: &str) -> io::Result<bool> {
        conn.send_in(self.pieces(method))?;
        match self.end(method) {
            End::Kept => return Ok(true),
            End::Closed => conn.half_close()?,
            End::Reset => {
                // It would overtake what has not been read.
                conn.wait_read()?;
                conn.reset()?;
            }
        }
        Ok(false)
    }

    /// What might leave the client waiting for more ends the connection.
    fn end(&self, method: &str) -> End {
        let open = self.reply.is_until_close(method)
            || matches!(self.spoil, Spoil::Byte { .. } | Spoil::Cut { .. });
        if self.end == End::Kept && open { End::Closed } else { self.end }
    }

    fn pieces(&self, method: &str) -> Vec<Vec<u8>> {
        let mut bytes = self.reply.bytes(method);
        let mut later = None;
        match self.spoil {
            Spoil::Nothing => {}
            Spoil::Byte { at, change } => {
                let at = place(at, bytes.len());
                match change {
                    Change::To(byte) => bytes[at] = byte,
                    Change::Gone => _ = bytes.remove(at),
                    Change::Before(byte) => bytes.insert(at, byte),
                }
            }
            Spoil::Cut { at } => bytes.truncate(place(at, bytes.len())),
            Spoil::More { bytes: more, at_once: true } => bytes.extend_from_slice(more),
            Spoil::More { bytes: more, at_once: false } => later = Some(more.to_vec()),
        }
        let mut splits: Vec<_> = self.splits.iter().map(|at| place(*at, bytes.len())).collect();
        splits.sort_unstable();
        let mut pieces = Vec::new();
        for at in splits.into_iter().rev() {
            pieces.push(bytes.split_off(at));
        }
        pieces.push(bytes);
        pieces.reverse();
        pieces.extend(later);
        pieces.retain(|piece| !piece.is_empty());
        pieces
    }
}

/// Squares the fraction: the head, which is short, is where most can go wrong.
fn place(at: u16, length: usize) -> usize {
    let fraction = f64::from(at) / 65_536.0;
    (fraction * fraction * length as f64) as usize
}

pub(crate) fn any() -> impl Strategy<Value = Act> {
    let end = prop_oneof![8 => Just(End::Kept), 2 => Just(End::Closed), 1 => Just(End::Reset)];
    (reply::any(), spoil(), vec(any_place(), 0..4), end)
        .prop_map(|(reply, spoil, splits, end)| Act { reply, spoil, splits, end })
}

/// The connection ends instead of an answer.
pub(crate) fn stale() -> impl Strategy<Value = Act> {
    let end = select(&[End::Closed, End::Reset][..]);
    (reply::any(), end).prop_map(|(reply, end)| Act {
        reply,
        spoil: Spoil::Cut { at: 0 },
        splits: Vec::new(),
        end,
    })
}

fn any_place() -> impl Strategy<Value = u16> {
    prop::num::u16::ANY
}

fn spoil() -> impl Strategy<Value = Spoil> {
    const BYTES: &[u8] = b"\r\n\0 \t:;,=-+0159afFgx\"\x7f\x80\xff";
    const MORE: &[&[u8]] =
        &[b"\r\n", b"\n", b"x", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"\0\0\0"];
    let change = prop_oneof![
        3 => select(BYTES).prop_map(Change::To),
        1 => Just(Change::Gone),
        1 => select(BYTES).prop_map(Change::Before),
    ];
    prop_oneof![
        10 => Just(Spoil::Nothing),
        4 => (any_place(), change).prop_map(|(at, change)| Spoil::Byte { at, change }),
        2 => any_place().prop_map(|at| Spoil::Cut { at }),
        1 => (select(MORE), prop::bool::ANY).prop_map(|(bytes, at_once)| Spoil::More { bytes, at_once }),
    ]
}

/// An answer, or first a stale connection.
pub(crate) fn acts() -> impl Strategy<Value = Vec<Act>> {
    (option::weighted(0.15, stale()), any())
        .prop_map(|(first, act)| first.into_iter().chain([act]).collect())
}
