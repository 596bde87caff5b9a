//! The programs of `benches/`: built by cargo, and run.

use std::{
    env,
    ffi::OsStr,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;
use weave::process::{self, Running};

use super::Failure;
use crate::screen;

/// What was built, and where.
pub(super) struct Programs {
    /// The comparison, the server and the rounds.
    pub(super) compare: PathBuf,
    /// The count of allocations.
    pub(super) counters: PathBuf,
    /// Cargo's target folder.
    pub(super) target: PathBuf,
}

impl Programs {
    /// Builds them: as `cargo bench` does, or, if it has to be quick, as this program is built.
    pub(super) fn build(quick: bool) -> Result<Self, Failure> {
        screen::report("bench: building the comparison");
        let mut build = cargo();
        build.args(["bench", "--package", "benches", "--no-run", "--message-format=json"]);
        if quick {
            build.args(["--profile", "release"]);
        }
        let built = output(&mut build)?;
        let metadata = output(cargo().args(["metadata", "--no-deps", "--format-version=1"]))?;
        let metadata: Value = serde_json::from_str(&metadata)?;
        let target = metadata["target_directory"].as_str().ok_or("expected a target folder")?;
        Ok(Programs {
            compare: executable(&built, "compare")?,
            counters: executable(&built, "counters")?,
            target: target.into(),
        })
    }

    /// Criterion's groups. It draws its own plots, and shows its own progress.
    pub(super) fn criterion(&self, quick: bool) -> Result<(), Failure> {
        screen::report("bench: criterion's groups");
        let mut compare = Command::new(&self.compare);
        compare.arg("--bench").env("CARGO_TARGET_DIR", &self.target).stdout(io::stderr());
        if quick {
            compare.arg("--quick");
        }
        succeed(&mut compare)
    }

    /// A part of the comparison that prints JSON.
    pub(super) fn rounds(
        &self,
        callers: usize,
        effort: super::Effort,
    ) -> Result<Value, Failure> {
        let numbers = [callers, effort.rounds, effort.milliseconds].map(|n| n.to_string());
        let what = format!("bench: {} rounds with {callers} callers", effort.rounds);
        let json = screen::during(&what, || {
            output(Command::new(&self.compare).arg("rounds").args(numbers))
        })?;
        Ok(serde_json::from_str(&json)?)
    }

    /// Allocations per call of each subject, as JSON.
    pub(super) fn allocations(&self) -> Result<Value, Failure> {
        let json = screen::during("bench: heap allocations", || {
            output(Command::new(&self.counters).arg("--json"))
        })?;
        Ok(serde_json::from_str(&json)?)
    }
}

/// A server for programs that are counted from outside. Dropped, it ends.
pub(super) struct Server {
    process: Running,
    /// Where it listens.
    pub(super) address: String,
}

impl Server {
    pub(super) fn start(compare: &Path) -> Result<Self, Failure> {
        let mut serve = Command::new(compare);
        serve.arg("serve").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = process::start(&mut serve)?;
        let mut address = String::new();
        let stdout = process.child.stdout.take().ok_or("expected the server's output")?;
        BufReader::new(stdout).read_line(&mut address)?;
        Ok(Server { process, address: address.trim().to_owned() })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.child.stdin.take());
        // It has nothing to tell us any more, however it ended.
        let _ = self.process.child.wait();
    }
}

fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    cargo
}

/// The path of a benchmark's program in what cargo says it has built.
fn executable(built: &str, name: &str) -> Result<PathBuf, Failure> {
    let messages = built.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut benches = messages.filter(|message| message["target"]["kind"][0] == "bench");
    let found = benches.find(|message| message["target"]["name"] == name);
    let path = found.as_ref().and_then(|message| message["executable"].as_str());
    Ok(path.ok_or_else(|| format!("expected cargo to build {name}"))?.into())
}

/// What a program prints; its messages go where ours go.
pub(super) fn output(command: &mut Command) -> Result<String, Failure> {
    let output = process::output(command).map_err(|error| failed(command, error))?;
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout)?),
        false => Err(failed(command, output.status)),
    }
}

fn succeed(command: &mut Command) -> Result<(), Failure> {
    let status = process::status(command).map_err(|error| failed(command, error))?;
    if status.success() { Ok(()) } else { Err(failed(command, status)) }
}

fn failed(command: &Command, why: impl std::fmt::Display) -> Failure {
    let program = Path::new(command.get_program()).file_stem().unwrap_or(OsStr::new("?"));
    format!("{}: {why}", program.display()).into()
}
