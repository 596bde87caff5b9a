//! The tour as its user meets it: a process with a terminal or a pipe, a folder, signals.
//!
//! Each test has a small workspace of its own, in a folder whose path has a blank in it, so that no
//! test needs the real book.

#![cfg(unix)]

mod programs;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::Path,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread,
    time::Duration,
};

use programs::{TempDir, kill, until};
use rustix::process::{Pid, test_kill_process};

const BOOK: &str = "[book]\ntitle = \"A book\"\n[preprocessor.weave]\ncommand = \"weave\"\n\
                    renderers = [\"html\"]\n[output.html]\ninput-404 = \"\"\n";

/// A page that is built without cargo's help.
const PAGE: &str = "# A page\n\nIt has words.\n";

/// A page for which cargo is asked.
const ASKS: &str = "# A page\n\n{{#version mio}}\n";

/// A page that stops the build.
const WRONG: &str = "# A page\n\n{{#item nothing::at::all}}\n";

/// A workspace with a book of one page.
struct Folder(TempDir);

impl Folder {
    fn new(page: &str) -> Self {
        let folder = Folder(TempDir::new("a tour"));
        folder.write("Cargo.toml", "[workspace]\nmembers = []\n");
        folder.write("book/book.toml", BOOK);
        folder.write("book/src/SUMMARY.md", "# Summary\n\n- [A page](page.md)\n");
        folder.write("book/src/page.md", page);
        folder
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.file(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("it can be made");
        fs::write(path, text).expect("it can be written");
    }

    /// A program for the tour to run, as a script.
    fn program(&self, path: &str, script: &str) {
        self.write(path, &format!("#!/bin/sh\n{script}"));
        let runs = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.0.file(path), runs).expect("it can be run");
    }

    fn tour(&self, args: &str) -> Command {
        let mut tour = Command::new(env!("CARGO_BIN_EXE_tour"));
        tour.args(args.split_whitespace()).current_dir(self.0.path());
        tour.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        tour
    }
}

/// How long a tour may take: far more than any needs, so that one that hangs fails its test.
const BOUND: Duration = Duration::from_secs(120);

/// Kills a process after [`BOUND`], unless the sender is dropped before.
fn watch(id: u32) -> Sender<()> {
    let (watch, ended) = mpsc::channel();
    thread::spawn(move || {
        if ended.recv_timeout(BOUND) == Err(RecvTimeoutError::Timeout) {
            eprintln!("the tour did not end within {BOUND:?}, and is killed");
            kill("KILL", id);
        }
    });
    watch
}

/// A tour under way. It is killed when this is dropped.
struct Tour {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// What it has printed, as far as it was read.
    said: String,
    _watch: Sender<()>,
}

impl Tour {
    fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("the tour starts");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let watch = watch(child.id());
        Tour { child, stdout, said: String::new(), _watch: watch }
    }

    /// The address of the book, once it is served.
    fn address(&mut self) -> String {
        let mut line = String::new();
        while self.stdout.read_line(&mut line).expect("its output") > 0 {
            self.said.push_str(&line);
            if let Some(rest) = line.strip_prefix("The book is at ") {
                return rest.split(' ').next().expect("a word").to_owned();
            }
            line.clear();
        }
        let mut errors = String::new();
        let stderr = self.child.stderr.take();
        stderr.expect("a pipe").read_to_string(&mut errors).expect("its messages");
        panic!("the book was not served:\n{}{errors}", self.said);
    }

    fn interrupt(mut self) -> (ExitStatus, String) {
        kill("INT", self.child.id());
        self.end()
    }

    fn end(&mut self) -> (ExitStatus, String) {
        let mut errors = String::new();
        let stderr = self.child.stderr.take();
        stderr.expect("a pipe").read_to_string(&mut errors).expect("its messages");
        (self.child.wait().expect("its status"), errors)
    }
}

