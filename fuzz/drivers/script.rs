//! What happens to one connection, as a fuzzer can write it: bytes that the peer sends, and
//! between them what else can happen at that moment.
//!
//! 0xff and a letter is a [`Step`]; every other byte is the peer's, and the first of them finds a GET
//! under way, if nothing else is. So a file with a response in it is a script, and a changed byte
//! is mostly a changed response.
//!
//! Its rules: a read brings all that the peer has sent, as on a socket; nothing waits, and time
//! passes only where the script says so; who waits for an exchange that is over has been told.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    io,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use bytes::Bytes;
use client_core::{Body, CloseReason, Config, Error, ErrorKind, Outgoing, Upload};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};

/// What a connection is driven by in a script; each stage has one.
pub(super) trait Subject {
    fn new(config: Config, pipe: Pipe, waker: Waker) -> Self;

    /// Begins an exchange on a connection that is idle.
    fn start(&mut self, request: Outgoing);

    /// The stream has become ready for something.
    fn ready(&mut self, readable: bool, writable: bool, hung_up: bool);

    /// The waker was woken.
    fn woken(&mut self);

    /// Time passes, or none: then a deadline may be here all the same.
    fn pass(&mut self, time: Duration);

    /// What the caller of the exchange gets.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<Body>, Error>>;

    /// The caller drops its future.
    fn cancel(&mut self);

    /// Drops the connection, if it is still there.
    fn end(&mut self);

    fn fate(&self) -> Fate;
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Idle,
    Busy,
    Closed(CloseReason),
    /// Closed, and the request is to be sent again elsewhere.
    Retry(CloseReason),
}

/// One thing that happens.
#[derive(Clone, Copy)]
enum Step<'a> {
    /// The peer sends these.
    Bytes(&'a [u8]),
    End,
    Reset,
    /// Another request is made, if the connection is idle.
    Request(&'static str),
    /// The stream takes a few more bytes.
    Room(usize),
    /// The caller takes all that is there for it: in which pieces is each stage's own affair.
    Take,
    /// The caller goes.
    Leave,
    /// This much time passes.
    Time(Duration),
    /// An event for nothing.
    Nothing,
}

/// Bytes of a body that wait for the caller before reading stops.
const WINDOW: usize = 100;

/// More steps than this say nothing new.
const MOST_STEPS: usize = 300;

fn steps(script: &[u8]) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    let mut parts = script.split(|byte| *byte == 0xff);
    steps.extend(parts.next().filter(|bytes| !bytes.is_empty()).map(Step::Bytes));
    for part in parts.take(MOST_STEPS) {
        let Some((letter, bytes)) = part.split_first() else { continue };
        steps.extend(match letter {
            b'E' => Some(Step::End),
            b'R' => Some(Step::Reset),
            b'G' => Some(Step::Request("GET")),
            b'H' => Some(Step::Request("HEAD")),
            b'P' => Some(Step::Request("POST")),
            b'w' => Some(Step::Room(7)),
            b'W' => Some(Step::Room(100_000)),
            b'T' => Some(Step::Take),
            b'L' => Some(Step::Leave),
            b't' => Some(Step::Time(Duration::from_millis(900))),
            b'n' => Some(Step::Nothing),
            _ => None,
        });
        steps.extend((!bytes.is_empty()).then_some(Step::Bytes(bytes)));
    }
    steps
}

/// The stream: what the peer has sent, and how much it takes.
#[derive(Clone, Default)]
pub(super) struct Pipe(Arc<Mutex<Ends>>);

