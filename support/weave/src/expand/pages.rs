//! Which page shows which file as a whole, so that every listing can link to it.

use std::collections::BTreeMap;

use crate::directive::{Part, parse};
use crate::render::html::slug;
use crate::sources::{Source, Target, Tree, find};

/// File path to the page that shows it.
#[derive(Debug, Default)]
pub struct Pages(BTreeMap<String, String>);

impl Pages {
    /// Notes the files that a chapter shows as a whole. What is wrong with its directives is
    /// reported when they are expanded.
    pub fn note(&mut self, tree: &Tree, page: &str, text: &str) {
        for part in parse(text).unwrap_or_default() {
            let Part::Directive(directive, _) = part else { continue };
            if !matches!(directive.name.as_str(), "sources" | "file") {
                continue;
            }
            match find::find(tree, &directive.subject) {
                Ok(Target::Package(files)) => {
                    for file in files.iter().filter(|f| in_src(f)) {
                        self.0.insert(file.path.clone(), page.to_owned());
                    }
                }
                Ok(Target::File(file)) => {
                    self.0.entry(file.path.clone()).or_insert_with(|| page.to_owned());
                }
                _ => {}
            }
        }
    }

    /// The address of a file's line as a link from a page; the line must start an item, or be 1.
    pub fn link(&self, from: &str, source: &Source, line: usize) -> Option<String> {
        let page = self.0.get(&source.path)?;
        let anchor = match source.item_at(line) {
            Some(item) => item_anchor(source, &item.path),
            None => file_anchor(source),
        };
        let file = if page == from { String::new() } else { relative(from, page) };
        Some(format!("{file}#{anchor}"))
    }
}

/// Whether a file belongs to the package's `src/`.
pub fn in_src(source: &Source) -> bool {
    source.path.split('/').any(|part| part == "src")
}

/// The identifier of a whole file's heading.
pub fn file_anchor(source: &Source) -> String {
    format!("file-{}", slug(&source.path))
}

/// The identifier of an item's first line on the page that shows its file.
pub fn item_anchor(source: &Source, path: &str) -> String {
    format!("src-{}-{}", slug(&source.path), slug(path))
}

/// The address of a page, seen from another one.
pub fn relative(from: &str, to: &str) -> String {
    let to =
        to.strip_suffix(".md").map_or_else(|| to.to_owned(), |stem| format!("{stem}.html"));
    let up = "../".repeat(from.matches('/').count());
    format!("{up}{to}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_relative() {
        assert_eq!(relative("a/b.md", "sources/x.md"), "../sources/x.html");
        assert_eq!(relative("b.md", "x.md"), "x.html");
    }
}
