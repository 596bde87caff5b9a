//! A small JSON API: what the examples and the tour talk to.
//!
//! | path | answer |
//! |---|---|
//! | `/quotes/N` | a quotation as JSON; `/quotes/7` is the exchange that the book follows |
//! | `/headers` | the fields of the request, as text |
//! | `/silent` | none, ever |
//! | `/big` | [`BIG_MIB`] MiB |
//! | `/flaky` | 503, but each third time a quotation |
//! | `/compressed` | a quotation in gzip, whoever asks |
//! | `/moved` | a redirect to `/headers` under another name of this server: another origin |
//!
//! A POST gets its own body back. Anything else is a 404 that lists these paths.

use std::{
    io::{self, Write},
    sync::atomic::{AtomicUsize, Ordering},
};

use flate2::{Compression, write::GzEncoder};
use serde_json::json;

use crate::{Connection, Request, Server, reply, server::Options};

/// A path whose request is never answered.
pub const SILENT: &str = "/silent";

/// A path whose response is large.
pub const BIG: &str = "/big";

/// The length of the body of [`BIG`] in MiB.
pub const BIG_MIB: usize = 64;

/// What the quotations say, and who did.
const QUOTES: [(&str, &str); 8] = [
    ("Simplicity is prerequisite for reliability.", "Edsger W. Dijkstra"),
    ("Premature optimization is the root of all evil.", "Donald E. Knuth"),
    (
        "The cheapest, fastest, and most reliable components are those that aren't there.",
        "Gordon Bell",
    ),
    ("Adding manpower to a late software project makes it later.", "Frederick P. Brooks"),
    ("Make it work, make it right, make it fast.", "Kent Beck"),
    (
        "Program testing can be used to show the presence of bugs, but never their absence.",
        "Edsger W. Dijkstra",
    ),
    ("Controlling complexity is the essence of computer programming.", "Brian W. Kernighan"),
    (
        "Be conservative in what you do, be liberal in what you accept from others.",
        "Jon Postel",
    ),
];

/// Starts the API on a port of the loopback that is free.
///
/// # Errors
///
/// The system's, if there is no port or thread.
pub fn start() -> io::Result<Server> {
    start_on(0)
}

/// Starts the API on this port of the loopback.
///
/// # Errors
///
/// The system's, if the port is taken.
pub fn start_on(port: u16) -> io::Result<Server> {
    let flaky = AtomicUsize::new(0);
    Options::new().port(port).start(move |connection| {
        while let Some(request) = connection.next_request()? {
            answer(connection, &request, &flaky)?;
        }
        Ok(())
    })
}

/// One exchange.
fn answer(
    connection: &mut Connection,
    request: &Request,
    flaky: &AtomicUsize,
) -> io::Result<()> {
    let target = request.target();
    let path = target.split('?').next().unwrap_or_default();
    let response = match (request.method(), path) {
        ("POST", _) => {
            let kind = request.header("content-type").unwrap_or("application/octet-stream");
            reply::respond(200, &[("content-type", kind)], &request.body)
        }
        (_, "/headers") => text(200, &fields(request)),
        (_, SILENT) => return connection.wait_closed(),
        ("GET", BIG) => return send_big(connection),
        (_, "/flaky") if flaky.fetch_add(1, Ordering::Relaxed) % 3 < 2 => {
            text(503, "try again\n")
        }
        (_, "/flaky") => quote(7),
        (_, "/compressed") => compressed()?,
        (_, "/moved") => moved(connection)?,
        (_, path) => match path.strip_prefix("/quotes/").and_then(|number| number.parse().ok())
        {
            Some(number) => quote(number),
            None => text(
                404,
                "expected /quotes/N, /headers, /silent, /big, /flaky, /compressed or /moved\n",
            ),
        },
    };
    match request.method() {
        "HEAD" => connection.send(head_of(&response)),
        _ => connection.send(response),
    }
}

/// The quotation of this number. They come round again.
fn quote(number: usize) -> Vec<u8> {
    reply::respond(200, &[("content-type", "application/json")], quote_json(number))
}

fn quote_json(number: usize) -> String {
    let (text, author) = QUOTES[number % QUOTES.len()];
    format!("{}\n", json!({ "id": number, "text": text, "author": author }))
}

fn text(status: u16, body: &str) -> Vec<u8> {
    reply::respond(status, &[("content-type", "text/plain; charset=utf-8")], body)
}

fn fields(request: &Request) -> String {
    request.headers().map(|(name, value)| format!("{name}: {value}\n")).collect()
}

fn compressed() -> io::Result<Vec<u8>> {
    let mut body = GzEncoder::new(Vec::new(), Compression::default());
    body.write_all(quote_json(7).as_bytes())?;
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    Ok(reply::respond(200, &headers, body.finish()?))
}

/// By name if the client came by address, which is another origin for it, and the same server.
fn moved(connection: &Connection) -> io::Result<Vec<u8>> {
    let port = connection.socket()?.local_addr()?.port();
    let location = format!("http://localhost:{port}/headers");
    Ok(reply::respond(302, &[("location", &location)], "moved\n"))
}

fn send_big(connection: &mut Connection) -> io::Result<()> {
    let length = (BIG_MIB << 20).to_string();
    connection.send(reply::head(200, &[("content-length", &length)]))?;
    let piece = vec![b'.'; 1 << 20];
    for _ in 0..BIG_MIB {
        connection.send(&piece)?;
    }
    Ok(())
}

/// The head of a response, as HEAD is answered (RFC 9110 section 9.3.2).
fn head_of(response: &[u8]) -> &[u8] {
    let end = response.windows(4).position(|window| window == b"\r\n\r\n");
    end.map_or(response, |end| &response[..end + 4])
}
