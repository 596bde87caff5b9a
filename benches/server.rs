//! The server: the testbed's answers (`replay`) from a process of its own, so that neither its work
//! nor its memory counts as the client's.
//!
//! A benchmark's program starts itself a second time as the server. That process ends when its
//! standard input does, which is when the first one ends, however it ends.

use std::{
    env,
    io::{self, BufRead, BufReader, Read, Write},
    net::SocketAddr,
    process::{self, Child, Command, Stdio},
    sync::mpsc,
    thread,
};

use testbed::{api, server::Options};

use crate::{
    Failure,
    machine::{Side, pin},
    replay::Replay,
};

/// The argument that makes a benchmark's program the server.
pub(crate) const SERVE: &str = "serve";

/// A server that runs. Dropped, it ends.
pub(crate) struct Server {
    process: Child,
    /// Where it listens.
    pub(crate) addr: SocketAddr,
}

impl Server {
    /// Starts this program as the server, and waits until it listens.
    ///
    /// # Errors
    ///
    /// The system's, and what comes of a server that does not say where it listens.
    pub(crate) fn start() -> Result<Self, Failure> {
        let mut process = Command::new(env::current_exe()?)
            .arg(SERVE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = process.stdout.take().ok_or("expected the server's standard output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        Ok(Server { addr: line.trim().parse()?, process })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // It has nothing to tell us any more, however it ended.
        let _ = self.process.wait();
    }
}

/// The server's process: serves until standard input ends.
///
/// # Errors
///
/// The system's.
pub(crate) fn serve() -> Result<(), Failure> {
    pin(Side::Server);
    let (listens, address) = mpsc::channel();
    // A loop belongs to its thread; this one waits for the end.
    thread::spawn(move || {
        let failed = run(&listens);
        eprintln!("server: {failed:?}");
        process::exit(1);
    });
    println!("{}", address.recv()?);
    io::stdout().flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn run(listens: &mpsc::Sender<SocketAddr>) -> Result<(), Failure> {
    let replay = Replay::new(api::start_with(Options::new().unrecorded())?)?;
    listens.send(replay.addr()?)?;
    replay.run()
}
