//! The preprocessor as mdBook calls it, and the commands that a maintainer of the book needs.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    weave::cli::main(&arguments)
}
