//! What each request is, and what happens to it: a function of the seed and its number.

use std::{fmt, time::Duration};

/// How long a server is silent before the client gives it up. Longer than anything else takes,
/// also on a machine that has other things to do.
pub(super) const SILENCE: Duration = Duration::from_secs(4);

/// What all plans of a run follow from.
#[derive(Clone, Copy)]
pub(super) struct Seed(pub(super) u64);

/// One request, and what the server does with it.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub(super) method: &'static str,
    /// Bytes of the request's body.
    pub(super) upload: usize,
    /// Bytes of the response's body.
    pub(super) length: usize,
    pub(super) fault: Fault,
    /// Which of the four origins.
    pub(super) origin: usize,
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Fault {
    /// A length marks the body's end.
    None,
    /// Chunks do, and trailers follow.
    Chunked,
    /// The end of the connection does.
    UntilClose,
    /// The answer begins late.
    Delay,
    /// The body comes in pieces, with pauses.
    Slow,
    /// After the response the connection is closed, without a word.
    ClosedAfter,
    /// The same with a reset, which may overtake the response.
    ResetAfter,
    /// The connection is closed instead of an answer, once.
    ClosedBefore,
    /// It is reset instead.
    ResetBefore,
    /// The body ends too early.
    Truncated,
    /// The connection is reset within the body.
    ResetWithin,
    /// Bytes follow the response that nobody asked for.
    Garbage,
    /// The head breaks a rule.
    Malformed,
    /// No answer comes.
    Silent,
    /// No answer comes, and the caller gives up.
    CallerLeaves,
    /// The caller drops the body after the head.
    BodyDropped,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::None => "no fault",
            Fault::Chunked => "no fault, chunked",
            Fault::UntilClose => "no fault, until close",
            Fault::Delay => "late answer",
            Fault::Slow => "slow body",
            Fault::ClosedAfter => "closed after the response",
            Fault::ResetAfter => "reset after the response",
            Fault::ClosedBefore => "closed before it",
            Fault::ResetBefore => "reset before it",
            Fault::Truncated => "truncated body",
            Fault::ResetWithin => "reset within the body",
            Fault::Garbage => "bytes after the response",
            Fault::Malformed => "malformed head",
            Fault::Silent => "no answer",
            Fault::CallerLeaves => "caller gives up",
            Fault::BodyDropped => "body dropped",
        })
    }
}

impl Fault {
    /// Each with its share, of 10,000.
    const SHARES: [(Fault, u64); 16] = [
        (Fault::None, 4800),
        (Fault::Chunked, 1500),
        (Fault::UntilClose, 300),
        (Fault::Delay, 400),
        (Fault::Slow, 300),
        (Fault::ClosedAfter, 600),
        (Fault::ResetAfter, 300),
        (Fault::ClosedBefore, 300),
        (Fault::ResetBefore, 300),
        (Fault::Truncated, 300),
        (Fault::ResetWithin, 300),
        (Fault::Garbage, 200),
        (Fault::Malformed, 147),
        (Fault::Silent, 3),
        (Fault::CallerLeaves, 150),
        (Fault::BodyDropped, 100),
    ];

    /// Whether it is one: something goes wrong, or at least not at once.
    pub(super) fn is_fault(self) -> bool {
        !matches!(self, Fault::None | Fault::Chunked | Fault::UntilClose)
    }
}

impl Plan {
    pub(super) fn of(seed: Seed, id: u64) -> Self {
        let mut dice = Dice::new(seed, id, 0);
        let methods = ["GET", "GET", "GET", "GET", "PUT", "DELETE", "POST", "POST"];
        let method = methods[dice.below(methods.len() as u64) as usize];
        let mut roll = dice.below(10_000);
        let fault = Fault::SHARES.into_iter().find(|(_, share)| {
            let is_it = roll < *share;
            roll = roll.wrapping_sub(*share);
            is_it
        });
        let fault = fault.map_or(Fault::None, |(fault, _)| fault);
        let upload = if ["PUT", "POST"].contains(&method) { dice.below(4096) } else { 0 };
        let length = match (fault, dice.below(20)) {
            // It has to lie in one piece with what follows.
            (Fault::Garbage, _) => dice.below(1000),
            // Too much to be here when the caller drops it.
            (Fault::BodyDropped, _) => 2_000_000,
            (_, 0) => 20_000 + dice.below(60_000),
            _ => 1 + dice.below(2000),
        };
        let (upload, length) = (upload as usize, length as usize);
        let origin = dice.below(4) as usize;
        Plan { method, upload, length, fault, origin }
    }

    /// Whether the request may be sent twice (RFC 9110 section 9.2.2).
    pub(super) fn is_idempotent(&self) -> bool {
        self.method != "POST"
    }
}

/// The bytes of the request with this number.
pub(super) fn upload(seed: Seed, id: u64, length: usize) -> Vec<u8> {
    bytes(Dice::new(seed, id, 1), length)
}

/// The bytes of the response to it.
pub(super) fn body(seed: Seed, id: u64, length: usize) -> Vec<u8> {
    bytes(Dice::new(seed, id, 2), length)
}

fn bytes(mut dice: Dice, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&dice.next().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Numbers that look random: SplitMix64.
struct Dice(u64);

impl Dice {
    /// For one purpose of one request.
    fn new(Seed(seed): Seed, id: u64, purpose: u64) -> Self {
        let start =
            seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ id.rotate_left(20) ^ purpose << 60;
        let mut dice = Dice(start);
        dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }
}
