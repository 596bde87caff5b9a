//! A real nginx, where one is installed: started on free ports, in a directory of its own.

#![allow(dead_code)] // Each test file uses its part of this module.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use testbed::{certs, server::has_ipv6};

use super::{TempDir, until};

/// How often another port is tried, if somebody took the one that was free.
const TRIES: usize = 5;

/// The length of [`BIG`].
pub(crate) const BIG_LEN: usize = 100_000_000;

/// The path of a file that [`Nginx::write_big`] makes.
pub(crate) const BIG: &str = "/big.bin";

/// A page that compresses well.
pub(crate) const TEXT: &str = "All work and no play makes Jack a dull boy.\n";

/// How often [`TEXT`] stands in `/text.txt`, which nginx compresses as it sends it.
pub(crate) const TEXT_TIMES: usize = 5000;

pub(crate) const PAGE: &str =
    "<!doctype html><title>A page</title><p>Served by a real server.</p>\n";

/// A running nginx. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Nginx {
    child: Child,
    port: u16,
    /// The port where it speaks TLS.
    secure: u16,
    dir: TempDir,
}

impl Nginx {
    /// `None`, and loud, where no nginx is installed.
    ///
    /// # Panics
    ///
    /// If there is one, and it does not start.
    pub(crate) fn start() -> Option<Self> {
        let Some(program) = program() else {
            let mut console = io::stderr();
            // Straight to the console: the test harness would swallow what `eprintln!` says.
            let _ =
                writeln!(console, "\n*** SKIPPED: no nginx is installed (Debian: nginx-light)");
            return None;
        };
        let dir = TempDir::new("nginx-for-tests");
        write_files(&dir).expect("files to serve");
        for _ in 0..TRIES {
            let [port, secure] = [(); 2].map(|()| free_port().expect("a free port"));
            let config = config(&dir, port, secure);
            fs::write(dir.file("nginx.conf"), config).expect("a configuration");
            let mut child = Command::new(&program)
                .arg("-p")
                .arg(dir.path())
                .arg("-c")
                .arg(dir.file("nginx.conf"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(File::create(dir.file("error.log")).expect("a log"))
                .spawn()
                .expect("nginx starts");
            let mut ended = false;
            until("nginx to listen", || {
                ended = child.try_wait().expect("its status").is_some();
                ended || TcpStream::connect(("127.0.0.1", port)).is_ok()
            });
            if !ended {
                return Some(Nginx { child, port, secure, dir });
            }
        }
        let log = fs::read_to_string(dir.file("error.log")).unwrap_or_default();
        panic!("nginx did not start:\n{log}");
    }

    /// The URL of a path, by name.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.port)
    }

    /// The same over TLS, with the certificate of the testbed's servers.
    pub(crate) fn secure_url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.secure)
    }

    /// The file that is served as this path.
    pub(crate) fn file(&self, path: &str) -> PathBuf {
        self.dir.file("html").join(path.trim_start_matches('/'))
    }

    /// Makes [`BIG`].
    pub(crate) fn write_big(&self) -> io::Result<()> {
        let mut big = BufWriter::with_capacity(1 << 20, File::create(self.file(BIG))?);
        // Numbers that do not repeat: a block that is lost, doubled or swapped is noticed.
        for number in 0..BIG_LEN as u64 / 8 {
            big.write_all(&number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes())?;
        }
        big.flush()
    }

    /// Connections that it has accepted so far, this question's included.
    pub(crate) fn accepted(&self) -> u64 {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("a connection");
        stream.write_all(b"GET /status HTTP/1.0\r\n\r\n").expect("a question");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        // "server accepts handled requests\n 31 31 70"
        let counts = text.split("requests").nth(1).expect("counts");
        counts.split_ascii_whitespace().next().and_then(|n| n.parse().ok()).expect("a number")
    }

    /// Ends it, as a crash does.
    pub(crate) fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Where it is installed. Debian has it in a directory that is not in everybody's path.
fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs =
        std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    dirs.map(|dir| dir.join("nginx")).find(|program| program.is_file())
}

/// A port that is free on both of the loopback's addresses.
fn free_port() -> io::Result<u16> {
    let mut last = None;
    for _ in 0..TRIES {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        if !has_ipv6() {
            return Ok(port);
        }
        match TcpListener::bind(("::1", port)) {
            Ok(_) => return Ok(port),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

/// One process, so that killing it leaves none behind.
fn config(dir: &TempDir, port: u16, secure: u16) -> String {
    let dir = dir.path().display();
    let ipv6 = match has_ipv6() {
        true => format!("listen [::1]:{port}; listen [::1]:{secure} ssl;"),
        false => String::new(),
    };
    format!(
        "daemon off;
master_process off;
pid {dir}/nginx.pid;
error_log stderr error;
events {{ worker_connections 512; }}
http {{
    access_log off;
    keepalive_requests 100000;
    client_body_temp_path {dir}/temp-body;
    proxy_temp_path {dir}/temp-proxy;
    fastcgi_temp_path {dir}/temp-fastcgi;
    uwsgi_temp_path {dir}/temp-uwsgi;
    scgi_temp_path {dir}/temp-scgi;
    types {{ text/html html; text/plain txt; }}
    default_type application/octet-stream;
    gzip on;
    gzip_types text/plain;
    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{secure} ssl;
        {ipv6}
        server_name localhost;
        ssl_certificate {dir}/certificate.pem;
        ssl_certificate_key {dir}/key.pem;
        ssl_protocols TLSv1.2 TLSv1.3;
        root {dir}/html;
        location = /status {{ stub_status; }}
        location = /echo {{ return 200 \"$request_method $content_length $http_x_word\"; }}
        location = /session {{ return 200 \"$ssl_protocol $ssl_session_reused $ssl_server_name\"; }}
        location = /moved {{ return 302 /index.html; }}
    }}
}}
"
    )
}

fn write_files(dir: &TempDir) -> io::Result<()> {
    let own = certs::of_loopback();
    fs::write(dir.file("certificate.pem"), &own.pem)?;
    fs::write(dir.file("key.pem"), &own.key_pem)?;
    let html = dir.file("html");
    fs::create_dir(&html)?;
    fs::write(html.join("index.html"), PAGE)?;
    fs::write(html.join("text.txt"), TEXT.repeat(TEXT_TIMES))
}
