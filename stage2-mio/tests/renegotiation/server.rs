//! `openssl s_server`, which sends what it is told, keeps what it hears, and begins a second
//! handshake when it is told `R`.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::TcpListener,
    path::PathBuf,
    process::{self, Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use testbed::{certs, run::eventually};

pub(crate) struct Server {
    process: Child,
    input: ChildStdin,
    heard: Arc<Mutex<Vec<u8>>>,
    pub(crate) port: u16,
    /// Its certificate and key.
    file: PathBuf,
}

impl Server {
    /// `None`, and a word about it, where there is no such program.
    pub(crate) fn start(name: &str) -> Option<Self> {
        let own = certs::of_loopback();
        let file = std::env::temp_dir().join(format!("{name}-{}.pem", process::id()));
        fs::write(&file, format!("{}{}", own.pem, own.key_pem)).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let started = Command::new("openssl")
            .args(["s_server", "-tls1_2", "-accept", &format!("127.0.0.1:{port}")])
            .arg("-cert")
            .arg(&file)
            .arg("-key")
            .arg(&file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut process = match started {
            Ok(process) => process,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                eprintln!("{name}: skipped, since there is no program openssl");
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        let heard = listen(process.stdout.take().unwrap());
        let input = process.stdin.take().unwrap();
        let server = Server { process, input, heard, port, file };
        server.wait_for("ACCEPT");
        Some(server)
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.input.write_all(text.as_bytes()).unwrap();
        self.input.flush().unwrap();
    }

    /// Asks the client for a second handshake. What was said before has to have arrived: the letter
    /// is a command only if it comes alone.
    pub(crate) fn renegotiate(&mut self) {
        self.say("R\n");
    }

    /// Waits until it has heard this, or has said it about itself.
    pub(crate) fn wait_for(&self, text: &str) {
        eventually(text, || {
            let heard = self.heard.lock().unwrap();
            heard.windows(text.len()).any(|window| window == text.as_bytes())
        });
    }

    /// How often it has heard this letter.
    #[cfg(feature = "openssl")]
    pub(crate) fn count(&self, letter: u8) -> usize {
        self.heard.lock().unwrap().iter().filter(|byte| **byte == letter).count()
    }
}

fn listen(mut output: impl Read + Send + 'static) -> Arc<Mutex<Vec<u8>>> {
    let heard = Arc::<Mutex<Vec<u8>>>::default();
    let all = heard.clone();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = output.read(&mut buffer) {
            all.lock().unwrap().extend_from_slice(&buffer[..n]);
        }
    });
    heard
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_file(&self.file);
    }
}
