//! A slow reader, or a slow server, stops its own connection and nothing else.

use client_core::{ApiClient, Config};
use http_body_util::BodyExt;

use super::{client, expect, get, send};
use crate::{Server, api::pattern, reply, run::block_on, server::Options};

const BODY: usize = 16 << 20;
const WINDOW: usize = 64 * 1024;

/// Bytes of which each is in its place or is noticed: a write that is taken up again at the wrong
/// offset would go unseen in a body of one letter.
fn big() -> Vec<u8> {
    let mut bytes = Vec::new();
    pattern::extend(&mut bytes, 0, BODY);
    bytes
}

/// Whether these are the bytes of [`big`], from `start` on.
fn are_right(bytes: &[u8], start: usize) -> bool {
    bytes.iter().enumerate().all(|(index, byte)| *byte == pattern::at((start + index) as u64))
}

/// A server whose `/big` is far more than all buffers between it and the reader can hold.
fn server() -> Server {
    let options = Options::new().send_buffer(64 * 1024);
    let big = reply::ok(big());
    let started = options.start(move |conn| {
        while let Some(request) = conn.next_request()? {
            match request.target() {
                "/big" => conn.send(&big)?,
                _ => conn.send(reply::ok("small"))?,
            }
        }
        Ok(())
    });
    started.expect("a server")
}

fn sent(server: &Server) -> usize {
    server.look(|log| log.connections[0].bytes_out)
}

/// Blocks until the server's send has stood still while a hundred other calls were answered.
fn wait_blocked<C: ApiClient>(client: &C, server: &Server) -> usize {
    loop {
        let before = sent(server);
        for _ in 0..100 {
            expect(client, get(&server.url("/small")));
        }
        if before > 0 && sent(server) == before {
            return before;
        }
    }
}

/// The reader stops: the server's send blocks after what the buffers hold. Other calls go on. The
/// reader resumes: all of it comes.
pub fn a_reader_that_stops_blocks_its_own_server_only<C: ApiClient>() {
    let server = server();
    let client = client::<C>(Config::new().body_window(WINDOW));
    let response = block_on(client.request(get(&server.url("/big")))).unwrap();
    let held = wait_blocked(&client, &server);
    assert!(held < BODY / 2, "{held} bytes were taken for a reader that reads nothing");
    let body = block_on(response.into_body().collect()).expect("a whole body").to_bytes();
    assert!(body.len() == BODY && are_right(&body, 0), "the body that came differs");
}

/// A reader that stops again and again gets everything, once.
pub fn a_reader_may_stop_many_times<C: ApiClient>() {
    let server = server();
    let client = client::<C>(Config::new().body_window(WINDOW));
    let mut body = block_on(client.request(get(&server.url("/big")))).unwrap().into_body();
    let mut got = 0;
    let mut next_stop = BODY / 8;
    while let Some(frame) = block_on(body.frame()) {
        let data = frame.expect("a frame").into_data().expect("data");
        assert!(are_right(&data, got), "the body differs after {got} bytes");
        got += data.len();
        if got >= next_stop {
            next_stop += BODY / 4;
            expect(&client, get(&server.url("/small")));
        }
    }
    assert_eq!(got, BODY);
}

/// A server that takes the request slowly gets all of it, and other calls go on meanwhile.
pub fn a_slow_server_gets_the_whole_request<C: ApiClient>() {
    let server = Options::new().receive_buffer(16 * 1024).start(|conn| {
        let request = conn.request_head()?;
        if request.target() == "/big" {
            let first = conn.read_exact(1000)?;
            conn.open("begun");
            conn.wait("go on")?;
            let rest = conn.read_exact(BODY - 1000)?;
            if !are_right(&first, 0) || !are_right(&rest, 1000) {
                return conn.send(reply::ok("the request that arrived differs"));
            }
        }
        conn.send(reply::ok("done"))
    });
    let server = server.expect("a server");
    let client = client::<C>(Config::new());
    let call = {
        let (client, url) = (client.clone(), server.url("/big"));
        std::thread::spawn(move || expect(&client, send("PUT", &url, big())))
    };
    server.wait_open("begun");
    for _ in 0..20 {
        expect(&client, get(&server.url("/small")));
    }
    server.open("go on");
    assert_eq!(&call.join().expect("a whole response").body[..], b"done");
}
