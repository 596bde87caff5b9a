//! The command line of `weave`.
//!
//! Without arguments it is the preprocessor that mdBook calls: a book on standard input, the
//! expanded book on standard output.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use mdbook_preprocessor::Preprocessor;

use crate::book::{self, preprocess::Weave};
use crate::commands::{Output, collect, recording, run};
use crate::sources::Tree;
use crate::{done_by, ledger, rules};

const USAGE: &str = "\
weave: the book's tool (run it from the workspace's root)
  weave build                 build and check book/, every warning an error
  weave commands --list       the commands that the book tells its reader to run
  weave commands --record [TEXT]   run those that hold TEXT, and keep what they print
  weave commands --check [TEXT]    run them, and fail where one ends otherwise than the book says
  weave ledger                print the ledger
  weave ledger --files        lines of code of each file that the ledger counts, for another counter
  weave ledger --propose      entries that the ledger lacks, guessed, to be put in by hand
  weave ledger --write        draw book/ledger.svg, which the README shows
  weave rules                 check the rules of the code that CONTRIBUTING.md names
  weave names                 type names that are defined more than once, and what they mean
  weave done-by --propose     deleted items for which book/now-done-by.toml has no entry
  weave                       the preprocessor, as mdBook calls it";

/// Runs a command line.
pub fn main(arguments: &[String]) -> ExitCode {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        [] => preprocess(),
        ["supports", renderer] => {
            return if *renderer == "html" { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
        ["build"] => build(),
        ["commands", "--list"] => list(),
        ["commands", mode @ ("--record" | "--check"), rest @ ..] if rest.len() <= 1 => {
            commands(*mode == "--record", rest.first().copied().unwrap_or_default())
        }
        ["ledger"] => print_ledger(),
        ["ledger", "--files"] => print_files(),
        ["ledger", "--propose"] => propose(),
        ["ledger", "--write"] => write_picture(),
        ["rules"] => check_rules(),
        ["names"] => print_names(),
        ["done-by", "--propose"] => propose_done_by(),
        ["--help" | "-h"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn preprocess() -> Result<(), String> {
    let (context, book) =
        mdbook_preprocessor::parse_input(std::io::stdin().lock()).map_err(|e| {
            format!("weave reads a book from mdBook 0.5; `weave --help` tells more: {e}")
        })?;
    let book = Weave { tell }.run(&context, book).map_err(|e| e.to_string())?;
    serde_json::to_writer(std::io::stdout().lock(), &book).map_err(|e| e.to_string())
}

fn build() -> Result<(), String> {
    let report = book::build(&root()?, tell).map_err(|e| e.to_string())?;
    eprintln!(
        "{} pages, {} links within the book followed: {}",
        report.pages,
        report.links,
        report.index.display()
    );
    Ok(())
}

/// Progress goes to standard error, a line for each thing.
fn tell(what: &str) {
    eprintln!("weave: {what}");
}

fn list() -> Result<(), String> {
    let root = root()?;
    for found in collect::in_book(&root, &root.join("book")).map_err(|e| e.to_string())? {
        println!("{}", found.command.line);
    }
    Ok(())
}

/// Runs the commands that hold a text; progress goes to standard error.
fn commands(record: bool, text: &str) -> Result<(), String> {
    let root = root()?;
    let book = root.join("book");
    let all = collect::in_book(&root, &book).map_err(|e| e.to_string())?;
    let ours = |f: &&collect::Found| f.command.by.is_none() && f.command.line.contains(text);
    let chosen: Vec<_> = all.iter().filter(ours).collect();
    let mut failed = 0;
    // What the compiler said first, for each command that it failed.
    let mut errors: Vec<String> = Vec::new();
    for (n, found) in chosen.iter().enumerate() {
        eprintln!("[{}/{}] {}", n + 1, chosen.len(), found.command.line);
        let Err(message) = one(&root, &book, found, record) else { continue };
        failed += 1;
        match run::compile_error(&message) {
            Some(error) if errors.contains(&error) => eprintln!("the same error as before"),
            error => {
                eprintln!("{}:{}: {message}", found.file, found.line);
                errors.extend(error);
            }
        }
    }
    match failed {
        0 => Ok(()),
        n => Err(format!("{n} of {} commands did not do what the book says", chosen.len())),
    }
}

fn one(root: &Path, book: &Path, found: &collect::Found, record: bool) -> Result<(), String> {
    let command = &found.command;
    let ran = run::run(root, command).map_err(|e| format!("`{}`: {e}", command.line))?;
    if ran.status != command.status {
        return Err(format!(
            "`{}` ended with status {}, the book says {}; it printed\n{}",
            command.line, ran.status, command.status, ran.output
        ));
    }
    if run::tested_nothing(&command.line, &ran.output) {
        return Err(format!("`{}` runs no test", command.line));
    }
    if command.output == Output::None {
        return Ok(());
    }
    if record {
        return recording::store(book, command, &ran).map_err(|e| e.to_string());
    }
    let recorded = recording::load(book, command)?;
    if command.output == Output::Exact && recorded.output != ran.output {
        return Err(format!("`{}` now prints\n{}", command.line, ran.output));
    }
    Ok(())
}

fn print_ledger() -> Result<(), String> {
    let root = root()?;
    let tree = Tree::open(&root).map_err(|e| e.to_string())?;
    let counted = ledger::read(&tree, &root.join("book")).map_err(|e| e.to_string())?;
    print!("{}", ledger::text::text(&counted));
    Ok(())
}

fn print_files() -> Result<(), String> {
    let tree = Tree::open(&root()?).map_err(|e| e.to_string())?;
    for (path, lines) in ledger::count::files(&tree).map_err(|e| e.to_string())? {
        println!("{path},{lines}");
    }
    Ok(())
}

fn propose() -> Result<(), String> {
    let root = root()?;
    let tree = Tree::open(&root).map_err(|e| e.to_string())?;
    let text =
        ledger::propose::propose(&tree, &root.join("book")).map_err(|e| e.to_string())?;
    print!("{text}");
    Ok(())
}

fn write_picture() -> Result<(), String> {
    let root = root()?;
    let book = root.join("book");
    let tree = Tree::open(&root).map_err(|e| e.to_string())?;
    let counted = ledger::read(&tree, &book).map_err(|e| e.to_string())?;
    std::fs::write(book.join(ledger::picture::FILE), ledger::picture::file(&counted))
        .map_err(|e| e.to_string())
}

fn check_rules() -> Result<(), String> {
    let tree = Tree::open(&root()?).map_err(|e| e.to_string())?;
    rules::check(&tree).map_err(|e| e.to_string())
}

fn print_names() -> Result<(), String> {
    let root = root()?;
    let tree = Tree::open(&root).map_err(|e| e.to_string())?;
    let text = std::fs::read_to_string(root.join(rules::names::FILE)).unwrap_or_default();
    let meanings = rules::names::parse(&text).map_err(|e| e.to_string())?;
    print!("{}", rules::names::text(&tree, &meanings).map_err(|e| e.to_string())?);
    Ok(())
}

/// Deleted items without an entry, as lines for the file.
fn propose_done_by() -> Result<(), String> {
    let root = root()?;
    let tree = Tree::open(&root).map_err(|e| e.to_string())?;
    print!("{}", done_by::propose(&tree, &root.join("book")).map_err(|e| e.to_string())?);
    Ok(())
}

/// The workspace around the current folder.
fn root() -> Result<PathBuf, String> {
    let here = std::env::current_dir().map_err(|e| e.to_string())?;
    here.ancestors()
        .find(|folder| folder.join("book/book.toml").exists())
        .map(Path::to_owned)
        .ok_or_else(|| "no folder here or above has a book/book.toml".to_owned())
}
