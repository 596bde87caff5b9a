//! Each program of the book's first chapters is run, and says what its chapter says.

use std::{
    env,
    io::Read,
    net::TcpListener,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// How long a program may take: far more than any needs, so that reaching it means "for ever".
const BOUND: Duration = Duration::from_secs(20);

/// Runs an example, which cargo built beside this test.
fn run(name: &str, arguments: &[&str]) -> Output {
    let here = env::current_exe().unwrap();
    let target = here.ancestors().nth(2).unwrap();
    let program = target.join("examples").join(name).with_extension(env::consts::EXE_EXTENSION);
    let mut child =
        Command::new(&program).args(arguments).stdout(Stdio::piped()).spawn().unwrap_or_else(
            |e| panic!("{}: {e}; run the package's tests whole", program.display()),
        );
    let mut stdout = child.stdout.take().unwrap();
    let (sender, ended) = mpsc::channel();
    thread::spawn(move || {
        let mut text = String::new();
        sender.send(stdout.read_to_string(&mut text).map(|_| text))
    });
    let Ok(text) = ended.recv_timeout(BOUND) else {
        child.kill().unwrap();
        panic!("{name} {arguments:?} hangs");
    };
    Output { success: child.wait().unwrap().success(), stdout: text.unwrap() }
}

/// How a program ended, and what it said.
struct Output {
    success: bool,
    stdout: String,
}

#[track_caller]
fn lines_in_order(output: &Output, expected: &[&str]) {
    let mut rest = output.stdout.as_str();
    for line in expected {
        let at = rest.find(line).unwrap_or_else(|| panic!("{line:?} is not in {rest:?}"));
        rest = &rest[at + line.len()..];
    }
}

#[test]
fn blocking_fetches_a_quote() {
    let output = run("blocking", &[]);
    assert!(output.success);
    assert_eq!(output.stdout, "200\nquote 7: who waits, if nobody blocks?\n");
}

#[test]
fn blocking_fetches_from_a_server_that_is_named() {
    let server = book_programs::serve(book_programs::quotes).unwrap();
    let output = run("blocking", &[&format!("{server}/authors/1")]);
    assert_eq!(output.stdout, "404\nno such quote\n");
}

#[test]
fn blocking_fails_where_nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert!(!run("blocking", &[&format!("{address}/quotes/7")]).success);
}

#[test]
fn a_thread_per_call_takes_a_thread_per_call() {
    let output = run("one_thread_per_call", &["50"]);
    lines_in_order(
        &output,
        &["before", "50 calls, each on a thread of its own", "50 answered"],
    );
    if cfg!(target_os = "linux") {
        // The main thread and the server's, and then the callers.
        lines_in_order(&output, &["Threads: 2\n", "Threads: 52\n"]);
    }
}

#[test]
fn an_abandoned_read_goes_on() {
    let output = run("abandoned_read", &[]);
    lines_in_order(
        &output,
        &[
            "caller: gave up",
            "reader: still asleep in read",
            "reader: an answer, and nobody wants it",
            "caller: the reader slept until",
        ],
    );
}

#[test]
fn one_thread_waits_for_all() {
    let output = run("event_loop", &["5"]);
    assert!(output.success);
    let mut lines: Vec<_> = output.stdout.lines().collect();
    lines.sort_unstable();
    let expected: Vec<_> =
        (0..5).map(|n| format!("token {n}: quote {n}: who waits, if nobody blocks?")).collect();
    assert_eq!(lines, expected);
}

#[test]
fn one_byte_left_unread_stops_the_loop() {
    let output = run("edge", &["leave-one"]);
    assert!(!output.success);
    let whole = book_programs::answer("/quotes/7").len();
    lines_in_order(
        &output,
        &[
            &format!("no event, {} of {whole} bytes read: this loop hangs", whole - 1),
            "read without an event: 1 byte",
        ],
    );
}

#[test]
fn draining_does_not() {
    let output = run("edge", &["drain"]);
    assert!(output.success);
    let whole = book_programs::answer("/quotes/7").len();
    assert_eq!(output.stdout, format!("{whole} of {whole} bytes read\n"));
}

#[cfg(target_os = "linux")]
#[test]
fn level_repeats_what_edge_says_once() {
    let output = run("level_and_edge", &[]);
    for (name, again) in [("level-triggered", 1), ("edge-triggered", 0)] {
        lines_in_order(
            &output,
            &[
                name,
                "read before anything came: Err(WouldBlock)",
                "two bytes sent: 1 event",
                "one of them read: Ok(1)",
                &format!("wait again: {again} events"),
                "the other one read: Ok(1)",
                "wait again: 0 events",
            ],
        );
    }
}

#[test]
fn a_buffer_across_an_await_is_in_the_future() {
    let output = run("future_sizes", &[]);
    assert!(output.success);
    let size = |name: &str| -> usize {
        let line = output.stdout.lines().find(|line| line.starts_with(name)).unwrap();
        let received = format!("{} bytes received", book_programs::answer("/quotes/7").len());
        assert!(line.ends_with(&received), "{line}");
        line[name.len()..].split(' ').nth(1).unwrap().parse().unwrap()
    };
    assert!(size("async function:") < 1024);
    assert!(size("async function with a buffer:") > 4096);
    assert!(size("machine written by hand:") < 1024);
}

#[test]
fn a_future_that_is_dropped_takes_what_it_has_read_along() {
    let output = run("lost_in_select", &["begin-again"]);
    assert_eq!(output.stdout, "tick\nline: \"who waits?\"\n");
    let output = run("lost_in_select", &["keep"]);
    assert_eq!(output.stdout, "tick\nline: \"quote 7: who waits?\"\n");
}

#[test]
fn a_timer_polled_last_is_never_heard() {
    let output = run("starved_timer", &["stream-first"]);
    assert!(!output.success);
    lines_in_order(&output, &["it still reads"]);
    assert!(run("starved_timer", &["timer-first"]).success);
}
