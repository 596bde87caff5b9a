//! What is played to the clients: settings, and one act after the other.
//!
//! A schedule is generated as *wishes*, which say nothing of the state in which they are made. The
//! model turns each wish into an act that is possible then. So any part of a schedule is a
//! schedule, and one that fails is made smaller by leaving wishes out.

use client_core::Config;

use crate::random::Random;

/// A generated schedule.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    pub(crate) settings: Settings,
    pub(crate) wishes: Vec<Wish>,
}

/// The limits of the pool, and what the origins are like.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) total: usize,
    pub(crate) per_origin: usize,
    pub(crate) idle_per_origin: usize,
    pub(crate) waiting: usize,
    pub(crate) origins: Vec<Origin>,
}

/// What connecting to an origin is like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Origin {
    /// It succeeds at once.
    Prompt,
    /// It is refused at once.
    Refusing,
    /// The addresses of its name come in an act of their own.
    Held,
}

/// A kind of act, and the number by which it chooses what it acts on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) kind: Kind,
    pub(crate) choice: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Start,
    Resolve,
    Answer,
    Head,
    Pieces,
    ReadRest,
    Noise,
    Shut,
    Reset,
    GiveUp,
    Close,
}

/// One event. Calls, connections and origins are given by their index.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// A caller sends its request.
    Start { origin: usize, method: &'static str, size: Size },
    /// The addresses of a name come.
    Resolve { origin: usize, addresses: Addresses },
    /// The server writes these parts of a response, at once.
    Send(Send),
    /// The server reads the rest of an upload.
    ReadRest { connection: usize },
    /// The server sends a byte that no request has asked for.
    Noise { connection: usize },
    /// The server ends its side of a connection.
    Shut { connection: usize },
    /// The server resets a connection.
    Reset { connection: usize },
    /// A caller drops what it has: its future, or the body.
    GiveUp { call: usize },
    /// The client is closed.
    Close,
}

/// How much of a body a request has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Size {
    Nothing,
    Small,
    /// More than all buffers between client and server hold.
    Upload,
}

impl Size {
    pub(crate) fn bytes(self) -> usize {
        match self {
            Size::Nothing => 0,
            Size::Small => 5,
            Size::Upload => 8 << 20,
        }
    }
}

/// What a name resolves to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Addresses {
    Serving,
    /// The first address refuses, the second serves.
    RefusingThenServing,
    Refusing,
    /// The lookup fails.
    Missing,
}

/// Parts of a response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Send {
    pub(crate) connection: usize,
    pub(crate) head: Option<Head>,
    /// How many pieces of the body.
    pub(crate) pieces: usize,
    pub(crate) end: bool,
    /// A byte follows the response.
    pub(crate) more: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) framing: Framing,
    pub(crate) says: Says,
}

/// What marks the end of the body.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Framing {
    /// A length of so many pieces.
    Length(usize),
    Chunked,
    UntilClose,
}

/// What the head says about the connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Says {
    Nothing,
    Close,
    /// `Keep-Alive: timeout=0`.
    NoTime,
    /// `Keep-Alive: max=N`.
    Uses(u64),
}

impl Head {
    pub(crate) fn is_chunked(self) -> bool {
        self.framing == Framing::Chunked
    }

    /// Its bytes.
    pub(crate) fn bytes(self) -> String {
        let says = match self.says {
            Says::Nothing => String::new(),
            Says::Close => "Connection: close\r\n".into(),
            Says::NoTime => "Keep-Alive: timeout=0\r\n".into(),
            Says::Uses(uses) => format!("Keep-Alive: max={uses}\r\n"),
        };
        let framing = match self.framing {
            Framing::Length(pieces) => {
                format!("Content-Length: {}\r\n", pieces * piece(0).len())
            }
            Framing::Chunked => "Transfer-Encoding: chunked\r\n".into(),
            Framing::UntilClose => String::new(),
        };
        format!("HTTP/1.1 200 OK\r\n{says}{framing}\r\n")
    }
}

/// The piece of a body with this index.
pub(crate) fn piece(index: usize) -> String {
    format!("[{index:03}]")
}

impl Settings {
    pub(crate) fn config(&self) -> Config {
        Config::new()
            .max_total(self.total)
            .max_per_origin(self.per_origin)
            .max_idle_per_origin(self.idle_per_origin)
            .max_waiting(self.waiting)
    }
}

impl Schedule {
    /// The schedule of this seed.
    pub(crate) fn of(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let origins = 1 + random.below(3);
        let origin = |random: &mut Random| match random.below(10) {
            0..5 => Origin::Prompt,
            5..9 => Origin::Held,
            _ => Origin::Refusing,
        };
        let settings = Settings {
            total: 1 + random.below(5),
            per_origin: 1 + random.below(3),
            idle_per_origin: random.below(4),
            waiting: if random.below(4) == 0 { random.below(4) } else { 100 },
            origins: (0..origins).map(|_| origin(&mut random)).collect(),
        };
        let length = 10 + random.below(30);
        let wishes = (0..length).map(|_| Wish::any(&mut random)).collect();
        Schedule { settings, wishes }
    }
}

impl Wish {
    fn any(random: &mut Random) -> Self {
        let kind = match random.below(100) {
            0..32 => Kind::Start,
            32..44 => Kind::Resolve,
            44..68 => Kind::Answer,
            68..73 => Kind::Head,
            73..81 => Kind::Pieces,
            81..83 => Kind::ReadRest,
            83..85 => Kind::Noise,
            85..89 => Kind::Shut,
            89..93 => Kind::Reset,
            93..99 => Kind::GiveUp,
            _ => Kind::Close,
        };
        Wish { kind, choice: random.next() }
    }
}
