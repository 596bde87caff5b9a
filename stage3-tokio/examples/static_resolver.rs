//! A resolver of one's own: names and addresses out of a table.
//!
//!     cargo run --release --example stage3-static_resolver [-- URL]
//!
//! Where addresses come from is a part of the client that a user may replace: service discovery,
//! DNS over HTTPS, a file, or, as here, a table. The client asks for the addresses of an origin
//! when it opens a connection to it, races them, and takes an answer as it comes, now or later: a
//! resolver returns a future.
//!
//! Try: a second address for the same name that refuses, such as 127.9.9.9; a future that waits
//! before it answers.

use std::{
    collections::HashMap,
    future::ready,
    io,
    net::{IpAddr, ToSocketAddrs},
    process::ExitCode,
};

use futures::executor::block_on;
use http::Request;
use http_body_util::{BodyExt, Full};
use stage3_tokio::{Client, Config, Name, Resolver, Resolving};
use testbed::{
    lesson::{self, Failure, Lesson},
    say,
};

/// All names there are, and their addresses.
struct Table(HashMap<&'static str, Vec<IpAddr>>);

impl Resolver for Table {
    fn resolve(&self, name: Name) -> Resolving {
        say!("    asked for {name}");
        let found = self.0.get(name.as_str()).cloned();
        Box::pin(ready(found.ok_or_else(|| io::ErrorKind::NotFound.into())))
    }
}

fn main() -> ExitCode {
    lesson::main("stage3-static_resolver", |lesson| block_on(static_resolver(lesson)))
}

async fn static_resolver(lesson: &Lesson) -> Result<(), Failure> {
    let server = lesson.get("/quotes/7");
    let (host, port) = (server.uri().host(), server.uri().port_u16().unwrap_or(80));
    let addresses = format!("{}:{port}", host.unwrap_or_default()).to_socket_addrs()?;
    let addresses = addresses.map(|address| address.ip()).collect();
    let table = Table(HashMap::from([("quotes.example", addresses)]));
    let client = Client::new(Config::new().resolver(table))?;

    for host in ["quotes.example", "quotes.example", "nobody.example"] {
        let url = format!("http://{host}:{port}/quotes/7");
        say!("{url}");
        match client.request(Request::get(url).body(Full::default())?).await {
            Ok(response) => {
                let body = response.into_body().collect().await?.to_bytes();
                say!("    {} bytes: {}", body.len(), client.stats());
            }
            Err(error) => say!("    {error}"),
        }
    }
    client.close().await;
    Ok(())
}
