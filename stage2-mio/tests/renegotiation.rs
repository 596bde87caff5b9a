//! A second handshake in the middle of a response: a read that waits to write, and then a write
//! that waits for a read.
//!
//! Only OpenSSL does that, and only with TLS 1.2. The server is `openssl s_server`, which begins
//! one when it is told `R`.

#![cfg(unix)]

mod gated;

use std::{
    fmt, fs,
    io::{Read, Write},
    net::TcpListener,
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio, id},
    sync::{Arc, Mutex},
    thread,
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use stage2_mio::{Client, Config, Error, OpenSsl, Parts, ResponseFuture, Roots, Tls};
use testbed::run::{block_on, bounded, eventually};

use gated::{Gate, Gated};
use tracing::field::{Field, Visit};
use tracing_subscriber::{
    layer::{Context, SubscriberExt},
    util::SubscriberInitExt,
};

const HEAD: &[u8] = b"HTTP/1.1 200 OK\ncontent-length: 20\n\n";
const HALF: &[u8] = b"123456789\n";
/// A request so large that it is still being written when its response comes.
const UPLOAD: usize = 400_000;

/// `openssl s_server`, which sends what it is told and keeps what it hears.
struct Server {
    process: Child,
    input: ChildStdin,
    heard: Arc<Mutex<Vec<u8>>>,
    port: u16,
    roots: Roots,
    files: PathBuf,
}

impl Server {
    fn start(name: &str) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".into()]).unwrap();
        let files = std::env::temp_dir().join(format!("stage2-{name}-{}.pem", id()));
        fs::write(&files, cert.pem() + &signing_key.serialize_pem()).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut process = Command::new("openssl")
            .args(["s_server", "-tls1_2", "-accept", &format!("127.0.0.1:{port}"), "-cert"])
            .arg(&files)
            .arg("-key")
            .arg(&files)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program openssl");
        let heard = Arc::<Mutex<Vec<u8>>>::default();
        let (mut output, all) = (process.stdout.take().unwrap(), heard.clone());
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = output.read(&mut buffer) {
                all.lock().unwrap().extend_from_slice(&buffer[..n]);
            }
        });
        let input = process.stdin.take().unwrap();
        let roots = Roots::from_pem(cert.pem().as_bytes()).unwrap();
        let server = Server { process, input, heard, port, roots, files };
        server.wait_for("ACCEPT");
        server
    }

    fn say(&mut self, bytes: &[u8]) {
        self.input.write_all(bytes).unwrap();
        self.input.flush().unwrap();
    }

    /// Asks the client to shake hands again. It is a command only if it comes alone.
    fn renegotiate(&mut self) {
        self.say(b"R\n");
    }

    fn wait_for(&self, text: &str) {
        eventually(text, || {
            let heard = self.heard.lock().unwrap();
            heard.windows(text.len()).any(|window| window == text.as_bytes())
        });
    }

    fn uploaded(&self) -> usize {
        self.heard.lock().unwrap().iter().filter(|byte| **byte == b'~').count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_file(&self.files);
    }
}

/// What the client's recordings say about operations that wait for what is not their own.
#[derive(Clone, Default)]
struct Record(Arc<Mutex<Vec<(String, String)>>>);

impl Record {
    fn has(&self, direction: &str, on: &str) -> bool {
        self.0.lock().unwrap().iter().any(|(d, o)| d == direction && o == on)
    }
}

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Record {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        if let Fields { what, direction, why } = fields
            && what == "blocked_on"
        {
            self.0.lock().unwrap().push((direction, why));
        }
    }
}

#[derive(Default)]
struct Fields {
    what: String,
    direction: String,
    why: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "what" => self.what = value.to_owned(),
            "direction" => self.direction = value.to_owned(),
            "why" => self.why = value.to_owned(),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// The body of a response whose first half opens this gate.
async fn exchange(call: ResponseFuture, half: &testbed::Gate) -> Result<Bytes, Error> {
    let mut body = call.await?.into_body();
    let first = body.frame().await.expect("half a body")?.into_data().expect("data");
    half.open();
    Ok([first, body.collect().await?.to_bytes()].concat().into())
}

#[test]
fn a_read_waits_to_write_and_then_a_write_waits_for_a_read() {
    bounded("a_read_waits_to_write_and_then_a_write_waits_for_a_read", || {
        let record = Record::default();
        tracing_subscriber::registry().with(record.clone()).init();
        let mut server = Server::start("reads-and-writes");
        let gate = Gate::after(100_000);
        let tls = Tls::new().roots(server.roots.clone());
        let parts = Parts::new().dial(Gated(gate.clone())).secure(OpenSsl::new(&tls).unwrap());
        let client = Client::with_parts(Config::new(), parts).unwrap();
        let request = Request::post(format!("https://localhost:{}/", server.port))
            .body(Full::from(Bytes::from(vec![b'~'; UPLOAD])))
            .unwrap();
        let half = testbed::Gate::new();
        let exchange = thread::spawn({
            let (call, half) = (client.request(request), half.clone());
            move || block_on(exchange(call, &half))
        });
        eventually("a send buffer that is full", || gate.is_shut());
        server.say(&[HEAD, HALF].concat());
        half.wait();
        server.renegotiate();
        eventually("a read that waits to write", || record.has("read", "write"));
        assert!(!record.has("write", "read"));
        gate.open();
        eventually("a write that waits for a read", || record.has("write", "read"));
        eventually("the rest of the upload", || server.uploaded() == UPLOAD);
        server.say(HALF);
        assert_eq!(exchange.join().unwrap().unwrap(), [HALF, HALF].concat());
        assert_eq!(client.stats().idle, 1);
        block_on(client.close());
    });
}
