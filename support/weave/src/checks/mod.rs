//! Checks over the built pages.

pub mod page;
pub mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::problem::{Problem, Problems};
use crate::sources::tree::slashed;
use page::Page;

/// What was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// Pages.
    pub count: usize,
    /// Links within the book.
    pub links: usize,
}

/// Checks every page of a built book: identifiers are unique, links within the book lead
/// somewhere, nothing is loaded from the network, and no directive is left.
///
/// # Errors
/// A folder that cannot be read. What the pages are found to have wrong goes to `problems`.
pub fn pages(
    html: &Path,
    src: &Path,
    problems: &mut Vec<Problem>,
) -> Result<Checked, Problems> {
    let mut files = BTreeSet::new();
    walk(html, &mut files).map_err(|e| Problem::of(slashed(html), e.to_string()))?;
    let mut pages = BTreeMap::new();
    for path in files.iter().filter(|p| p.extension().is_some_and(|e| e == "html")) {
        let name = slashed(path.strip_prefix(html).unwrap_or(path));
        let text =
            fs::read_to_string(path).map_err(|e| Problem::of(name.clone(), e.to_string()))?;
        pages.insert(name, Page::read(&text));
    }
    let mut links = 0;
    for (name, page) in &pages {
        problems.extend(page.found(name));
        // What is broken in a copy is broken on the page that it was copied from.
        let links_of = if is_copy(name) { &[] } else { page.links.as_slice() };
        for (line, link) in links_of {
            links += 1;
            if let Err(message) = follow(html, &files, &pages, name, link) {
                problems.push(in_chapter(src, name, *line, link, &message));
            }
        }
    }
    network_in_styles(&files, html, problems);
    Ok(Checked { count: pages.len(), links })
}

/// Pages that repeat the text of others: all chapters for printing, and the first one.
fn is_copy(name: &str) -> bool {
    matches!(name, "print.html" | "index.html")
}

/// Names the chapter's line if the link stands in its text, else the built page's.
fn in_chapter(src: &Path, name: &str, line: usize, link: &str, message: &str) -> Problem {
    let chapter = name.replace(".html", ".md");
    let text = fs::read_to_string(src.join(&chapter)).unwrap_or_default();
    let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
    let written = [
        format!("({}", path.replace(".html", ".md")),
        format!("({path}"),
        format!("\"{path}"),
        format!("]: {}", path.replace(".html", ".md")),
    ];
    let holds = |l: &str| written.iter().any(|w| l.contains(w)) && l.contains(fragment);
    match text.lines().position(holds) {
        Some(n) => Problem::at(format!("book/src/{chapter}"), n + 1, message),
        None => Problem::at(format!("book/book/{name}"), line, message),
    }
}

/// Follows a link from a page; links to other sites are not followed.
fn follow(
    html: &Path,
    files: &BTreeSet<PathBuf>,
    pages: &BTreeMap<String, Page>,
    from: &str,
    link: &str,
) -> Result<(), String> {
    if page::is_external(link) || link.is_empty() || link.starts_with("data:") {
        return Ok(());
    }
    let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
    let path = path.split('?').next().unwrap_or_default();
    let target = resolve(from, path);
    if !files.contains(&html.join(&target)) {
        return Err(format!("`{link}` leads to no file"));
    }
    let known = |page: &Page| page.ids.contains_key(&page::decoded(fragment));
    if fragment.is_empty() || pages.get(&target).is_none_or(known) {
        return Ok(());
    }
    Err(format!("`{link}`: the page has no `{fragment}`"))
}

fn resolve(from: &str, path: &str) -> String {
    if path.is_empty() {
        return from.to_owned();
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    if path.ends_with('/') {
        parts.push("index.html");
    }
    page::decoded(&parts.join("/"))
}

fn network_in_styles(files: &BTreeSet<PathBuf>, html: &Path, problems: &mut Vec<Problem>) {
    for path in files.iter().filter(|p| p.extension().is_some_and(|e| e == "css")) {
        let text = fs::read_to_string(path).unwrap_or_default();
        for (n, line) in text.lines().enumerate() {
            let loads = line.contains("url(") || line.contains("@import");
            if loads && (line.contains("http:") || line.contains("https:")) {
                let name = slashed(path.strip_prefix(html).unwrap_or(path));
                let message = "a style sheet loads from the network".to_owned();
                problems.push(Problem::at(format!("book/book/{name}"), n + 1, message));
            }
        }
    }
}

fn walk(folder: &Path, found: &mut BTreeSet<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, found)?;
        } else {
            found.insert(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_resolved_from_their_page() {
        assert_eq!(resolve("a/b.html", "../c.html"), "c.html");
        assert_eq!(resolve("a/b.html", ""), "a/b.html");
        assert_eq!(resolve("b.html", "x/"), "x/index.html");
    }
}
