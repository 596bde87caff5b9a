//! The real migration, as data: what hyper's own commit deleted and added, from `book/hyper.toml`.

use std::fmt::Write;
use std::path::Path;

use serde::Deserialize;

use crate::render::html::{escape, thousands};

/// The file, relative to the book's folder.
pub const FILE: &str = "hyper.toml";

/// A commit of another project, counted by `git`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct History {
    /// Where the commit can be looked at.
    repository: String,
    /// Its name.
    commit: String,
    /// What it says that it does.
    title: String,
    /// The whole commit.
    whole: Change,
    /// Its sources alone.
    src: Change,
    /// File by file; what is not named is in the sum only.
    file: Vec<File>,
}

/// Lines as `git diff --numstat` counts them: comments and blanks too.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    files: u64,
    added: u64,
    deleted: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    path: String,
    added: u64,
    deleted: u64,
}

/// The table.
///
/// # Errors
/// A file that is missing or has another shape.
pub fn table(book: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(book.join(FILE)).map_err(|e| format!("{FILE}: {e}"))?;
    let history: History =
        toml::from_str(&text).map_err(|e| format!("{FILE}: {}", e.message()))?;
    let link = format!("{}/commit/{}", history.repository, history.commit);
    let mut out = format!(
        "<div class=\"w-table\">\n<table>\n<caption><a href=\"{}\">{}</a>: {}</caption>\n\
         <thead><tr><th scope=\"col\">file</th><th scope=\"col\" class=\"n\">− deleted</th>\
         <th scope=\"col\" class=\"n\">+ added</th></tr></thead>\n<tbody>\n",
        escape(&link),
        escape(&history.commit),
        escape(&history.title)
    );
    for file in &history.file {
        let name = format!("<code>{}</code>", escape(&file.path));
        row(&mut out, "", &name, file.deleted, file.added);
    }
    let Change { files, added, deleted } = history.src;
    row(
        &mut out,
        " class=\"sum\"",
        &format!("<code>src</code>, {files} files"),
        deleted,
        added,
    );
    let Change { files, added, deleted } = history.whole;
    row(&mut out, " class=\"sum\"", &format!("whole commit, {files} files"), deleted, added);
    out.push_str("</tbody>\n</table>\n</div>\n");
    Ok(out)
}

fn row(out: &mut String, class: &str, name: &str, deleted: u64, added: u64) {
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "<tr{class}><th scope=\"row\">{name}</th><td class=\"n\">−{}</td><td class=\"n\">+{}</td></tr>",
        thousands(deleted),
        thousands(added)
    );
}
