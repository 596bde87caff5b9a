//! Cargo, asked for the locked packages.
//!
//! Its rules: the network is used only if something is missing, and then by `cargo fetch --locked`, which
//! changes nothing but cargo's own folder; what cargo says at length becomes one sentence with the
//! command that mends it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::problem::Problem;
use crate::process;

/// Is told how far a fetch is, in a few words.
pub type Tell = fn(&str);

/// The file that names what is needed.
const LOCK: &str = "Cargo.lock";

/// The answer of `cargo metadata` for this platform, once all sources are here.
///
/// # Errors
/// One sentence.
pub fn metadata(root: &Path, tell: Tell) -> Result<String, Problem> {
    let host = host(root)?;
    let arguments =
        ["metadata", "--locked", "--offline", "--format-version=1", "--filter-platform", &host];
    if let Ok(answer) = quietly(root, &arguments)? {
        return Ok(answer);
    }
    fetch(root, &host, tell)?;
    quietly(root, &arguments)?.map_err(|said| {
        let why = reason(said.lines());
        Problem::of(LOCK, format!("`cargo metadata --locked --offline` failed: {why}"))
    })
}

/// Fetches what is missing for this platform.
fn fetch(root: &Path, host: &str, tell: Tell) -> Result<(), Problem> {
    tell("fetching the sources of dependencies, which the book looks up");
    let mut command = cargo(root, &["fetch", "--locked", "--target", host]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let failed = |why: &str| {
        let message = format!(
            "the sources of the dependencies are not all on this machine, and fetching them \
             failed ({why}): run `cargo fetch --locked` where there is a network, then try again"
        );
        Problem::of(LOCK, message)
    };
    let mut fetch = process::start(&mut command).map_err(|error| failed(&error.to_string()))?;
    let messages = fetch.child.stderr.take();
    let (mut fetched, mut said) = (0, Vec::new());
    for line in messages.into_iter().flat_map(|pipe| BufReader::new(pipe).lines()) {
        // A line that is not UTF-8 is no package's name.
        let line = line.unwrap_or_default();
        if let Some(package) = line.trim_start().strip_prefix("Downloaded ") {
            fetched += 1;
            tell(&format!("fetching the sources of dependencies: {fetched}, {package}"));
        }
        said.push(line);
    }
    match fetch.child.wait() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(failed(&reason(said.iter().map(String::as_str)))),
        Err(error) => Err(failed(&error.to_string())),
    }
}

/// The platform that cargo builds for here.
fn host(root: &Path) -> Result<String, Problem> {
    let told = quietly(root, &["-vV"])?.unwrap_or_default();
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .ok_or_else(|| Problem::of(LOCK, "`cargo -vV` does not say its platform"))
}

/// Runs cargo, and gives what it prints; as an inner error its messages, if it fails.
fn quietly(root: &Path, arguments: &[&str]) -> Result<Result<String, String>, Problem> {
    let ran = process::output(cargo(root, arguments).stderr(Stdio::piped()))
        .map_err(|error| Problem::of(LOCK, format!("cargo cannot be run: {error}")))?;
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Ok(if ran.status.success() { Ok(text(&ran.stdout)) } else { Err(text(&ran.stderr)) })
}

/// Cargo as it runs this program, or the one on the path.
fn cargo(root: &Path, arguments: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root).env("CARGO_TERM_COLOR", "never");
    command
}

/// The innermost cause that cargo names, which says most: its messages end with it.
fn reason<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let says = |line: &&str| {
        !line.is_empty() && *line != "Caused by:" && !line.starts_with("For more information")
    };
    let lines = lines.map(str::trim).filter(says);
    let last = lines.skip_while(|line| !line.starts_with("error")).last();
    let last = last.map(|line| line.trim_start_matches("error: ").trim_end_matches('.'));
    last.unwrap_or("cargo does not say why").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_cause_is_told() {
        let said = "    Updating index\nwarning: spurious network error\nerror: failed to download `a v1.0.0`\n\nCaused by:\n  unable to get packages from source\n\nCaused by:\n  Could not resolve hostname.\n";
        assert_eq!(reason(said.lines()), "Could not resolve hostname");
        assert_eq!(reason("error: no lock file\n".lines()), "no lock file");
        assert_eq!(reason("".lines()), "cargo does not say why");
    }
}
