//! Serves the built book on the loopback.

use std::{
    error::Error,
    fs, io,
    path::{Component, Path, PathBuf},
    process::Command,
    thread,
};

use testbed::{
    Server,
    reply::respond,
    server::{Connection, Options, Request},
};

use crate::{
    args::Serving,
    book,
    claim::Claim,
    interrupt,
    parts::Parts,
    screen::{self, Strong, say},
};

type Failure = Box<dyn Error>;

/// Where the built pages lie, below the workspace's root.
const PAGES: &str = "book/book";

/// The port, if none is asked for and it is free.
const PORT: u16 = 3000;

/// Builds the book and serves it.
///
/// # Errors
///
/// As [`serve`]; and another tour that serves this folder's book already.
pub(crate) fn build_and_serve(serving: Serving) -> Result<(), Failure> {
    let claim = Claim::to_serve(&book::root()?)?;
    let mut parts = Parts::default();
    parts.attempt("the book", book::build)?;
    serve(serving, claim, &parts)
}

/// Serves the built book until the process is interrupted.
///
/// # Errors
///
/// If there is no page to serve, or the port is taken.
pub(crate) fn serve(serving: Serving, mut claim: Claim, parts: &Parts) -> Result<(), Failure> {
    let folder = book::root()?.join(PAGES);
    if let Err(failed) = parts.verdict() {
        if !folder.join("index.html").exists() {
            return Err(failed);
        }
        screen::report(format_args!(
            "{failed}\nThe pages that are served may be those of an earlier build."
        ));
    }
    let server = listen(serving.port, &folder)?;
    let url = format!("http://localhost:{}/", server.addr().port());
    claim.serves_at(&url)?;
    interrupt::only_serving(parts.have_failed());
    say(format_args!("The book is at {} until you interrupt this (Ctrl-C).", Strong(&url)))?;
    if serving.open {
        open(&url);
    }
    loop {
        thread::park();
    }
}

/// Listens on the port that was asked for, or on the default one or a free one.
fn listen(port: Option<u16>, folder: &Path) -> Result<Server, Failure> {
    if let Some(port) = port {
        return start(port, folder)
            .map_err(|error| format!("port {port} of the loopback: {error}").into());
    }
    match start(PORT, folder) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            say(format_args!("Port {PORT} is taken, so the system chooses another one."))?;
            Ok(start(0, folder)?)
        }
        other => Ok(other?),
    }
}

/// Serves the files of a folder.
fn start(port: u16, folder: &Path) -> io::Result<Server> {
    let folder = PathBuf::from(folder);
    Options::new().port(port).unrecorded().start(move |connection| talk(connection, &folder))
}

fn talk(connection: &mut Connection, folder: &Path) -> io::Result<()> {
    while let Some(request) = connection.next_request()? {
        connection.send(answer(folder, &request))?;
        let last = request.header("connection");
        if last.is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            connection.half_close()?;
            return connection.wait_closed();
        }
    }
    Ok(())
}

fn answer(folder: &Path, request: &Request) -> Vec<u8> {
    match request.method() {
        "GET" => page(folder, request.target()),
        "HEAD" => {
            let mut response = page(folder, request.target());
            let end = response.windows(4).position(|bytes| bytes == b"\r\n\r\n");
            response.truncate(end.map_or(0, |end| end + 4));
            response
        }
        _ => respond(405, &[("allow", "GET, HEAD")], ""),
    }
}

fn page(folder: &Path, target: &str) -> Vec<u8> {
    let path = target.split(['?', '#']).next().unwrap_or_default().trim_start_matches('/');
    let path = Path::new(if path.is_empty() { "index.html" } else { path });
    // Nothing above the folder, whatever the request says.
    let below = path.components().all(|part| matches!(part, Component::Normal(_)));
    let file = below.then(|| fs::read(folder.join(path)));
    match file {
        // A page that was built again is read again.
        Some(Ok(bytes)) => {
            respond(200, &[("content-type", kind(path)), ("cache-control", "no-cache")], bytes)
        }
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

/// Opens a page with what the system has for it.
fn open(url: &str) {
    let (program, arguments): (_, &[&str]) = match () {
        () if cfg!(windows) => ("cmd", &["/c", "start", url]),
        () if cfg!(target_os = "macos") => ("open", &[url]),
        () => ("xdg-open", &[url]),
    };
    match weave::process::status(Command::new(program).args(arguments)) {
        Ok(status) if status.success() => {}
        Ok(status) => {
            screen::report(format_args!("No browser was opened: {program}: {status}"))
        }
        Err(error) => screen::report(format_args!("No browser was opened: {program}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_served_with_its_kind_and_nothing_above_the_folder_is() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let text = |target: &str| String::from_utf8_lossy(&page(&folder, target)).into_owned();
        assert!(text("/main.rs?x#y").starts_with("HTTP/1.1 200 "));
        assert!(text("/../Cargo.toml").starts_with("HTTP/1.1 404 "));
        assert!(text("//etc/passwd").starts_with("HTTP/1.1 404 "));
        assert!(text("/none.html").starts_with("HTTP/1.1 404 "));
        assert_eq!(kind(Path::new("a/b.html")), "text/html; charset=utf-8");
    }
}
