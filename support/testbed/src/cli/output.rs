//! What `fetch` prints.

use std::{
    error::Error as StdError,
    fs::File,
    io::{self, Write},
    path::Path,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use client_core::{Error, Exchange, Upload};
use http::{HeaderMap, response::Parts};
use serde::Serialize;

use super::patient::{Patient, message};

/// Bytes that are gathered for one write.
const BUFFER: usize = 64 * 1024;

/// Where bodies, and lines of JSON, go.
pub(super) struct Output {
    bodies: io::BufWriter<Box<dyn Write>>,
    /// Lines of JSON are asked for. They go to standard output even if bodies do not.
    json: bool,
    /// Bodies go to a file.
    file: bool,
    /// The heads are asked for.
    head: bool,
}

/// A response, as far as it has come.
pub(super) struct Answer {
    head: Parts,
    pub(super) trailers: HeaderMap,
    /// The body is written as it comes; otherwise it is held until it is whole.
    streams: bool,
    held: Vec<u8>,
}

/// The line of a response that came whole.
#[derive(Serialize)]
struct Whole<'a> {
    url: &'a str,
    status: u16,
    version: String,
    headers: Vec<[String; 2]>,
    trailers: Vec<[String; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
    reused: bool,
    connection: u64,
    attempts: u32,
    /// The request was sent whole.
    sent: bool,
    elapsed_ms: f64,
}

/// The line of a call that failed.
#[derive(Serialize)]
struct Failed<'a> {
    url: &'a str,
    error: Why,
}

#[derive(Serialize)]
struct Why {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<&'static str>,
    message: String,
}

impl Answer {
    pub(super) fn new(head: Parts, streams: bool) -> Self {
        Answer { head, trailers: HeaderMap::new(), streams, held: Vec::new() }
    }
}

impl Output {
    pub(super) fn open(file: Option<&Path>, json: bool, head: bool) -> Result<Self, String> {
        let bodies: Box<dyn Write> = match file {
            None => Box::new(Patient(io::stdout())),
            Some(path) => Box::new(File::create(path).map_err(|error| {
                format!(
                    "expected a file that can be written after -o: {}: {error}",
                    path.display()
                )
            })?),
        };
        let bodies = io::BufWriter::with_capacity(BUFFER, bodies);
        Ok(Output { bodies, json, file: file.is_some(), head })
    }

    pub(super) fn head(&mut self, answer: &mut Answer) -> io::Result<()> {
        // A line of JSON needs the whole body, unless that goes elsewhere.
        answer.streams &= self.file || !self.json;
        if !self.head || self.json {
            return Ok(());
        }
        let status = answer.head.status;
        let reason = status.canonical_reason().unwrap_or("");
        let mut text =
            format!("{:?} {} {reason}\r\n", answer.head.version, status.as_u16()).into_bytes();
        for (name, value) in &answer.head.headers {
            text.extend_from_slice(name.as_str().as_bytes());
            text.extend_from_slice(b": ");
            text.extend_from_slice(value.as_bytes());
            text.extend_from_slice(b"\r\n");
        }
        text.extend_from_slice(b"\r\n");
        self.data(answer, text.into())
    }

    pub(super) fn data(&mut self, answer: &mut Answer, data: Bytes) -> io::Result<()> {
        match answer.streams {
            true => self.bodies.write_all(&data),
            false => answer.held.write_all(&data),
        }
    }

    /// Writes what is still held of a response that has come whole. One that came before the
    /// request was sent is no failure, but the request may have been taken for less than it is.
    pub(super) fn whole(
        &mut self,
        url: &str,
        answer: Answer,
        exchange: Exchange,
        elapsed: Duration,
    ) -> io::Result<()> {
        if !self.json || self.file {
            self.bodies.write_all(&answer.held)?;
            self.bodies.flush()?;
        }
        let sent = exchange.upload == Upload::Whole;
        if !sent {
            message(format_args!(
                "{url}: answered before the whole request was sent; the rest was not"
            ));
        }
        if !self.json {
            return Ok(());
        }
        print_line(&Whole {
            url,
            status: answer.head.status.as_u16(),
            version: format!("{:?}", answer.head.version),
            headers: fields(&answer.head.headers),
            trailers: fields(&answer.trailers),
            body_base64: (!self.file).then(|| STANDARD.encode(&answer.held)),
            reused: exchange.reused,
            connection: exchange.connection,
            attempts: exchange.attempts,
            sent,
            elapsed_ms: millis(elapsed),
        })
    }

    /// Says why a response did not come whole. What came of a body that streams is printed.
    pub(super) fn failed(&mut self, url: &str, error: &Error) -> io::Result<()> {
        self.bodies.flush()?;
        message(format_args!("{url}: {}", describe(error)));
        if !self.json {
            return Ok(());
        }
        let kind = error.kind().as_str();
        let phase = error.timeout_phase().map(|phase| phase.as_str());
        print_line(&Failed { url, error: Why { kind, phase, message: describe(error) } })
    }
}

/// An error with its causes, in one line.
pub fn describe(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // A message that quotes its cause has said it already.
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Prints each step of the I/O model on standard error.
pub(super) fn trace_to_stderr() {
    use tracing_subscriber::{Layer, filter::Targets, fmt, prelude::*};
    let steps = Targets::new().with_target("io_model", tracing::Level::TRACE);
    let stderr = || Patient(io::stderr().lock());
    let lines = fmt::layer().with_writer(stderr).with_ansi(false).with_filter(steps);
    // Only a second subscriber in one process is refused, and there is none here.
    let _ = tracing_subscriber::registry().with(lines).try_init();
}

fn print_line(line: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    let mut stdout = Patient(io::stdout().lock());
    stdout.write_all(&text)?;
    stdout.flush()
}

/// Fields in the order in which they came, as far as the map keeps it. A value that is no UTF-8 is
/// shown with replacement characters.
fn fields(headers: &HeaderMap) -> Vec<[String; 2]> {
    let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        [name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()]
    };
    headers.iter().map(field).collect()
}

/// Milliseconds to a thousandth: more digits say nothing.
fn millis(elapsed: Duration) -> f64 {
    (elapsed.as_secs_f64() * 1e6).round() / 1e3
}
