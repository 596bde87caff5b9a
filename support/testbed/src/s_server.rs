//! `openssl s_server`, a server that can do what rustls cannot: ask for a second handshake in
//! mid-connection (TLS 1.2), and change its keys without asking the client to (TLS 1.3).
//!
//! It is there on Unix only.
//!
//! Its rules: it is a process of the test, and ends with it; what it is told goes to the client as
//! it is, unless it is a command of its own; where there is no such program, a test says so and is
//! skipped.

use std::{
    fs,
    io::{self, ErrorKind, Read, Write},
    path::PathBuf,
    process::{self, Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::{certs, run::eventually, server::Version};

/// A running `openssl s_server`, with the certificate of [`certs::of_loopback`].
#[derive(Debug)]
pub struct SServer {
    process: Child,
    input: ChildStdin,
    /// What it has written: what the client sent, and what it says about itself.
    heard: Arc<Mutex<Vec<u8>>>,
    port: u16,
    /// Its certificate and key.
    file: PathBuf,
}

impl SServer {
    /// Starts one that takes one connection after the other. `None`, and a word about it, if there
    /// is no such program.
    ///
    /// # Panics
    ///
    /// If it does not start to listen within [`BOUND`](crate::BOUND).
    pub fn start(version: Version) -> Option<Self> {
        match Self::spawn(version) {
            Ok(mut server) => {
                server.wait_for("ACCEPT 127.0.0.1:");
                server.port = server.port_of_its_choice();
                Some(server)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                eprintln!("SKIPPED, since there is no program openssl");
                None
            }
            Err(error) => panic!("expected to be able to run openssl: {error}"),
        }
    }

    fn spawn(version: Version) -> io::Result<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = (process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let file = std::env::temp_dir().join(format!("s_server-{}-{}.pem", name.0, name.1));
        let own = certs::of_loopback();
        fs::write(&file, format!("{}{}", own.pem, own.key_pem))?;
        let version = match version {
            Version::Tls12 => "-tls1_2",
            Version::Tls13 => "-tls1_3",
        };
        let mut process = Command::new("openssl")
            .args(["s_server", version, "-accept", "127.0.0.1:0", "-cert"])
            .arg(&file)
            .arg("-key")
            .arg(&file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            return Err(io::Error::other("expected pipes"));
        };
        Ok(SServer { process, input, heard: listen(output), port: 0, file })
    }

    /// The port that it has said to listen on.
    fn port_of_its_choice(&self) -> u16 {
        let said = self.text();
        let port = said.split("ACCEPT 127.0.0.1:").nth(1).unwrap_or_default();
        let port = port.lines().next().unwrap_or_default().trim();
        port.parse().unwrap_or_else(|_| panic!("expected a port after ACCEPT: {said}"))
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a path there.
    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    /// Sends this to the client, and waits until the process has taken it.
    ///
    /// # Panics
    ///
    /// If the process has ended, or does not take it within [`BOUND`](crate::BOUND).
    pub fn say(&mut self, text: &str) {
        let said = self.input.write_all(text.as_bytes()).and_then(|()| self.input.flush());
        said.expect("a process that is running");
        // What comes in one piece with the letter of a command is thrown away by it.
        eventually("s_server to read its input", || unread(&self.input) == 0);
    }

    /// Asks the client for a second handshake, by a HelloRequest (RFC 5246 section 7.4.1.1).
    ///
    /// # Panics
    ///
    /// As [`say`](Self::say).
    pub fn renegotiate(&mut self) {
        self.say("R\n");
    }

    /// Changes the keys, and asks the client to change its own, or not to (RFC 8446 section
    /// 4.6.3).
    ///
    /// # Panics
    ///
    /// As [`say`](Self::say).
    pub fn key_update(&mut self, requested: bool) {
        self.say(if requested { "K\n" } else { "k\n" });
    }

    /// Waits until it has heard this, or has said it about itself.
    ///
    /// # Panics
    ///
    /// After [`BOUND`](crate::BOUND).
    #[track_caller]
    pub fn wait_for(&self, text: &str) {
        eventually(&format!("{text:?} from s_server"), || self.text().contains(text));
    }

    /// How often it has heard this letter.
    pub fn count(&self, letter: u8) -> usize {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.iter().filter(|byte| **byte == letter).count()
    }

    fn text(&self) -> String {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&heard).into_owned()
    }
}

impl Drop for SServer {
    fn drop(&mut self) {
        // It may have ended by itself, and its file is in a folder that is swept anyway.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_file(&self.file);
    }
}

/// How much of its input the process has not read.
fn unread(input: &ChildStdin) -> u64 {
    rustix::io::ioctl_fionread(input).expect("a pipe")
}

/// Collects what it says, until its end.
fn listen(mut output: ChildStdout) -> Arc<Mutex<Vec<u8>>> {
    let heard = Arc::<Mutex<Vec<u8>>>::default();
    let all = heard.clone();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = output.read(&mut buffer) {
            let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend_from_slice(&buffer[..length]);
        }
    });
    heard
}
