//! A connection that is no TCP: HTTP over a Unix socket, as daemons speak it on their own machine.
//!
//!     cargo run --release --example stage1-unix_socket
//!
//! How the stream to an origin is opened is a part of the client that a user may replace. Here it
//! ignores the name and connects to a path. All the rest stays: pool, limits, timeouts, events.
//! The transport is one that rotor can watch, and nothing else is asked of it.
//!
//! Try: `https://daemon/version`, and see rustls shake hands with a daemon that speaks no TLS; a
//! path at which nobody listens.

#[cfg(not(unix))]
fn main() {
    eprintln!("stage1-unix_socket: expected a system with Unix sockets");
}

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    unix::main()
}

#[cfg(unix)]
mod unix {
    use std::{
        env, fs,
        io::{self, BufRead, BufReader, Write},
        os::unix::net::{UnixListener, UnixStream},
        path::PathBuf,
        process::{self, ExitCode},
        sync::Arc,
        thread,
    };

    use futures::executor::block_on;
    use http::Request;
    use http_body_util::{BodyExt, Full};
    use socket2::SockAddr;
    use stage1_rotor::{Client, Config, Connector, Connectors, Origin, Socket, Transport};
    use testbed::{
        lesson::{self, Failure},
        say,
    };

    pub(crate) fn main() -> ExitCode {
        lesson::main("stage1-unix_socket", |_| block_on(unix_socket()))
    }

    /// Connects to a path, whatever the origin is.
    struct Path(PathBuf);

    impl Connector for Path {
        fn connect(&self, origin: &Origin) -> io::Result<Box<dyn Transport>> {
            say!("    {origin} is at {}", self.0.display());
            Ok(Box::new(Socket::connect(SockAddr::unix(&self.0)?)?))
        }
    }

    async fn unix_socket() -> Result<(), Failure> {
        let path = env::temp_dir().join(format!("stage1-unix_socket-{}", process::id()));
        let listener = UnixListener::bind(&path)?;
        thread::spawn(move || daemon(listener));
        let client = Client::with_connectors(
            Config::new(),
            Connectors::new().connector(Arc::new(Path(path.clone()))),
        )?;

        for url in ["http://daemon/version", "http://daemon/version", "http://other/version"] {
            say!("{url}");
            let response = client.request(Request::get(url).body(Full::default())?).await?;
            let body = response.into_body().collect().await?.to_bytes();
            say!("    {}: {}", String::from_utf8_lossy(&body), client.stats());
        }
        client.close().await;
        fs::remove_file(path)?;
        Ok(())
    }

    /// Answers whoever connects.
    fn daemon(listener: UnixListener) {
        for stream in listener.incoming().flatten() {
            // A client that goes away is no reason to end.
            thread::spawn(move || answer(stream));
        }
    }

    /// One response for each empty line, which is the end of a request without a body.
    fn answer(stream: UnixStream) -> io::Result<()> {
        for line in BufReader::new(&stream).lines() {
            if line?.is_empty() {
                (&stream)
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nversion 1.0")?;
            }
        }
        Ok(())
    }
}