#[derive(Default)]
struct Ends {
    sent: VecDeque<u8>,
    /// `Some(true)` is a reset.
    end: Option<bool>,
    room: usize,
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, Ends> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        let mut ends = self.lock();
        match ends.end {
            // A system may drop what was not read. Here it does not, since how much a client has read
            // by then is its own affair.
            Some(true) if ends.sent.is_empty() => Err(io::ErrorKind::ConnectionReset.into()),
            None if ends.sent.is_empty() => Err(io::ErrorKind::WouldBlock.into()),
            _ => {
                // A short read says that there is no more: the queue must not lie in two halves.
                ends.sent.make_contiguous();
                io::Read::read(&mut ends.sent, into)
            }
        }
    }

    pub(super) fn write(&self, from: &[u8]) -> io::Result<usize> {
        let mut ends = self.lock();
        if ends.end == Some(true) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let written = from.len().min(ends.room);
        if written == 0 && !from.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        ends.room -= written;
        Ok(written)
    }
}

/// A waker that remembers.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A connection, its peer and its caller.
struct Scene<S> {
    subject: S,
    pipe: Pipe,
    woken: Arc<Woken>,
    caller: Caller,
    /// What the caller was told.
    told: String,
}

enum Caller {
    Gone,
    Waiting,
    /// With what it has read so far: how much, and a sum over it.
    Reading(Body, usize, u32),
}

/// Plays a script. What the caller was told, and what became of the connection.
pub(super) fn play<S: Subject>(script: &[u8]) -> String {
    let pipe = Pipe::default();
    pipe.lock().room = 100_000;
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let config = Config::new()
        .max_head(2000)
        .max_headers(20)
        .max_body(20_000)
        .body_window(WINDOW)
        .write_idle_timeout(Duration::from_secs(2))
        .head_timeout(Duration::from_secs(2))
        .body_idle_timeout(Duration::from_secs(2))
        .total_timeout(Duration::from_secs(10))
        .idle_timeout(Duration::from_secs(3));
    let subject = S::new(config, pipe.clone(), Waker::from(woken.clone()));
    let mut scene = Scene { subject, pipe, woken, caller: Caller::Gone, told: String::new() };
    for step in steps(script) {
        if matches!(step, Step::Bytes(_)) && scene.told.is_empty() {
            scene.step(Step::Request("GET"));
        }
        scene.step(step);
        scene.wake();
    }
    scene.finish()
}

impl<S: Subject> Scene<S> {
    fn step(&mut self, step: Step<'_>) {
        match step {
            Step::Bytes(bytes) => {
                let mut ends = self.pipe.lock();
                if ends.end.is_none() {
                    ends.sent.extend(bytes);
                    drop(ends);
                    self.subject.ready(true, false, false);
                }
            }
            Step::End | Step::Reset => {
                self.pipe.lock().end.get_or_insert(matches!(step, Step::Reset));
                self.subject.ready(true, matches!(step, Step::Reset), true);
            }
            Step::Request(method) => self.request(method),
            Step::Room(room) => {
                self.pipe.lock().room = room;
                self.subject.ready(false, true, false);
            }
            Step::Take => self.drain(),
            Step::Leave => self.leave(),
            Step::Time(time) => self.subject.pass(time),
            Step::Nothing => self.subject.ready(false, false, false),
        }
    }

    fn request(&mut self, method: &str) {
        if self.subject.fate() != Fate::Idle || !matches!(self.caller, Caller::Gone) {
            return;
        }
        let body = if method == "POST" { "a body of 24 bytes length" } else { "" };
        let request = Request::builder().method(method).uri("http://host/");
        let request = request.body(Full::new(Bytes::from(body))).expect("a valid request");
        self.told.push_str(method);
        self.caller = Caller::Waiting;
        self.subject.start(Outgoing::new(request).expect("a valid request"));
    }

