//! What the `fetch` programs share: command line, output, progress. The HTTP is in the examples.
//!
//! Its rules:
//! - a wrong command line says what was expected, and exits with 2 before anything is sent; a request
//!   that no client would send is one;
//! - bodies go to standard output, or `-o FILE`, everything else to standard error;
//! - with one call at a time a body is written as it comes; several at a time are each held until
//!   they are whole, so that they do not mix;
//! - if the output cannot be written any more (a closed pipe), no further call is made; output that
//!   cannot be written now (a full pipe that does not block) is waited for.

mod args;
mod output;
mod patient;
pub(crate) mod pins;
mod progress;

use std::{
    cell::{Cell, RefCell},
    fmt, io,
    process::ExitCode,
    time::{Duration, Instant},
};

use bytes::Bytes;
use client_core::{Config, Error, Exchange};
use http::{HeaderMap, Request};
use http_body::Frame;
use http_body_util::Full;

pub use output::describe;
pub use progress::Progress;

use args::{Args, Parsed};
use output::{Answer, Output};
use patient::{Patient, message};

/// One run of a `fetch` program.
pub struct Fetch {
    /// How many calls may be under way at once.
    pub concurrency: usize,
    args: Args,
    output: RefCell<Output>,
    progress: Progress,
    failed: Cell<bool>,
    /// The output cannot be written any more.
    broken: Cell<bool>,
}

/// One of its calls.
pub struct Call<'f> {
    fetch: &'f Fetch,
    url: usize,
    started: Instant,
    answer: Option<Answer>,
}

/// Why a call did not come to its end.
#[derive(Debug)]
pub enum Failure {
    /// The client said so.
    Client(Error),
    /// What it got could not be written.
    Output(io::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Client(error)
    }
}

/// Reads the command line, opens the output and runs `work`. The exit status is 0 if every
/// response came whole, 1 if one failed, 2 for a wrong command line.
pub fn main(program: &'static str, work: impl FnOnce(&Fetch) -> Result<(), Error>) -> ExitCode {
    let fetch = match Fetch::from_command_line(program) {
        Ok(Some(fetch)) => fetch,
        Ok(None) => return ExitCode::SUCCESS,
        Err(wrong) => {
            message(format_args!("{program}: {wrong}\n{program}: --help lists what it takes"));
            return ExitCode::from(2);
        }
    };
    if let Err(error) = work(&fetch) {
        message(format_args!("{program}: {}", describe(&error)));
        return ExitCode::from(2);
    }
    ExitCode::from(u8::from(fetch.failed.get()))
}

impl Fetch {
    /// `None` if the command line asked for help, which is printed.
    fn from_command_line(program: &'static str) -> Result<Option<Self>, String> {
        let args = match args::parse(std::env::args_os().skip(1))? {
            Parsed::Run(args) => *args,
            Parsed::Help => {
                let mut help = Patient(io::stdout().lock());
                // Whoever closed the pipe does not want the rest.
                let _ = io::Write::write_all(&mut help, args::help(program).as_bytes());
                return Ok(None);
            }
        };
        if args.trace {
            output::trace_to_stderr();
        }
        Ok(Some(Fetch {
            concurrency: args.concurrency,
            output: RefCell::new(Output::open(args.output.as_deref(), args.json, args.head)?),
            progress: Progress::start(program, "calls", args.urls.len() * args.repeat),
            failed: Cell::new(false),
            broken: Cell::new(false),
            args,
        }))
    }

    /// The settings that the command line gives the client.
    pub fn config(&self) -> Config {
        self.args.config.clone()
    }

    /// The calls to be made, in the order of the command line.
    pub fn calls(&self) -> impl Iterator<Item = Call<'_>> {
        let urls =
            (0..self.args.urls.len()).flat_map(|url| (0..self.args.repeat).map(move |_| url));
        let open = urls.take_while(|_| !self.broken.get());
        open.map(|url| Call { fetch: self, url, started: Instant::now(), answer: None })
    }
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetch").field("args", &self.args).finish_non_exhaustive()
    }
}

impl Call<'_> {
    /// What is to be sent. The call's clock starts here.
    pub fn request(&mut self) -> Request<Full<Bytes>> {
        let args = &self.fetch.args;
        self.started = Instant::now();
        args.request(&args.urls[self.url].1)
    }

    /// Takes the head of the response.
    ///
    /// # Errors
    ///
    /// [`Failure::Output`] if it cannot be written.
    pub fn head(&mut self, head: http::response::Parts) -> Result<(), Failure> {
        let streams = self.fetch.concurrency == 1;
        let answer = self.answer.insert(Answer::new(head, streams));
        self.fetch.output.borrow_mut().head(answer).map_err(Failure::Output)
    }

    /// Takes one more piece of the body, or its trailers.
    ///
    /// # Errors
    ///
    /// [`Failure::Output`] if it cannot be written.
    pub fn frame(&mut self, frame: Frame<Bytes>) -> Result<(), Failure> {
        let Some(answer) = &mut self.answer else { return Ok(()) };
        match frame.into_data() {
            Ok(data) => {
                self.fetch.output.borrow_mut().data(answer, data).map_err(Failure::Output)
            }
            Err(frame) => {
                answer.trailers = frame.into_trailers().unwrap_or_else(|_| HeaderMap::new());
                Ok(())
            }
        }
    }

    /// Ends the call: writes what is to be written of it, or why it failed.
    ///
    /// `outcome` is what carried the response, as its body says at its end: only then is it known
    /// whether the request was sent whole.
    pub fn end(mut self, outcome: Result<Exchange, Failure>) {
        let elapsed = self.started.elapsed();
        let written = match outcome {
            Ok(exchange) => self.whole(exchange, elapsed),
            Err(Failure::Client(error)) => self.failed(&error),
            Err(Failure::Output(error)) => Err(error),
        };
        if let Err(error) = written {
            self.fetch.failed.set(true);
            if !self.fetch.broken.replace(true) {
                message(format_args!("could not write the output: {error}"));
            }
        }
        self.fetch.progress.one_done();
    }

    fn whole(&mut self, exchange: Exchange, elapsed: Duration) -> io::Result<()> {
        let Some(answer) = self.answer.take() else { return Ok(()) };
        self.fetch.output.borrow_mut().whole(self.url(), answer, exchange, elapsed)
    }

    fn failed(&self, error: &Error) -> io::Result<()> {
        self.fetch.failed.set(true);
        self.fetch.output.borrow_mut().failed(self.url(), error)
    }

    /// The URL as it stands on the command line.
    fn url(&self) -> &str {
        &self.fetch.args.urls[self.url].0
    }
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("url", &self.url()).finish_non_exhaustive()
    }
}