impl Drop for Tour {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A page of a served book: the whole response.
fn get(address: &str, path: &str) -> String {
    let host = address.trim_start_matches("http://").trim_end_matches('/');
    let mut server = TcpStream::connect(host).expect("the server listens");
    write!(server, "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")
        .expect("a request");
    let mut response = String::new();
    server.read_to_string(&mut response).expect("a response");
    response
}

fn lives(id: &str) -> bool {
    // One that has ended, and whose end nobody has asked for, is still there on Linux.
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let id = id.parse().ok().and_then(Pid::from_raw).expect("a process id");
    test_kill_process(id).is_ok() && !status.contains("State:\tZ")
}

#[test]
fn in_a_pipe_it_shows_the_stages_serves_the_book_and_ends_well_when_interrupted() {
    let folder = Folder::new(PAGE);
    let mut tour = Tour::start(&mut folder.tour("--port 0"));
    let address = tour.address();
    for expected in
        ["stage1-rotor: ", "stage2-mio: ", "stage3-tokio: ", "64 callers", "The book: "]
    {
        assert!(tour.said.contains(expected), "no `{expected}` in\n{}", tour.said);
    }
    assert!(!tour.said.contains('\u{1b}'), "a pipe gets plain text:\n{}", tour.said);
    let page = get(&address, "/");
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    assert!(page.contains("It has words."), "{page}");
    assert!(get(&address, "/none.html").starts_with("HTTP/1.1 404 "));
    let (status, errors) = tour.interrupt();
    assert_eq!(status.code(), Some(0), "{errors}");
}

#[test]
fn a_book_that_cannot_be_built_hides_nothing_and_the_exit_status_tells() {
    let folder = Folder::new(WRONG);
    let ended = folder.tour("--no-serve").output().expect("the tour runs");
    let (said, errors) =
        (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert_eq!(ended.status.code(), Some(1), "{said}{errors}");
    assert!(said.contains("stage3-tokio: ") && said.contains("64 callers"), "{said}");
    assert_eq!(errors.matches("book/src/page.md:3: ").count(), 1, "{errors}");
    assert!(errors.ends_with("tour: failed, as told above: the book\n"), "{errors}");
}

#[test]
fn without_the_wish_to_serve_it_ends_when_the_book_is_built() {
    let folder = Folder::new(PAGE);
    let ended = folder.tour("book").output().expect("the tour runs");
    assert_eq!(ended.status.code(), Some(0));
    assert!(folder.0.file("book/book/index.html").is_file());
}

#[test]
fn pages_of_an_earlier_build_are_served_and_the_failure_is_not_forgotten() {
    let folder = Folder::new(PAGE);
    assert!(folder.tour("book").status().expect("the tour runs").success());
    folder.write("book/src/page.md", WRONG);
    let mut tour = Tour::start(&mut folder.tour("book --serve --port 0"));
    let address = tour.address();
    assert!(get(&address, "/page.html").contains("It has words."));
    let (status, errors) = tour.interrupt();
    assert_eq!(status.code(), Some(1), "{errors}");
    assert!(errors.contains("an earlier build"), "{errors}");
}

#[test]
fn a_second_start_names_the_first_and_a_killed_one_is_in_nobodys_way() {
    let folder = Folder::new(PAGE);
    let mut first = Tour::start(&mut folder.tour("book --serve --port 0"));
    let address = first.address();
    for args in ["", "book --serve"] {
        let second = folder.tour(args).output().expect("the tour runs");
        let errors = String::from_utf8_lossy(&second.stderr);
        assert_eq!(second.status.code(), Some(1), "{errors}");
        assert!(second.stdout.is_empty(), "it does nothing before it says so");
        let id = first.child.id();
        assert!(errors.contains(&format!("process {id} ")), "{errors}");
        assert!(errors.contains(&address), "{errors}");
    }
    // What does not serve is not refused, and the first one serves what it builds.
    folder.write("book/src/page.md", "# A page\n\nNow it has others.\n");
    assert!(folder.tour("book").status().expect("the tour runs").success());
    assert!(get(&address, "/page.html").contains("Now it has others."));
    first.child.kill().expect("it runs");
    first.child.wait().expect("its status");
    let mut third = Tour::start(&mut folder.tour("book --serve --port 0"));
    third.address();
}

#[test]
fn a_port_that_is_taken_is_told_and_the_default_one_is_replaced() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port();
    let folder = Folder::new(PAGE);
    let asked = folder.tour(&format!("book --port {port}")).output().expect("the tour runs");
    let errors = String::from_utf8_lossy(&asked.stderr);
    assert_eq!(asked.status.code(), Some(1), "{errors}");
    assert!(errors.contains(&format!("port {port} of the loopback: ")), "{errors}");
    // If another process has it, it is taken as well.
    let _default = TcpListener::bind("127.0.0.1:3000");
    let mut tour = Tour::start(&mut folder.tour("book --serve"));
    let address = tour.address();
    assert!(tour.said.contains("Port 3000 is taken"), "{}", tour.said);
    assert!(get(&address, "/").starts_with("HTTP/1.1 200 "));
}

#[cfg(target_os = "linux")]
#[test]
fn a_browser_is_opened_at_the_address_and_its_failure_is_told() {
    let folder = Folder::new(PAGE);
    folder.program(
        "bin/xdg-open",
        "echo \"$1\" > \"$OPENED.new\" && mv \"$OPENED.new\" \"$OPENED\"",
    );
    let opened = folder.0.file("opened");
    let path = |first: &Path| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = [first.to_owned()].into_iter().chain(std::env::split_paths(&path));
        std::env::join_paths(folders.collect::<Vec<_>>()).expect("a path")
    };
    let mut command = folder.tour("book --open --port 0");
    command.env("PATH", path(&folder.0.file("bin"))).env("OPENED", &opened);
    let mut tour = Tour::start(&mut command);
    let address = tour.address();
    until("the browser", || opened.exists());
    assert_eq!(fs::read_to_string(&opened).expect("what was opened").trim(), address);
    assert_eq!(tour.interrupt().0.code(), Some(0));

