//! What is recorded: short exchanges of one client with a server, and a resolver, that answer only
//! when they are told.
//!
//! Its rules: a part begins when all that came before is done, so that the parts of a recording are
//! causes and no moments; the scripts are the same for all stages.

use std::{error::Error, io, pin::pin};

use bytes::Bytes;
use client_core::{ApiClient, Config};
use futures::{
    executor::block_on,
    future::{Future, poll_immediate},
};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use testbed::{
    Server, api, certs, reply,
    run::{eventually, thread_count},
    server::{Connection, Options, ServerTls},
};

use super::{
    names::{Answers, names},
    rest::until_all_rest,
    tape::Tape,
};

type Done = Result<(), Box<dyn Error>>;

/// What comes after this part is no longer the recording's matter.
pub(super) const END: &str = "The client is closed";

/// An exchange that is worth looking at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Script {
    /// Two callers and one connection.
    Exchange,
    /// A body in pieces.
    Chunked,
    /// A connection that is closed while it carries its second request.
    Stale,
    /// A reader that stops, and goes on.
    Window,
    /// The same request twice, over TLS, on two connections.
    Tls,
}

/// The window of all clients but for [`Script::Window`], in bytes: larger than what they are sent.
const WIDE: usize = 64 * 1024;

/// The window there: half of the first piece.
const NARROW: usize = 1024;

/// Those who act in a script, besides the callers.
struct Scene<'a, C> {
    client: &'a C,
    server: &'a Server,
    names: &'a Answers,
    tape: &'a Tape,
}

impl Script {
    pub(super) const ALL: [Script; 5] =
        [Script::Exchange, Script::Chunked, Script::Stale, Script::Window, Script::Tls];

    /// Its name, in the book and in the name of its file.
    pub(super) fn name(self) -> &'static str {
        match self {
            Script::Exchange => "exchange",
            Script::Chunked => "chunked",
            Script::Stale => "stale",
            Script::Window => "window",
            Script::Tls => "tls",
        }
    }

    /// Whether everything in it has one cause. In TLS the server speaks of its own accord: whether
    /// its tickets come in one piece, or before the client looks, is another thing in each run.
    pub(super) fn is_settled(self) -> bool {
        self != Script::Tls
    }

    /// What happens in it, for the head of a picture.
    pub(super) fn about(self) -> &'static str {
        match self {
            Script::Exchange => {
                "GET /quotes/7 over a pool of one connection, with a second caller waiting"
            }
            Script::Chunked => "a body in chunked coding that comes one piece at a time",
            Script::Stale => {
                "a second request, on a connection that the server closes instead of answering"
            }
            Script::Window => "a body of which more has come than its reader's window holds",
            Script::Tls => "GET /quotes/7 over TLS, and again on a connection that resumes it",
        }
    }

    /// Plays it with this client, until the client's last thread has ended.
    pub(super) fn play<C: ApiClient>(self, tape: &Tape) -> Done {
        let threads = thread_count();
        let server = self.server()?;
        let (resolver, names) = names();
        let window = if self == Script::Window { NARROW } else { WIDE };
        let config = Config::new().max_per_origin(1).body_window(window);
        let config = config.tls(certs::trusting()).resolver(resolver);
        part(tape, "The client is made");
        let client = C::new(config)?;
        let scene = Scene { client: &client, server: &server, names: &names, tape };
        match self {
            Script::Exchange => scene.exchange(),
            Script::Chunked => scene.chunked(),
            Script::Stale => scene.stale(),
            Script::Window => scene.window(),
            Script::Tls => scene.tls(),
        }?;
        part(tape, END);
        block_on(client.close());
        drop((client, server));
        // Where threads cannot be counted, what comes late is told apart by its crate.
        eventually("the end of the client's threads", || thread_count() <= threads);
        Ok(())
    }

    fn server(self) -> io::Result<Server> {
        let options = Options::new();
        match self {
            Script::Exchange => serve(options, |conn, _| conn.send(api::quote(7))),
            Script::Chunked => serve(options, |conn, _| in_pieces(conn)),
            Script::Stale => serve(options, |conn, number| match number {
                2 => conn.half_close(),
                _ => conn.send(api::quote(7)),
            }),
            Script::Window => serve(options, |conn, _| too_much(conn)),
            Script::Tls => serve(options.tls(ServerTls::new()), |conn, _| {
                conn.send(reply::respond(200, &[("connection", "close")], "bye\n"))
            }),
        }
    }
}

fn part(tape: &Tape, title: &'static str) {
    until_all_rest();
    tape.part(title);
}

/// A server that gives the n-th answer once the step `answer n` is open.
fn serve(
    options: Options,
    answer: fn(&mut Connection, usize) -> io::Result<()>,
) -> io::Result<Server> {
    options.start(move |conn| {
        while conn.next_request()?.is_some() {
            let number = conn.look(|log| log.requests.len());
            conn.wait(&step(number))?;
            answer(conn, number)?;
        }
        Ok(())
    })
}

fn in_pieces(conn: &mut Connection) -> io::Result<()> {
    conn.send(reply::head(200, &[("transfer-encoding", "chunked")]))?;
    for (step, text) in [("first", "one"), ("second", "two")] {
        conn.wait(step)?;
        conn.send(reply::chunk(text))?;
    }
    conn.wait("end")?;
    conn.send("0\r\n\r\n")
}

