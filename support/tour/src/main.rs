//! The guide: `cargo run --release`.
//!
//! Each part is a module with one function; this file has the command line. What measures says so
//! when it runs from a debug build.

#![forbid(unsafe_code)]

mod bench;
mod book;
mod run;
mod serve;
mod soak;
mod trace;

use std::{
    error::Error,
    io::{self, IsTerminal},
    process::ExitCode,
};

const HELP: &str = "\
The tour: one client, three I/O models.

Usage: cargo run --release [-- PART]

Parts (without one: run, a first look at bench, then book --serve if this is a terminal):
  run              lets the three clients talk to a server on the loopback
  trace            records what each I/O model does in the same exchanges, side by side
    --stage N        of one stage only
    --write          keeps the recordings, where the book finds them
    --check          compares them with those that are kept
  bench [--quick]  measures them beside hyper-util, reqwest and what no client can go below
  ledger           counts the lines of each stage by what they are for
  book [--serve]   builds the book; serves it on the loopback
  serve [--port N] the server alone, for curl and for the stages' examples (default port 8080)
    --tls            speaks TLS, and says how to fetch from it
  soak             100,000 requests of each stage over a server that fails in every way
    --requests N     so many instead
    --seconds S      begins none after so much time
    --stage N        one stage only
    --seed N         as in the run that printed it

Options:
  -h, --help       this text
";

/// What the command line asks for.
enum Part {
    Help,
    All,
    Run,
    Book { serve: bool },
    Bench { quick: bool },
    Trace(trace::Mode),
    Ledger,
    Serve { port: u16, tls: bool },
    Soak(soak::Options),
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
    let mut part = Part::All;
    while let Some(arg) = args.next()? {
        match arg {
            Short('h') | Long("help") => return Ok(Part::Help),
            Value(name) if name == "run" => part = Part::Run,
            Value(name) if name == "book" => part = Part::Book { serve: false },
            Value(name) if name == "bench" => part = Part::Bench { quick: false },
            Value(name) if name == "trace" => {
                part = Part::Trace(trace::Mode::Show { stage: None });
            }
            Value(name) if name == "ledger" => part = Part::Ledger,
            Value(name) if name == "serve" => part = Part::Serve { port: 8080, tls: false },
            Value(name) if name == "soak" => {
                return Ok(Part::Soak(soak::Options::parse(&mut args)?));
            }
            Value(name) => {
                let parts = "run, trace, bench, ledger, book, serve or soak";
                return Err(format!("expected {parts}, found {}", name.display()).into());
            }
            Long("quick") => match &mut part {
                Part::Bench { quick } => *quick = true,
                _ => return Err("--quick goes with bench".into()),
            },
            Long("port") => match &mut part {
                Part::Serve { port, .. } => *port = args.value()?.parse()?,
                _ => return Err("--port goes with serve".into()),
            },
            Long("tls") => match &mut part {
                Part::Serve { tls, .. } => *tls = true,
                _ => return Err("--tls goes with serve".into()),
            },
            Long("serve") => match &mut part {
                Part::Book { serve } => *serve = true,
                _ => return Err("--serve goes with book".into()),
            },
            Long(option @ ("stage" | "write" | "check")) => {
                let option = option.to_owned();
                let Part::Trace(mode @ trace::Mode::Show { stage: None }) = &mut part else {
                    return Err(format!("--{option} goes alone with trace").into());
                };
                *mode = match option.as_str() {
                    "stage" => trace::Mode::Show { stage: Some(stage(args.value()?)?) },
                    "write" => trace::Mode::Write,
                    _ => trace::Mode::Check,
                };
            }
            other => return Err(other.unexpected()),
        }
    }
    Ok(part)
}

/// The number of a stage.
fn stage(value: std::ffi::OsString) -> Result<usize, lexopt::Error> {
    match value.to_str() {
        Some("1") => Ok(1),
        Some("2") => Ok(2),
        Some("3") => Ok(3),
        _ => Err(format!("expected --stage 1, 2 or 3, found {}", value.display()).into()),
    }
}

fn go(part: Part) -> Result<(), Box<dyn Error>> {
    match part {
        Part::Help => print!("{HELP}"),
        Part::All => all()?,
        Part::Run => run::all()?,
        Part::Book { serve } => {
            book::build()?;
            if serve {
                book::serve()?;
            }
        }
        Part::Bench { quick: true } => bench::compare(bench::Depth::Quick)?,
        Part::Bench { quick: false } => bench::compare(bench::Depth::Full)?,
        Part::Trace(mode) => trace::all(mode)?,
        Part::Ledger => book::ledger()?,
        Part::Serve { port, tls } => serve::until_interrupted(port, tls)?,
        Part::Soak(options) => soak::run(&options)?,
    }
    Ok(())
}

/// What suits a first look.
fn all() -> Result<(), Box<dyn Error>> {
    run::all()?;
    println!();
    bench::compare(bench::Depth::Glance)?;
    println!();
    book::build()?;
    // Where nobody sits, as in CI, nobody would end it.
    if io::stdout().is_terminal() { book::serve() } else { Ok(()) }
}
