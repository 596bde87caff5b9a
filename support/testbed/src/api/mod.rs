//! A small JSON API, as a server that is ready to use: for examples, tour and benchmarks.
//!
//! | request | response |
//! |---|---|
//! | `GET /quotes/7` | one quotation, 128 bytes of JSON: the exchange that the book follows |
//! | `GET /quotes` | all of them |
//! | `POST /echo` | the request's body |
//! | `GET /bytes/N` | N bytes of a [pattern] that a client can check |
//! | `GET /chunked/N` | the same in chunked coding, with the number of bytes as a trailer |
//! | `GET /slow` | five lines, one each half second |
//! | `GET /silent` | nothing, for as long as the client likes |
//! | `GET /status/CODE` | that status |
//! | `GET /headers` | the fields of the request, as text |
//! | `GET /flaky` | 503 to the first two of three requests, a quotation to the third |
//! | `GET /compressed` | a quotation in gzip, whoever asks |
//! | `GET /moved` | a redirect to `/headers` under another name of this server: another origin |
//! | `GET /close` | a response, and then the connection is closed |
//! | `GET /stats` | what the server has counted |
//!
//! Its rules: a response of known length goes out in one write if it is small; a large one
//! takes no more memory than a piece of it; whatever a client asks for, the connection stays of
//! use to it.

pub mod pattern;
mod quotes;

use std::{
    io::{self, Write},
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};

use crate::{
    reply,
    server::{Connection, Options, Request, Server, ServerTls},
};

/// A path whose response is large.
pub const BIG: &str = "/bytes/104857600";

/// The length of the body of [`BIG`] in MiB.
pub const BIG_MIB: usize = 100;

/// A path whose request is never answered.
pub const SILENT: &str = "/silent";

/// Bytes of a pattern that are made and sent at once.
const PIECE: usize = 64 * 1024;

const JSON: (&str, &str) = ("content-type", "application/json");
const TEXT: (&str, &str) = ("content-type", "text/plain; charset=utf-8");

/// The responses to `GET /quotes/N`, ready to be sent.
static QUOTES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    (0..quotes::ALL.len()).map(|id| reply::respond(200, &[JSON], quotes::json(id))).collect()
});

/// The response to `GET /quotes/N`, for a server that has its own mind about when to send it.
///
/// # Panics
///
/// If there is no such quotation; there is a seventh.
pub fn quote(id: usize) -> &'static [u8] {
    &QUOTES[id]
}

/// Starts the API on a port that the system chooses, of `127.0.0.1`, and of `[::1]` where the machine
/// has it.
///
/// # Errors
///
/// The system's, if it has no port or thread to give.
pub fn start() -> io::Result<Server> {
    start_with(Options::new().port(0))
}

/// Starts the API as `options` say: on a given port, or without keeping what it received.
///
/// # Errors
///
/// The system's, if the port is taken for example.
pub fn start_with(options: Options) -> io::Result<Server> {
    let flaky = AtomicUsize::new(0);
    options.start(move |conn| serve(conn, &flaky))
}

/// Starts the API on this port, likewise, and unrecorded: such a server may run for days. With
/// `tls` it speaks TLS, with a certificate that clients trust who trust
/// [`certs::authority`](crate::certs::authority).
///
/// # Errors
///
/// The system's, if the port is taken.
pub fn start_on(port: u16, tls: bool) -> io::Result<Server> {
    let options = Options::new().port(port).unrecorded();
    start_with(if tls { options.tls(ServerTls::new()) } else { options })
}

/// Requests one after the other, until the client goes.
fn serve(conn: &mut Connection, flaky: &AtomicUsize) -> io::Result<()> {
    while let Some(request) = conn.next_request()? {
        answer(conn, &request, flaky)?;
        let asked = request.header("connection");
        if asked.is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            return close(conn);
        }
    }
    Ok(())
}

/// One exchange: those whose responses take more than a moment to send, then the others.
fn answer(conn: &mut Connection, request: &Request, flaky: &AtomicUsize) -> io::Result<()> {
    let path = request.target().split('?').next().unwrap_or_default();
    match (request.method(), split(path)) {
        ("GET", ("/bytes/", Some(length))) => bytes(conn, length),
        ("GET", ("/chunked/", Some(length))) => chunked(conn, length),
        ("GET", ("/slow", _)) => slow(conn),
        (_, (SILENT, _)) => conn.wait_closed(),
        ("GET", ("/close", _)) => {
            conn.send(reply::respond(200, &[TEXT, ("connection", "close")], "bye\n"))?;
            close(conn)
        }
        // The response that benchmarks ask for: no copy, no formatting.
        ("GET", ("/quotes/", Some(id))) if (id as usize) < QUOTES.len() => {
            conn.send(&QUOTES[id as usize])
        }
        ("HEAD", _) => {
            let response = short(conn, request, path, flaky)?;
            conn.send(head_of(&response))
        }
        _ => {
            let response = short(conn, request, path, flaky)?;
            conn.send(response)
        }
    }
}

/// A path with its number, if it ends in one.
fn split(path: &str) -> (&str, Option<u64>) {
    let digits = path.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    (&path[..digits], path[digits..].parse().ok())
}

