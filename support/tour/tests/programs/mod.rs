//! The built examples, run as real processes.
//!
//! Its rules: a program that does not end within [`BOUND`] is killed and fails its test; no
//! process outlives the test that started it.

#![allow(dead_code)] // Each test file uses its part of this module.

pub(crate) mod nginx;

use std::{
    env,
    ffi::{OsStr, OsString},
    io::{self, Read},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, Once, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use testbed::BOUND;

/// Makes a module of tests for each stage. Each function, which stands in the root of the test,
/// takes the stage's [`Program`].
#[macro_export]
macro_rules! for_each_stage {
    ($example:literal: $($test:ident),* $(,)?) => {
        #[cfg(not(windows))] // mio 0.5 is unsound on Windows (RUSTSEC-2020-0080).
        $crate::for_each_stage!(@one stage1 "stage1-" $example: $($test)*);
        $crate::for_each_stage!(@one stage2 "stage2-" $example: $($test)*);
        $crate::for_each_stage!(@one stage3 "stage3-" $example: $($test)*);
    };
    (@one $stage:ident $prefix:literal $example:literal: $($test:ident)*) => {
        mod $stage {
            $(
                #[test]
                fn $test() {
                    $crate::$test(&$crate::programs::Program::find(concat!($prefix, $example)));
                }
            )*
        }
    };
}

/// One of the examples.
#[derive(Debug)]
pub(crate) struct Program(PathBuf);

impl Program {
    /// The example of this name, beside the test's own executable, built from the sources as they
    /// stand.
    ///
    /// # Panics
    ///
    /// If it cannot be built.
    pub(crate) fn find(name: &str) -> Self {
        let test = env::current_exe().expect("the test's own path");
        let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
        static BUILT: Once = Once::new();
        BUILT.call_once(|| build(profile));
        Program(profile.join("examples").join(format!("{name}{}", env::consts::EXE_SUFFIX)))
    }

    /// Starts it with these arguments.
    pub(crate) fn start<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Running {
        self.start_with(args, [])
    }

    /// Starts it with these arguments and these variables.
    pub(crate) fn start_with<A: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = A>,
        variables: impl IntoIterator<Item = (&'static str, OsString)>,
    ) -> Running {
        let mut command = Command::new(&self.0);
        command.args(args).envs(variables);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Running::new(command.spawn().expect("the program starts"))
    }

    /// Starts it with a pipe as standard output whose writing end does not block, and waits until that
    /// pipe is nearly full. Messages go the same way if `both`.
    #[cfg(unix)]
    pub(crate) fn start_into_full_pipe(
        &self,
        args: &[&str],
        both: bool,
    ) -> (Running, io::PipeReader) {
        let (reader, writer) = io::pipe().expect("a pipe");
        rustix::io::ioctl_fionbio(&writer, true).expect("a pipe that does not block");
        let mut command = Command::new(&self.0);
        command.args(args).stdin(Stdio::null()).stderr(Stdio::piped());
        if both {
            command.stderr(writer.try_clone().expect("another descriptor"));
        }
        command.stdout(writer);
        let running = Running::new(command.spawn().expect("the program starts"));
        drop(command); // and with it our writing end
        // Linux gives a pipe 64 KiB, macOS 16 at the least; what is written is not cut at its pages.
        until("a full pipe", || {
            let held = rustix::io::ioctl_fionread(&reader).expect("the pipe's length");
            held > 12 * 1024 || running.has_ended()
        });
        (running, reader)
    }

    /// Runs it to its end.
    pub(crate) fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Ended {
        self.start(args).end()
    }
}

/// Builds all examples as `cargo test --workspace` does, which leaves nothing to do after it. After
/// `cargo test -p tour` they may be missing, or older than their sources.
fn build(profile: &Path) {
    let profile = match profile.file_name().and_then(OsStr::to_str) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--workspace", "--examples", "--locked", "--quiet"]);
    cargo.args(["--profile", profile]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let built = cargo.stdin(Stdio::null()).status().expect("cargo runs");
    assert!(built.success(), "the examples cannot be built: {built}");
}

/// A program under way. It is killed when this is dropped, and after [`BOUND`].
#[derive(Debug)]
pub(crate) struct Running {
    child: Arc<Mutex<Child>>,
    stdout: Option<ChildStdout>,
    /// Reads what would otherwise fill a pipe and stop the program.
    stderr: Option<JoinHandle<Vec<u8>>>,
    /// That it is gone ends the watch.
    _watch: mpsc::Sender<()>,
}

impl Running {
    fn new(mut child: Child) -> Self {
        let stdout = child.stdout.take();
        let messages = child.stderr.take();
        let stderr = thread::spawn(move || {
            let mut text = Vec::new();
            if let Some(mut messages) = messages {
                messages.read_to_end(&mut text).expect("its messages");
            }
            text
        });
        let child = Arc::new(Mutex::new(child));
        let (watch, ended) = mpsc::channel::<()>();
        let watched = child.clone();
        thread::spawn(move || {
            if ended.recv_timeout(BOUND) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("the program did not end within {BOUND:?}, and is killed");
                let _ = watched.lock().expect("the child").kill();
            }
        });
        Running { child, stdout, stderr: Some(stderr), _watch: watch }
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().expect("the child")
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child().id()
    }

    /// Its standard output, for a test that reads it piece by piece.
    pub(crate) fn stdout(&mut self) -> impl Read + use<> {
        self.stdout.take().expect("standard output, which is taken once")
    }

    /// The most memory that it has had so far, in KiB (Linux).
    pub(crate) fn peak_memory(&self) -> io::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        number.ok_or_else(|| io::Error::other("it has ended: there is no VmHWM"))
    }

    /// Whether it has ended by now.
    pub(crate) fn has_ended(&self) -> bool {
        self.child().try_wait().expect("its status").is_some()
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        let mut stdout = Vec::new();
        if let Some(mut pipe) = self.stdout.take() {
            pipe.read_to_end(&mut stdout).expect("its output");
        }
        let stderr = self.stderr.take().expect("a program ends once");
        let stderr = stderr.join().expect("a thread that reads");
        let status = self.child().wait().expect("its status");
        let stderr = String::from_utf8(stderr).expect("messages in UTF-8");
        assert!(!stderr.contains("panicked"), "a program panicked:\n{stderr}");
        Ended { status, stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut child = self.child();
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Sends a signal to a process that this test started.
pub(crate) fn kill(signal: &str, id: u32) {
    let sent = Command::new("kill").args(["-s", signal, &id.to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "kill -s {signal} {id}");
}

/// What a program left.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ended {
    /// Checks the exit status.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "{}\n{}", self.stderr, self.text());
        self
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The lines of `--json`.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let line = |line| Line(serde_json::from_str(line).expect("a line of JSON"));
        self.text().lines().map(line).collect()
    }

    /// The only line of `--json`.
    #[track_caller]
    pub(crate) fn line(&self) -> Line {
        let mut lines = self.lines();
        assert_eq!(lines.len(), 1, "{}", self.text());
        lines.remove(0)
    }

    /// Messages about failed calls: lines of standard error that begin with the URL.
    pub(crate) fn complaints(&self) -> usize {
        let url = |line: &&str| line.split(' ').next().is_some_and(|word| word.contains("://"));
        self.stderr.lines().filter(url).count()
    }
}

/// One line of `--json`.
#[derive(Debug)]
pub(crate) struct Line(Value);

impl Line {
    pub(crate) fn parse(line: &[u8]) -> Self {
        Line(serde_json::from_slice(line).expect("a line of JSON"))
    }

    pub(crate) fn url(&self) -> &str {
        self.0["url"].as_str().expect("a URL")
    }

    /// `None` if the call failed.
    pub(crate) fn status(&self) -> Option<u64> {
        self.0["status"].as_u64()
    }

    #[track_caller]
    pub(crate) fn body(&self) -> Vec<u8> {
        let text = self.0["body_base64"].as_str();
        STANDARD.decode(text.unwrap_or_else(|| panic!("a body in {self:?}"))).expect("base64")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.field("headers", name)
    }

    pub(crate) fn trailer(&self, name: &str) -> Option<&str> {
        self.field("trailers", name)
    }

    pub(crate) fn connection(&self) -> u64 {
        self.0["connection"].as_u64().expect("a connection's number")
    }

    pub(crate) fn reused(&self) -> bool {
        self.0["reused"].as_bool().expect("whether it was reused")
    }

    /// The kind of the error, with the phase of a timeout: `timeout/connect`.
    #[track_caller]
    pub(crate) fn error(&self) -> String {
        let error = &self.0["error"];
        assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{self:?}");
        let kind = error["kind"].as_str().expect("a kind");
        match error["phase"].as_str() {
            Some(phase) => format!("{kind}/{phase}"),
            None => kind.to_owned(),
        }
    }

    pub(crate) fn value(&self) -> &Value {
        &self.0
    }

    fn field(&self, place: &str, name: &str) -> Option<&str> {
        let fields = self.0[place].as_array().expect("an array of fields");
        fields.iter().find(|field| field[0] == name)?[1].as_str()
    }
}

/// A directory that is removed with its owner.
#[derive(Debug)]
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    /// A new directory; its name begins with `name`.
    pub(crate) fn new(name: &str) -> Self {
        for attempt in 0..1000 {
            let path = env::temp_dir().join(format!("{name}-{}-{attempt}", std::process::id()));
            match std::fs::create_dir(&path) {
                Ok(()) => return TempDir(path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => panic!("{}: {error}", path.display()),
            }
        }
        panic!("expected a free name in {}", env::temp_dir().display());
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Polls until `seen`: for what only the operating system knows.
///
/// # Panics
///
/// After [`BOUND`].
#[track_caller]
pub(crate) fn until(what: &str, mut seen: impl FnMut() -> bool) {
    let started = Instant::now();
    while !seen() {
        assert!(started.elapsed() < BOUND, "waited for {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
