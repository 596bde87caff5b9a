//! What the examples other than `fetch` share: a server to talk to, and lines to print.
//!
//! Its rules: a base URL on the command line is used instead of a server of our own, and may be
//! any server that answers these paths, such as `cargo run --release -- serve`; output that
//! nobody reads any more is no reason to panic.

use std::{
    env,
    error::Error as StdError,
    fmt,
    io::{self, Write},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use client_core::{Name, Resolver, Resolving};
use http_body_util::Full;

use crate::{
    BOUND, Gate, Server, api,
    cli::{self, Progress},
};

/// A request, as the clients take it.
pub type Request = http::Request<Full<Bytes>>;

/// Whatever ends an example: an error of the client, or of what is wrapped around it.
pub type Failure = Box<dyn StdError + Send + Sync>;

/// A path whose response is large: see [`BIG_MIB`].
pub const BIG: &str = api::BIG;

/// The length of the body of [`BIG`] in MiB.
pub const BIG_MIB: usize = api::BIG_MIB;

/// A path whose request is never answered.
pub const SILENT: &str = api::SILENT;

/// Ample for a request to arrive anywhere.
const MOMENT: Duration = Duration::from_millis(500);

/// Prints a line on standard output, as `println!` does, without its panic on a closed pipe.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => { $crate::lesson::line(::std::format_args!($($text)*)) };
}

/// What an example runs against.
#[derive(Debug)]
pub struct Lesson {
    program: &'static str,
    base: String,
    /// Our own server, unless the command line names another.
    server: Option<Server>,
}

/// Reads the command line, starts the server if it names none, and runs `work`. The exit status is
/// 0 if that succeeds, 1 if not, 2 for a wrong command line.
pub fn main(
    program: &'static str,
    work: impl FnOnce(&Lesson) -> Result<(), Failure>,
) -> ExitCode {
    let lesson = match Lesson::from_command_line(program) {
        Ok(Some(lesson)) => lesson,
        Ok(None) => return ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{program}: {message}");
            return ExitCode::from(2);
        }
    };
    match work(&lesson) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{program}: {}", cli::describe(&*failure));
            ExitCode::FAILURE
        }
    }
}

impl Lesson {
    fn from_command_line(program: &'static str) -> Result<Option<Self>, String> {
        let mut words = env::args().skip(1);
        let (word, more) = (words.next(), words.next());
        if let Some(word) = more {
            return Err(format!("expected at most one URL, found also {word:?}"));
        }
        match word.as_deref() {
            Some("--help" | "-h") => {
                line(format_args!(
                    "Usage: {program} [URL]\n\nURL is a server such as http://localhost:8080, \
                     which `cargo run --release -- serve` starts.\nWithout one, the program \
                     starts its own."
                ));
                Ok(None)
            }
            Some(base) => {
                let base = base.trim_end_matches('/');
                let known = base.parse::<http::Uri>().ok().filter(|uri| uri.scheme().is_some());
                known.ok_or_else(|| {
                    format!("expected a URL such as http://localhost:8080, found {base:?}")
                })?;
                Ok(Some(Lesson { program, base: base.to_owned(), server: None }))
            }
            None => {
                let server = api::start().map_err(|error| {
                    format!("expected to be able to listen on the loopback: {error}")
                })?;
                let base = server.url("").trim_end_matches('/').to_owned();
                Ok(Some(Lesson { program, base, server: Some(server) }))
            }
        }
    }

    /// A GET of this path of the server.
    ///
    /// # Panics
    ///
    /// If the path is none.
    pub fn get(&self, path: &str) -> Request {
        let url = format!("{}{path}", self.base);
        http::Request::get(url).body(Full::default()).expect("a path such as /quotes/7")
    }

    /// The same by name, so that a resolver is asked; a server from the command line is asked for
    /// as it is called there.
    ///
    /// # Panics
    ///
    /// If the path is none.
    pub fn get_by_name(&self, path: &str) -> Request {
        let mut request = self.get(path);
        if let Some(server) = &self.server {
            let url = server.url_as("localhost", path);
            *request.uri_mut() = url.parse().expect("a path such as /quotes/7");
        }
        request
    }

    /// Says how far the program has come, once a second.
    pub fn progress(&self, what: &'static str, all: usize) -> Progress {
        Progress::start(self.program, what, all)
    }

    /// Waits until the server has received a request for this path. One that is not our own cannot
    /// be asked, and is given a moment instead.
    ///
    /// # Errors
    ///
    /// As [`until`].
    pub fn until_received(&self, path: &str) -> Result<(), Failure> {
        let Some(server) = &self.server else {
            thread::sleep(MOMENT);
            return Ok(());
        };
        until("the request", || {
            server.look(|log| log.requests.iter().any(|request| request.target() == path))
        })
    }

    /// How far the server has come with sending [`BIG`].
    pub fn sent(&self) -> Sent {
        let Some(server) = &self.server else { return Sent(None) };
        let log = server.log();
        let request = log.requests.iter().find(|request| request.target() == BIG);
        Sent(request.map(|request| log.connections[request.connection].bytes_out))
    }
}

/// What a server has sent of a response, as text for a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent(Option<usize>);

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(bytes) => write!(f, "the server has got rid of {} KiB", bytes / 1024),
            None => f.write_str("how far the server has come only it can tell"),
        }
    }
}

/// The system's resolver behind a gate: no name is looked up before it is open.
#[derive(Clone, Debug, Default)]
pub struct Gated(pub Gate);

impl Resolver for Gated {
    fn resolve(&self, name: Name) -> Resolving {
        let gate = self.0.clone();
        Box::pin(async {
            gate.await;
            cli::pins::ask_the_system(name).await
        })
    }
}

/// Blocks this thread until `seen`.
///
/// # Errors
///
/// If that does not come within [`BOUND`]: a message that says what was waited for.
pub fn until(what: &str, seen: impl Fn() -> bool) -> Result<(), Failure> {
    let started = Instant::now();
    while !seen() {
        if started.elapsed() > BOUND {
            return Err(format!("waited for {what} for {BOUND:?}, and it did not come").into());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

#[doc(hidden)]
pub fn line(text: fmt::Arguments<'_>) {
    // Whoever closed the pipe has read enough; the lesson ends by itself.
    let _ = writeln!(io::stdout(), "{text}");
}