fn too_much(conn: &mut Connection) -> io::Result<()> {
    let length = (3 * NARROW).to_string();
    let mut first = reply::head(200, &[("content-length", &length)]);
    first.extend_from_slice(&[b'x'; 2 * NARROW]);
    conn.send(first)?;
    for step in ["more", "end"] {
        conn.wait(step)?;
        conn.send([b'x'; NARROW / 2])?;
        conn.open("sent");
    }
    Ok(())
}

fn step(number: usize) -> String {
    format!("answer {number}")
}

/// Polls a call once; what it waits for cannot be there yet.
fn ask<T>(call: impl Future<Output = T>) -> Done {
    match block_on(poll_immediate(call)) {
        None => Ok(()),
        Some(_) => Err("expected the server not to answer yet".into()),
    }
}

/// Waits for a response with its body.
fn whole<B, E>(call: impl Future<Output = Result<Response<B>, E>>) -> Done
where
    B: BodyExt<Error = E>,
    E: Error + 'static,
{
    let body = async { call.await?.into_body().collect().await };
    Ok(block_on(body).map(drop)?)
}

impl<C: ApiClient> Scene<'_, C> {
    fn part(&self, title: &'static str) {
        part(self.tape, title);
    }

    /// A call by name, so that a resolver is asked.
    fn call(&self) -> Result<C::Future, http::Error> {
        let url = self.server.url_as("localhost", "/quotes/7");
        let request: Request<Full<Bytes>> = Request::get(url).body(Full::default())?;
        Ok(self.client.request(request))
    }

    /// The name's address comes, and with it all that follows until the n-th request has arrived.
    fn connect(&self, number: usize) -> Done {
        self.part("The name's address comes");
        self.names.answer()?;
        self.arrived(number)
    }

    /// The n-th request has been written, and read.
    fn arrived(&self, number: usize) -> Done {
        self.tape.wait_for("write", number)?;
        self.server.wait_requests(number);
        Ok(())
    }

    fn exchange(&self) -> Done {
        let (mut first, mut second) = (pin!(self.call()?), pin!(self.call()?));
        self.part("The first caller asks");
        ask(&mut first)?;
        self.connect(1)?;

        self.part("A second caller asks");
        ask(&mut second)?;
        self.tape.wait_for("wait", 2)?;

        self.part("The server answers the first caller");
        self.server.open(&step(1));
        whole(first)?;
        self.arrived(2)?;

        self.part("The server answers the second caller");
        self.server.open(&step(2));
        whole(second)?;
        self.tape.wait_for("checkin", 1)
    }

    fn chunked(&self) -> Done {
        let mut call = pin!(self.call()?);
        self.part("The caller asks");
        ask(&mut call)?;
        self.connect(1)?;

        self.part("The server sends the head");
        self.server.open(&step(1));
        let mut body = block_on(call)?.into_body();
        for (title, step) in [
            ("The server sends the first piece", "first"),
            ("The server sends the second piece", "second"),
            ("The server ends the body", "end"),
        ] {
            // The caller waits for it already, and has to be woken.
            ask(body.frame())?;
            self.part(title);
            self.server.open(step);
            block_on(body.frame()).transpose()?;
        }
        self.tape.wait_for("checkin", 1)
    }

    fn window(&self) -> Done {
        let mut call = pin!(self.call()?);
        self.part("The caller asks");
        ask(&mut call)?;
        self.connect(1)?;

        self.part("The server sends more than the window");
        self.server.open(&step(1));
        let mut body = block_on(call)?.into_body();

        self.part("The server sends on");
        self.server.open("more");
        self.server.wait_open("sent");

        self.part("The caller reads");
        let mut taken = 0;
        while taken < 2 * NARROW {
            let frame = block_on(body.frame()).ok_or("expected more of the body")??;
            taken += frame.data_ref().map_or(0, Bytes::len);
        }
        self.tape.wait_for("read", 2)?;

        self.part("The server ends the body");
        self.server.open("end");
        block_on(body.collect())?;
        self.tape.wait_for("checkin", 1)
    }

    fn stale(&self) -> Done {
        let (mut first, mut second) = (pin!(self.call()?), pin!(self.call()?));
        self.part("The first caller asks");
        ask(&mut first)?;
        self.connect(1)?;

        self.part("The server answers");
        self.server.open(&step(1));
        whole(first)?;
        self.tape.wait_for("checkin", 1)?;

        self.part("The second caller asks");
        ask(&mut second)?;
        self.arrived(2)?;

        self.part("The server closes the connection without an answer");
        self.server.open(&step(2));
        self.tape.wait_for("resolve", 2)?;
        self.connect(3)?;

        self.part("The server answers on the new connection");
        self.server.open(&step(3));
        whole(second)?;
        self.tape.wait_for("checkin", 2)
    }

    fn tls(&self) -> Done {
        for number in 1..=2 {
            let mut call = pin!(self.call()?);
            self.part(["The first caller asks", "The second caller asks"][number - 1]);
            ask(&mut call)?;
            self.connect(number)?;

            self.part("The server answers, and wants the connection closed");
            self.server.open(&step(number));
            whole(call)?;
            self.tape.wait_for("close", number)?;
        }
        Ok(())
    }
}
