//! The guide: `cargo run --release`.
//!
//! Each part is a module with one function; `args` reads the command line. What measures says so
//! when it runs from a debug build.

#![forbid(unsafe_code)]

mod args;
mod bench;
mod book;
mod claim;
mod compare;
mod guide;
mod interrupt;
mod pages;
mod parts;
mod run;
mod screen;
mod serve;
mod soak;
mod trace;

use std::{error::Error, process::ExitCode};

use args::{HELP, Part};

fn main() -> ExitCode {
    let part = match Part::from_env() {
        Ok(part) => part,
        Err(error) => {
            eprintln!("tour: {error}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match go(part) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever closed the pipe has read enough.
        Err(error) if parts::is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            screen::report(format_args!("tour: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn go(part: Part) -> Result<(), Box<dyn Error>> {
    interrupt::watch()?;
    match part {
        Part::Help => screen::say(HELP.trim_end()),
        Part::Tour(serving) => guide::all(serving),
        Part::Run => run::all(),
        Part::Compare => compare::all(),
        Part::Book(None) => book::build(),
        Part::Book(Some(serving)) => pages::build_and_serve(serving),
        Part::Bench { quick } => bench::compare(quick),
        Part::Trace(mode) => trace::all(mode),
        Part::Ledger => book::ledger(),
        Part::Serve { port, tls } => serve::until_interrupted(port, tls),
        Part::Soak(options) => soak::run(&options),
    }
}
