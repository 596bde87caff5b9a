//! What tools count from outside: system calls (`strace`) and user instructions (`valgrind`).
//!
//! Both are the difference of two runs of different length, so that starting costs nothing.
//! Where loop and callers are threads of their own on one processor, the system switches to the caller
//! at the first answer of a turn, and back: two calls for each answer, with strace and without it.

use std::{
    env, fs,
    path::Path,
    process::{self, Command, Stdio},
};

use super::{
    Failure,
    programs::{Programs, Server},
};
use crate::screen;

/// A program that counts what another one does.
#[derive(Clone, Copy)]
pub(super) enum Tool {
    /// System calls, with 64 callers.
    Strace,
    /// User instructions, with 16 callers.
    Callgrind,
}

impl Tool {
    fn program(self) -> &'static str {
        match self {
            Tool::Strace => "strace",
            Tool::Callgrind => "valgrind",
        }
    }

    /// Whether it is there.
    fn works(self) -> bool {
        let mut version = Command::new(self.program());
        version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        version.status().is_ok_and(|status| status.success())
    }

    /// Callers, and the two lengths in calls.
    fn load(self) -> (usize, [u64; 2]) {
        match self {
            Tool::Strace => (64, [1000, 6000]),
            Tool::Callgrind => (16, [500, 2500]),
        }
    }

    fn command(self, report: &Path) -> Command {
        let mut command = Command::new(self.program());
        match self {
            Tool::Strace => command.args(["-f", "-c", "-o"]).arg(report),
            Tool::Callgrind => {
                command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
                command.arg(format!("--log-file={}", report.display()))
            }
        };
        command
    }

    fn read(self, report: &str) -> Option<u64> {
        match self {
            // % time, seconds, usecs/call, calls, errors, syscall
            Tool::Strace => {
                let total = report.lines().find(|line| line.ends_with(" total"))?;
                total.split_whitespace().nth(3)?.parse().ok()
            }
            Tool::Callgrind => {
                let collected =
                    report.lines().find_map(|line| line.split_once("Collected :"))?;
                collected.1.trim().parse().ok()
            }
        }
    }

    /// Counts per call, for each subject; `None` if the tool is not there.
    pub(super) fn count(
        self,
        programs: &Programs,
        subjects: &[String],
    ) -> Result<Option<Vec<f64>>, Failure> {
        if !self.works() {
            let program = self.program();
            screen::report(format_args!(
                "bench: no {program}, what it would count is left out"
            ));
            return Ok(None);
        }
        let server = Server::start(&programs.compare)?;
        let (callers, [few, many]) = self.load();
        let count = |subject: &String| {
            screen::tell(subject);
            let run = |calls| self.run(&programs.compare, &server, subject, callers, calls);
            Ok(run(many)?.saturating_sub(run(few)?) as f64 / (many - few) as f64)
        };
        let what = format!("bench: {} counts", self.program());
        screen::during(&what, || subjects.iter().map(count).collect::<Result<_, _>>()).map(Some)
    }

    fn run(
        self,
        compare: &Path,
        server: &Server,
        subject: &str,
        callers: usize,
        calls: u64,
    ) -> Result<u64, Failure> {
        let report = env::temp_dir().join(format!("{}-{}", self.program(), process::id()));
        let mut command = self.command(&report);
        let numbers = [callers.to_string(), calls.to_string()];
        command.arg(compare).args(["load", subject]).args(numbers).arg(&server.address);
        let status = weave::process::status(&mut command)?;
        let text = fs::read_to_string(&report)?;
        fs::remove_file(&report)?;
        let count = self.read(&text).filter(|_| status.success());
        count.ok_or_else(|| format!("{} {subject}: {status}\n{text}", self.program()).into())
    }
}