/// A response that is made as a whole.
fn short(
    conn: &Connection,
    request: &Request,
    path: &str,
    flaky: &AtomicUsize,
) -> io::Result<Vec<u8>> {
    Ok(match (request.method(), split(path)) {
        ("POST" | "PUT", ("/echo", _)) => {
            let kind = request.header("content-type").unwrap_or("application/octet-stream");
            reply::respond(200, &[("content-type", kind)], &request.body)
        }
        (_, ("/echo", _)) => reply::respond(405, &[("allow", "POST, PUT")], ""),
        (_, ("/quotes/", Some(id))) => match QUOTES.get(id as usize) {
            Some(response) => response.clone(),
            None => not_found(path),
        },
        (_, ("/quotes", None)) => reply::respond(200, &[JSON], quotes::list()),
        (_, ("/status/", Some(code @ 200..=599))) => status(code as u16),
        (_, ("/headers", None)) => reply::respond(200, &[TEXT], fields(request)),
        (_, ("/flaky", None)) => match flaky.fetch_add(1, Ordering::Relaxed) % 3 {
            0 | 1 => reply::respond(503, &[TEXT], "try again\n"),
            _ => QUOTES[7].clone(),
        },
        (_, ("/compressed", None)) => compressed()?,
        (_, ("/moved", None)) => moved(conn)?,
        (_, ("/stats", None)) => reply::respond(200, &[JSON], stats(conn)),
        (_, ("/", None)) => reply::respond(200, &[TEXT], "try /quotes/7\n"),
        _ => not_found(path),
    })
}

/// The head of a response, as HEAD is answered (RFC 9110 section 9.3.2).
fn head_of(response: &[u8]) -> &[u8] {
    let end = response.windows(4).position(|window| window == b"\r\n\r\n");
    end.map_or(response, |end| &response[..end + 4])
}

fn fields(request: &Request) -> String {
    request.headers().map(|(name, value)| format!("{name}: {value}\n")).collect()
}

fn compressed() -> io::Result<Vec<u8>> {
    let mut body = GzEncoder::new(Vec::new(), Compression::default());
    body.write_all(quotes::json(7).as_bytes())?;
    Ok(reply::respond(200, &[JSON, ("content-encoding", "gzip")], body.finish()?))
}

/// By name, which is another origin for a client that came by address, and the same server.
fn moved(conn: &Connection) -> io::Result<Vec<u8>> {
    let port = conn.socket()?.local_addr()?.port();
    let location = format!("{}://localhost:{port}/headers", conn.scheme());
    Ok(reply::respond(302, &[TEXT, ("location", &location)], "moved\n"))
}

fn not_found(path: &str) -> Vec<u8> {
    let message = serde_json::json!({ "error": format!("nothing at {path}; try /quotes/7") });
    reply::respond(404, &[JSON], message.to_string())
}

/// A response of this status: with a body, unless the status forbids one (RFC 9110 section 6.4.1).
fn status(code: u16) -> Vec<u8> {
    match code {
        204 | 304 => reply::head(code, &[]),
        _ => reply::respond(code, &[TEXT], format!("{code}\n")),
    }
}

fn bytes(conn: &mut Connection, length: u64) -> io::Result<()> {
    let length_text = length.to_string();
    let fields = [
        ("content-type", "application/octet-stream"),
        ("content-length", length_text.as_str()),
    ];
    let mut out = reply::head(200, &fields);
    for (start, size) in pieces(length) {
        pattern::extend(&mut out, start, size);
        conn.send(&out)?;
        out.clear();
    }
    conn.send(out)
}

fn chunked(conn: &mut Connection, length: u64) -> io::Result<()> {
    let fields = [("transfer-encoding", "chunked"), ("trailer", "x-length")];
    let mut out = reply::head(200, &fields);
    for (start, size) in pieces(length) {
        out.extend_from_slice(format!("{size:x}\r\n").as_bytes());
        pattern::extend(&mut out, start, size);
        out.extend_from_slice(b"\r\n");
        conn.send(&out)?;
        out.clear();
    }
    out.extend_from_slice(format!("0\r\nx-length: {length}\r\n\r\n").as_bytes());
    conn.send(out)
}

/// The pieces of a body of this length: where each starts, and how long it is.
fn pieces(length: u64) -> impl Iterator<Item = (u64, usize)> {
    let starts = (0..length).step_by(PIECE);
    starts.map(move |start| (start, (length - start).min(PIECE as u64) as usize))
}

/// For demonstrations of streaming; no test uses it.
fn slow(conn: &mut Connection) -> io::Result<()> {
    conn.send(reply::head(200, &[TEXT, ("transfer-encoding", "chunked")]))?;
    for line in 1..=5 {
        conn.send(reply::chunk(format!("line {line}\n")))?;
        thread::sleep(Duration::from_millis(500));
    }
    conn.send("0\r\n\r\n")
}

/// Closes without the reset that would overtake the response if a byte were unread.
fn close(conn: &mut Connection) -> io::Result<()> {
    conn.half_close()?;
    conn.wait_closed()
}

fn stats(conn: &Connection) -> String {
    conn.look(|log| {
        format!(
            "{{\"accepted\":{},\"open\":{},\"most_open\":{},\"requests\":{}}}",
            log.accepted, log.open, log.most_open, log.received
        )
    })
}
