//! The guide: `cargo run --release`.
//!
//! Each part is a module with one function; this file has the command line. What measures says so
//! when it runs from a debug build.

#![forbid(unsafe_code)]

mod run;
mod serve;

use std::{error::Error, io, process::ExitCode};

const HELP: &str = "\
The tour: one client, three I/O models.

Usage: cargo run --release [-- PART]

Parts (all that suit a first look, if none is named):
  run              lets the three clients talk to a server on the loopback
  serve [--port N] the server alone, for curl and for the stages' examples (default port 8080)

Options:
  -h, --help       this text
";

/// What the command line asks for.
enum Part {
    Help,
    Run,
    Serve { port: u16 },
}

fn main() -> ExitCode {
    let part = match parse() {
        Ok(part) => part,
        Err(error) => {
            eprintln!("tour: {error}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match go(part) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever closed the pipe has read enough.
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tour: {error}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

fn parse() -> Result<Part, lexopt::Error> {
    use lexopt::prelude::*;

    let mut args = lexopt::Parser::from_env();
    let mut part = Part::Run;
    while let Some(arg) = args.next()? {
        match arg {
            Short('h') | Long("help") => return Ok(Part::Help),
            Value(name) if name == "run" => part = Part::Run,
            Value(name) if name == "serve" => part = Part::Serve { port: 8080 },
            Value(name) => {
                return Err(format!("expected run or serve, found {}", name.display()).into());
            }
            Long("port") => match &mut part {
                Part::Serve { port } => *port = args.value()?.parse()?,
                _ => return Err("--port goes with serve".into()),
            },
            other => return Err(other.unexpected()),
        }
    }
    Ok(part)
}

fn go(part: Part) -> Result<(), Box<dyn Error>> {
    match part {
        Part::Help => print!("{HELP}"),
        Part::Run => run::all()?,
        Part::Serve { port } => serve::until_interrupted(port)?,
    }
    Ok(())
}
