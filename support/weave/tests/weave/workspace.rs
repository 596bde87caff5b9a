//! A small workspace with a book, written anew for each test, so that each can break it in its way.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A workspace in a folder of its own, which goes with it.
pub(crate) struct Workspace(PathBuf);

const BOOK: &str = r#"[book]
title = "A book"
[build]
create-missing = false
[preprocessor.weave]
command = "weave"
renderers = ["html"]
before = ["links"]
[output.html]
input-404 = ""
[output.html.playground]
runnable = false
"#;

const OLD: &str = r#"//! What the pool was.

/// The most that wait.
pub const MOST: usize = 4 * 1024;

/// A pool.
pub struct Pool {
    free: usize,
}

impl Pool {
    /// Takes one.
    pub(crate) fn checkout(&mut self) -> bool {
        let found = self.free > 0;
        wake(found);
        found
    }
}

fn wake(_: bool) {}
"#;

const NEW: &str = r#"//! What the pool is.

/// A pool.
pub struct Pool {
    free: usize,
}

impl Pool {
    /// Takes one.
    pub(crate) fn checkout(&mut self) -> bool {
        let found = self.free > 0;
        found
    }
}
"#;

const LIMITS: &str = r#"//! How much.

/// The least.
pub const LEAST: usize = 1;

#[cfg(test)]
mod tests {
    const LEAST: usize = 2;
}
"#;

const LEDGER: &str = r#"[stage1-rotor.pool]
pooling = ["MOST", "Pool", "impl Pool", "Pool::checkout"]
wakeup = ["wake"]
[stage2-mio.pool]
pooling = ["Pool", "impl Pool", "Pool::checkout"]
[stage3-tokio.pool]
pooling = ["Pool", "impl Pool", "Pool::checkout"]
[client-core]
surface = ["lib"]
"timers also pooling" = ["limits"]
"#;

const DONE_BY: &str = r#"[stage1-rotor.pool]
"MOST" = { gone = "nothing has a fixed size" }
"wake" = "stage2-mio::pool::Pool::checkout"
"#;

impl Workspace {
    /// Three stages of one file each, all of them shown, what they share, and a page with this text.
    pub(crate) fn new(page: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("weave-test-{}-{number}", std::process::id());
        let this = Self(std::env::temp_dir().join(name));
        this.write(
            "Cargo.toml",
            "[workspace]\nmembers = [\"stage1-rotor\", \"stage2-mio\", \"stage3-tokio\", \"client-core\"]\n",
        );
        for (stage, pool) in [("stage1-rotor", OLD), ("stage2-mio", NEW), ("stage3-tokio", NEW)]
        {
            this.write(
                &format!("{stage}/Cargo.toml"),
                &format!("[package]\nname = \"{stage}\"\n"),
            );
            this.write(&format!("{stage}/src/lib.rs"), "//! A stage.\n\npub mod pool;\n");
            this.write(&format!("{stage}/src/pool.rs"), pool);
        }
        this.write("client-core/Cargo.toml", "[package]\nname = \"client-core\"\n");
        this.write("client-core/src/lib.rs", "//! What they share.\n\npub mod limits;\n");
        this.write("client-core/src/limits.rs", LIMITS);
        this.write("book/book.toml", BOOK);
        this.write(
            "book/src/SUMMARY.md",
            "# Summary\n\n- [A page](page.md)\n- [Code](code.md)\n",
        );
        this.write("book/src/page.md", page);
        let all = "{{#sources stage1-rotor}}\n\n{{#sources stage2-mio}}\n\n{{#sources stage3-tokio}}\n";
        this.write("book/src/code.md", &format!("# Code\n\n{all}"));
        this
    }

    /// The same with a ledger, its picture, and the list of deletions.
    pub(crate) fn with_ledger(page: &str) -> Self {
        let this = Self::new(page);
        this.write("book/ledger.toml", LEDGER);
        this.write("book/now-done-by.toml", DONE_BY);
        this.draw();
        this
    }

    /// Draws the ledger's picture, as `weave ledger --write` does.
    pub(crate) fn draw(&self) {
        let tree = weave::sources::Tree::open(&self.0).unwrap();
        let book = self.0.join("book");
        let ledger = weave::ledger::read(&tree, &book).unwrap();
        let picture = weave::ledger::picture::file(&ledger);
        self.write(&format!("book/{}", weave::ledger::picture::FILE), &picture);
    }

    /// The workspace's folder.
    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    /// Writes a file, below the root.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Puts one text for another in a file.
    pub(crate) fn replace(&self, path: &str, old: &str, new: &str) {
        let text = self.read(path);
        assert!(text.contains(old), "{path} has no `{old}`");
        self.write(path, &text.replacen(old, new, 1));
    }

    /// Reads a file.
    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.0.join(path)).unwrap()
    }

    /// Builds the book; the problems as lines, if there are any.
    pub(crate) fn build(&self) -> Result<weave::Report, Vec<String>> {
        weave::build(&self.0, |_| {})
            .map_err(|found| found.0.iter().map(ToString::to_string).collect())
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        // What cannot be removed lies in the system's folder for such things.
        let _ = fs::remove_dir_all(&self.0);
    }
}
