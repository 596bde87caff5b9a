//! Builds the book, and serves it on the loopback.

use std::{
    error::Error,
    fs, io,
    path::{Component, Path, PathBuf},
    process::Command,
    thread,
};

use testbed::{Server, reply::respond, server::Options};

/// Where the built pages lie, below the workspace's root.
const PAGES: &str = "book/book";

/// Builds the book with every warning an error.
///
/// The tool runs as a process of its own, from a debug build, so that an optimised build of the
/// tour need not compile mdBook.
pub(crate) fn build() -> Result<(), Box<dyn Error>> {
    eprintln!(
        "Building the book from the sources as they stand (its tool is compiled first) ..."
    );
    weave("build", "the book was not built: see above")
}

/// Prints the ledger, and how to read it.
pub(crate) fn ledger() -> Result<(), Box<dyn Error>> {
    eprintln!("Counting the sources as they stand (the book's tool is compiled first) ...");
    weave("ledger", "the ledger does not fit the sources: see above")
}

/// Runs one of the tool's commands.
fn weave(command: &str, failed: &'static str) -> Result<(), Box<dyn Error>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut weave = Command::new(cargo);
    weave.args(["run", "--quiet", "--locked", "--package", "weave", "--", command]);
    match weave.current_dir(root()?).status()? {
        status if status.success() => Ok(()),
        _ => Err(failed.into()),
    }
}

/// Serves the built book until the process is interrupted.
pub(crate) fn serve() -> Result<(), Box<dyn Error>> {
    let server = start(root()?.join(PAGES))?;
    println!("The book is at {} until you interrupt this (Ctrl-C).", server.url("/index.html"));
    loop {
        thread::park();
    }
}

/// Serves the files of a folder on a free port.
fn start(folder: PathBuf) -> io::Result<Server> {
    Options::new().unrecorded().start(move |connection| {
        while let Some(request) = connection.next_request()? {
            connection.send(answer(&folder, request.target()))?;
        }
        Ok(())
    })
}

fn answer(folder: &Path, target: &str) -> Vec<u8> {
    let path = target.split(['?', '#']).next().unwrap_or_default().trim_start_matches('/');
    let path = Path::new(if path.is_empty() { "index.html" } else { path });
    // Nothing above the folder, whatever the request says.
    let below = path.components().all(|part| matches!(part, Component::Normal(_)));
    let file = below.then(|| fs::read(folder.join(path)));
    match file {
        Some(Ok(bytes)) => respond(200, &[("content-type", kind(path))], bytes),
        _ => respond(404, &[("content-type", "text/plain")], "there is no such page\n"),
    }
}

fn kind(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css",
        Some("js") => "text/javascript",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}

/// The workspace: the folder here or above that has the book.
pub(crate) fn root() -> Result<PathBuf, String> {
    let here = std::env::current_dir().map_err(|error| error.to_string())?;
    let found = here.ancestors().find(|folder| folder.join("book/book.toml").exists());
    found.map(Path::to_owned).ok_or_else(|| {
        "expected to be started within the repository: no book/book.toml here or above".into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_served_with_its_kind_and_nothing_above_the_folder_is() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let text =
            |target: &str| String::from_utf8_lossy(&answer(&folder, target)).into_owned();
        assert!(text("/main.rs?x#y").starts_with("HTTP/1.1 200 "));
        assert!(text("/../Cargo.toml").starts_with("HTTP/1.1 404 "));
        assert!(text("//etc/passwd").starts_with("HTTP/1.1 404 "));
        assert!(text("/none.html").starts_with("HTTP/1.1 404 "));
        assert_eq!(kind(Path::new("a/b.html")), "text/html; charset=utf-8");
    }
}
