//! A resolver that never blocks: hickory-resolver in place of the system's.
//!
//!     cargo run --release --example stage3-hickory [-- URL]
//!
//! The system's `getaddrinfo` blocks, so the client runs it on threads that may. hickory-resolver
//! is DNS as async functions: its future runs in the client's own tasks, and no thread waits. Only
//! this stage can take it as it is, since it wants the runtime that the client already has.
//!
//! It asks a name server of our own here, so that the example needs no network: that one knows
//! 127.0.0.1 and nothing else, whatever it is asked.
//!
//! Try: `TokioResolver::builder_tokio` with the feature `system-config`, which asks whom the system
//! asks; a name server that is silent, and a short `connect_timeout`.

use std::{
    io,
    net::{Ipv4Addr, UdpSocket},
    process::ExitCode,
    thread,
};

use futures::executor::block_on;
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
};
use http::Request;
use http_body_util::{BodyExt, Full};
use stage3_tokio::{Client, Config, Name, Resolver, Resolving};
use testbed::{
    lesson::{self, Failure, Lesson},
    say,
};

/// All there is to it.
struct Hickory(TokioResolver);

impl Resolver for Hickory {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.0.clone();
        Box::pin(async move {
            let found = resolver.lookup_ip(name.as_str()).await.map_err(io::Error::other)?;
            Ok(found.iter().collect())
        })
    }
}

fn main() -> ExitCode {
    lesson::main("stage3-hickory", |lesson| block_on(hickory(lesson)))
}

async fn hickory(lesson: &Lesson) -> Result<(), Failure> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let resolver = resolver(socket.local_addr()?.port())?;
    thread::spawn(move || name_server(&socket));
    let client = Client::new(Config::new().resolver(Hickory(resolver)))?;

    let port = lesson.get("/").uri().port_u16().unwrap_or(80);
    let url = format!("http://quotes.example:{port}/quotes/7");
    let response = client.request(Request::get(&url).body(Full::default())?).await?;
    let body = response.into_body().collect().await?.to_bytes();
    say!("{url}\n    {} bytes: {}", body.len(), client.stats());
    client.close().await;
    Ok(())
}

/// Asks the name server at this port of the loopback.
fn resolver(port: u16) -> Result<TokioResolver, Failure> {
    let mut connection = ConnectionConfig::udp();
    connection.port = port;
    let server = NameServerConfig::new(Ipv4Addr::LOCALHOST.into(), true, vec![connection]);
    let config = ResolverConfig::from_name_servers(vec![server]);
    Ok(TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).build()?)
}

/// Answers questions about IPv4 addresses (RFC 1035 section 4).
fn name_server(socket: &UdpSocket) -> io::Result<()> {
    const HEAD: usize = 12;
    const TYPE_A: [u8; 2] = [0, 1];
    let mut message = [0; 512];
    loop {
        let (_, asker) = socket.recv_from(&mut message)?;
        // A name ends with a zero; its type and its class follow.
        let Some(end) = message[HEAD..].iter().position(|byte| *byte == 0) else { continue };
        let kind = HEAD + end + 1;
        let mut answer = message[..kind + 4].to_vec();
        let found = answer[kind..kind + 2] == TYPE_A;
        answer[2..HEAD].copy_from_slice(&[0x81, 0x80, 0, 1, 0, found.into(), 0, 0, 0, 0]);
        if found {
            // The name of the question, IPv4, for a minute, four bytes.
            answer.extend([0xc0, HEAD as u8, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
        }
        socket.send_to(&answer, asker)?;
    }
}