    folder.program("bin/xdg-open", "exit 3");
    let mut tour = Tour::start(&mut command);
    tour.address();
    let mut told = String::new();
    let mut stderr = BufReader::new(tour.child.stderr.take().expect("a pipe"));
    while !told.contains("No browser was opened") {
        assert!(stderr.read_line(&mut told).expect("a message") > 0, "{told}");
    }
    kill("INT", tour.child.id());
    assert_eq!(tour.child.wait().expect("its status").code(), Some(0));
}

/// A cargo that says its process and that of its child, and then works for ever.
const BUSY: &str = "sleep 100000 & echo \"$$ $!\" > \"$HERE/busy.new\"\n\
                    mv \"$HERE/busy.new\" \"$HERE/busy\"\nwait\n";

fn with_busy_cargo<'a>(folder: &Folder, command: &'a mut Command) -> &'a mut Command {
    folder.program("bin/cargo", BUSY);
    command.env("CARGO", folder.0.file("bin/cargo")).env("HERE", folder.0.path())
}

#[test]
fn an_interrupt_ends_it_at_once_with_its_children() {
    for signal in ["INT", "TERM"] {
        let folder = Folder::new(ASKS);
        let mut tour = Tour::start(with_busy_cargo(&folder, &mut folder.tour("book")));
        let busy = folder.0.file("busy");
        until("a child that works", || busy.exists());
        let children = fs::read_to_string(&busy).expect("their numbers");
        kill(signal, tour.child.id());
        let (status, _) = tour.end();
        let number = if signal == "INT" { 2 } else { 15 };
        assert_eq!(status.signal(), Some(number), "it ends of the signal, as any program");
        for child in children.split_whitespace() {
            until("the end of its children", || !lives(child));
        }
    }
}

#[test]
fn what_takes_over_two_seconds_says_so_in_plain_lines() {
    let folder = Folder::new(ASKS);
    let mut tour = Tour::start(with_busy_cargo(&folder, &mut folder.tour("book")));
    let mut line = String::new();
    let mut stderr = BufReader::new(tour.child.stderr.take().expect("a pipe"));
    stderr.read_line(&mut line).expect("a message");
    assert!(line.starts_with("Building the book") && line.ends_with(" (2 s)\n"), "{line}");
    kill("INT", tour.child.id());
    assert_eq!(tour.child.wait().expect("its status").signal(), Some(2));
}

/// Runs the tour on a terminal until it shows a text, and gives what the terminal got.
fn on_a_terminal(command: &mut Command, text: &str) -> String {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&terminal).expect("its other end");
    unlockpt(&terminal).expect("its other end");
    let name = ptsname(&terminal, Vec::new()).expect("its name").into_string().expect("UTF-8");
    let end = || fs::File::options().read(true).write(true).open(&name).expect("its other end");
    let mut child =
        command.stdin(end()).stdout(end()).stderr(end()).spawn().expect("the tour starts");
    let _watch = watch(child.id());
    // The child alone has the other end, so that a read fails when it has ended.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut got = String::new();
    let mut buffer = [0; 1024];
    let mut terminal = fs::File::from(terminal);
    while !got.contains(text) {
        let length = terminal.read(&mut buffer).expect("what it shows");
        got.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    kill("INT", child.id());
    child.wait().expect("its status");
    got
}

#[test]
fn a_terminal_gets_colour_and_a_live_line() {
    let folder = Folder::new(ASKS);
    let mut command = folder.tour("book");
    command.env("TERM", "xterm").env_remove("NO_COLOR");
    let live = on_a_terminal(with_busy_cargo(&folder, &mut command), " (1 s)");
    assert!(live.contains("\r\u{1b}[2KBuilding the book"), "{live:?}");

    let folder = Folder::new(PAGE);
    let mut command = folder.tour("book --port 0");
    command.env("TERM", "xterm").env_remove("NO_COLOR");
    let coloured = on_a_terminal(&mut command, "(Ctrl-C)");
    assert!(coloured.contains("\u{1b}[1mThe book\u{1b}[0m"), "{coloured:?}");
    let plain = on_a_terminal(command.env("NO_COLOR", "1"), "(Ctrl-C)");
    assert!(!plain.contains("\u{1b}[1m"), "{plain:?}");
}