    /// Once. Whether there was anything.
    fn take(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        match &mut self.caller {
            Caller::Gone => false,
            Caller::Waiting => match self.subject.poll_answer(&mut cx) {
                Poll::Pending => false,
                Poll::Ready(answer) => {
                    self.hear(answer);
                    true
                }
            },
            Caller::Reading(body, length, sum) => match pin!(body.frame()).poll(&mut cx) {
                Poll::Pending => false,
                Poll::Ready(Some(Ok(frame))) => {
                    match frame.into_data() {
                        Ok(data) => {
                            *length += data.len();
                            *sum = data.iter().fold(*sum, |sum, byte| {
                                sum.wrapping_mul(31).wrapping_add(u32::from(*byte))
                            });
                        }
                        Err(frame) => {
                            let trailers = frame.trailers_ref().expect("data or trailers");
                            let _ = write!(self.told, " {trailers:?}");
                        }
                    }
                    true
                }
                Poll::Ready(end) => {
                    let mut end = end.map_or("end".to_owned(), |end| match end {
                        Ok(_) => "end".to_owned(),
                        Err(error) => error.kind().to_string(),
                    });
                    if body.exchange().upload != Upload::Whole {
                        end.push_str(", upload cut");
                    }
                    // By how much a read overshoots the window is each stage's own affair, and what
                    // it had not read when time ran out nobody gets.
                    let _ = if end.starts_with(ErrorKind::Timeout.as_str()) && *length >= WINDOW
                    {
                        writeln!(self.told, " a window or more, {end}")
                    } else {
                        writeln!(self.told, " {length} bytes ({sum:x}) {end}")
                    };
                    self.caller = Caller::Gone;
                    true
                }
            },
        }
    }

    fn hear(&mut self, answer: Result<Response<Body>, Error>) {
        self.caller = match answer {
            Ok(response) => {
                let (head, body) = response.into_parts();
                let _ = write!(self.told, " {} {:?}", head.status, head.headers);
                Caller::Reading(body, 0, 0)
            }
            Err(error) => {
                let _ = writeln!(self.told, " {}", error.kind());
                Caller::Gone
            }
        };
    }

    fn leave(&mut self) {
        match std::mem::replace(&mut self.caller, Caller::Gone) {
            Caller::Gone => return,
            Caller::Waiting => self.subject.cancel(),
            Caller::Reading(body, ..) => drop(body),
        }
        self.told.push_str(" left\n");
    }

    /// Does what a loop does before it waits.
    fn wake(&mut self) {
        while self.woken.0.swap(false, Ordering::SeqCst) {
            self.subject.woken();
        }
        self.subject.pass(Duration::ZERO);
    }

    /// Lets the caller take all that there is for it.
    fn drain(&mut self) {
        while self.take() {
            self.wake();
        }
    }

    fn finish(mut self) -> String {
        self.drain();
        let fate = self.subject.fate();
        let waits = !matches!(self.caller, Caller::Gone);
        assert!(fate == Fate::Busy || !waits, "{fate:?}, and its caller waits: {}", self.told);
        self.subject.end();
        self.drain();
        assert!(matches!(self.caller, Caller::Gone), "waits for nobody: {}", self.told);
        let _ = write!(self.told, "{fate:?}");
        self.told
    }
}

/// Plays every script of the corpus, with what fuzzers have found. What is told of each stands in one
/// file for all stages; after a change that is meant, `TELL=1` writes it anew.
#[cfg(test)]
pub(super) fn replay<S: Subject>() {
    use std::{env, fs, path::Path};

    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let scripts = fs::read_dir(fuzz.join("corpus/connection")).expect("the corpus");
    let mut scripts: Vec<_> = scripts.map(|file| file.expect("a file").path()).collect();
    scripts.sort();
    let mut told = String::new();
    for path in &scripts {
        let script = fs::read(path).expect("a script");
        let name = path.file_name().expect("a name").display();
        let _ = writeln!(told, "{name}: {:?}", play::<S>(&script));
    }
    println!("{} scripts", scripts.len());
    let file = fuzz.join("corpus/connection.told");
    if env::var_os("TELL").is_some() {
        fs::write(&file, &told).expect("a file");
    }
    let before = fs::read_to_string(&file).expect("what was told before");
    for (now, before) in told.lines().zip(before.lines()) {
        assert_eq!(now, before);
    }
    assert_eq!(told.len(), before.len(), "another number of scripts");
}
