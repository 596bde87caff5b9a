//! Runs a command as a reader would: from the workspace's root, through the shell.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::Command;
use super::recording::Recording;
use crate::process;

/// Runs a command to its end, or to the end of its time.
///
/// Cargo's own messages are left out of the output: they depend on what was built before.
///
/// # Errors
/// A shell that cannot be started, or a command that does not end in time.
pub fn run(root: &Path, command: &Command) -> io::Result<Recording> {
    let limit = Duration::from_secs(command.seconds);
    let background =
        command.with.as_deref().map(|with| started(root, with, limit)).transpose()?;
    let mut child = start(root, &format!("exec 2>&1\n{}", command.line))?;
    let output = child.stdout.take();
    let (sender, receiver) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut output) = output {
            // What was read before an error is still what came out.
            let _ = output.read_to_end(&mut bytes);
        }
        // The receiver is gone only when the time is over.
        let _ = sender.send(());
        bytes
    });
    let ended = receiver.recv_timeout(limit).is_ok();
    if !ended {
        end(&mut child);
    }
    let status = child.wait()?;
    if let Some(mut background) = background {
        end(&mut background);
        background.wait()?;
    }
    if !ended {
        let message = format!("did not end within {} seconds", command.seconds);
        return Err(io::Error::new(io::ErrorKind::TimedOut, message));
    }
    let bytes = reader.join().unwrap_or_default();
    let output = clean(&String::from_utf8_lossy(&bytes), root);
    Ok(Recording { status: status.code().unwrap_or(-1), output })
}

/// Whether a call of `cargo test` ran no test at all, which is no failure to cargo: its filter is
/// the name of nothing.
pub fn tested_nothing(line: &str, output: &str) -> bool {
    let count = |line: &str| -> Option<usize> {
        line.strip_prefix("running ")?.split(' ').next()?.parse().ok()
    };
    line.contains("cargo test") && output.lines().filter_map(count).sum::<usize>() == 0
}

/// The compiler's first error in an output, with its place: many commands may fail of the same one.
pub fn compile_error(output: &str) -> Option<String> {
    if !output.contains("error: could not compile") {
        return None;
    }
    let mut lines = output.lines().skip_while(|line| !line.starts_with("error"));
    let (error, place) = (lines.next()?, lines.next().unwrap_or_default());
    Some(format!("{error}\n{place}"))
}

/// Starts a command that runs meanwhile, and waits for its first line: a server that says where it
/// serves can be asked.
fn started(root: &Path, line: &str, limit: Duration) -> io::Result<Child> {
    let mut child = start(root, line)?;
    let output = child.stdout.take();
    let (sender, receiver) = mpsc::channel();
    // It reads on, so that the command is never held up by a full pipe, and ends with the command.
    std::thread::spawn(move || {
        for line in output.into_iter().flat_map(|o| BufReader::new(o).lines()) {
            // After the first line nobody listens.
            let _ = sender.send(line);
        }
    });
    match receiver.recv_timeout(limit) {
        Ok(Ok(_)) => Ok(child),
        _ => {
            end(&mut child);
            child.wait()?;
            let message =
                format!("`{line}` ended, or printed nothing, before it could be used");
            Err(io::Error::other(message))
        }
    }
}

fn start(root: &Path, line: &str) -> io::Result<Child> {
    let mut process = Process::new("sh");
    process
        .args(["-c", line])
        .current_dir(root)
        .env("CARGO_TERM_QUIET", "true")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut process, 0);
    process.spawn()
}

/// Ends a command with everything that it started.
fn end(child: &mut Child) {
    if cfg!(unix) {
        process::end_group(child.id());
    } else {
        // One that has ended by itself is as good.
        let _ = child.kill();
    }
}

/// Takes out colours, and the name of the folder in which this was run.
fn clean(text: &str, root: &Path) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => {
                // An escape sequence ends with a letter.
                chars.by_ref().find(char::is_ascii_alphabetic);
            }
            '\r' => {}
            c => out.push(c),
        }
    }
    out.replace(&root.display().to_string(), ".")
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn command(line: &str, seconds: u64) -> Command {
        Command { seconds, ..Command::mentioned(line) }
    }

    #[test]
    fn both_outputs_come_in_order_and_without_this_folder() {
        let root = std::env::temp_dir();
        let ran = run(&root, &command("echo one; echo two >&2; pwd; exit 3", 60)).unwrap();
        assert_eq!(ran.status, 3);
        assert!(ran.output.starts_with("one\ntwo\n"), "{}", ran.output);
        assert!(ran.output.lines().count() == 3);
    }

    #[test]
    fn a_filter_that_names_no_test_is_told() {
        let none = "\nrunning 0 tests\n\ntest result: ok.\n";
        assert!(tested_nothing("cargo test -p a gone", none));
        assert!(!tested_nothing("cargo test", &format!("{none}\nrunning 2 tests\n..\n")));
        assert!(!tested_nothing("cargo run", none));
    }

    #[test]
    fn commands_that_fail_of_one_error_are_recognised() {
        let error = "error[E0425]: cannot find value `x`\n --> src/lib.rs:3:5\n  |\n";
        let of = |package: &str| {
            format!("it printed\n{error}error: could not compile `{package}` (lib)\n")
        };
        assert_eq!(compile_error(&of("a")), compile_error(&of("b")));
        assert!(compile_error(&of("a")).is_some_and(|told| told.ends_with("src/lib.rs:3:5")));
        assert_eq!(compile_error("error: expected 200, found 404\n"), None);
    }

    #[test]
    fn what_does_not_end_is_ended_with_its_children() {
        let error =
            run(&std::env::temp_dir(), &command("sleep 1000 & sleep 1000", 0)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_command_waits_for_what_runs_meanwhile() {
        let root = std::env::temp_dir();
        let file = root.join(format!("weave-run-{}", std::process::id()));
        let with = |line: &str| Command {
            with: Some(line.to_owned()),
            ..command(&format!("test -e '{}' && echo there", file.display()), 60)
        };
        let server = format!("sleep 0.2; : > '{}'; echo ready; sleep 1000", file.display());
        let ran = run(&root, &with(&server)).unwrap();
        std::fs::remove_file(&file).unwrap();
        assert_eq!((ran.status, ran.output.as_str()), (0, "there\n"));
        assert!(
            run(&root, &with("exit 1")).unwrap_err().to_string().contains("before it could")
        );
    }

    #[test]
    fn colours_are_taken_out() {
        assert_eq!(clean("\u{1b}[1;31mred\u{1b}[0m\r\n", Path::new("/nowhere")), "red\n");
    }
}
