//! One file: its text, its lines, its items.

use std::path::Path;

use super::item::{self, Item, Kind, Lines};
use super::lex::{self, LexedLine};
use crate::problem::Problem;

/// A parsed file of a crate.
#[derive(Debug)]
pub struct Source {
    /// The crate's package name.
    pub package: String,
    /// Path from the workspace's root (from the package's folder for a dependency), with `/`.
    pub path: String,
    /// The module's path in the crate; empty for `src/lib.rs`.
    pub module: String,
    /// Whether its module is declared for tests only.
    pub test: bool,
    /// The lines as they stand.
    pub lines: Vec<String>,
    /// What the lexer says of each line.
    pub lexed: Vec<LexedLine>,
    /// The items, in the order of their first lines.
    pub items: Vec<Item>,
}

impl Source {
    /// Parses a file's text.
    ///
    /// # Errors
    /// The place at which the text stops being Rust.
    pub fn parse(
        package: &str,
        path: String,
        module: String,
        text: &str,
    ) -> Result<Self, Problem> {
        let items = item::parse(&module, text)
            .map_err(|(line, message)| Problem::at(path.clone(), line, message))?;
        Ok(Self {
            package: package.to_owned(),
            path,
            module,
            test: false,
            lines: text.lines().map(str::to_owned).collect(),
            lexed: lex::lex(text),
            items,
        })
    }

    /// All lines of the file.
    pub fn whole(&self) -> Lines {
        Lines { first: 1, last: self.lines.len() }
    }

    /// Lines of code within some lines.
    pub fn code_in(&self, lines: Lines) -> usize {
        lines.iter().filter(|&line| self.is_code(line)).count()
    }

    /// Whether a line, counted from 1, holds code.
    pub fn is_code(&self, line: usize) -> bool {
        line.checked_sub(1).and_then(|n| self.lexed.get(n)).is_some_and(|l| l.code)
    }

    /// The name under which the book speaks of this file: package and module.
    pub fn name(&self) -> String {
        if self.module.is_empty() {
            self.package.clone()
        } else {
            format!("{}::{}", self.package, self.module)
        }
    }

    /// For each line the innermost item that it belongs to.
    ///
    /// The container's own lines (a block's header, blanks between members, the closing brace)
    /// belong to the container.
    pub fn owners(&self) -> Vec<Option<usize>> {
        let mut owners = vec![None; self.lines.len()];
        for (n, item) in self.items.iter().enumerate() {
            for line in item.lines.iter() {
                let Some(owner) = owners.get_mut(line - 1) else { continue };
                // Two items on one line: the first keeps it, unless the second lies inside it.
                if owner.is_none_or(|o: usize| self.lies_in(n, o)) {
                    *owner = Some(n);
                }
            }
        }
        owners
    }

    /// Whether an item stands inside a container, at any depth.
    fn lies_in(&self, item: usize, container: usize) -> bool {
        let mut parent = self.items[item].parent;
        while let Some(p) = parent {
            if p == container {
                return true;
            }
            parent = self.items[p].parent;
        }
        false
    }

    /// The innermost item at a line, declarations left out.
    pub fn item_at(&self, line: usize) -> Option<&Item> {
        self.items
            .iter()
            .filter(|i| i.kind != Kind::Declaration && i.lines.contains(line))
            .min_by_key(|i| i.lines.last - i.lines.first)
    }
}

/// The module path of a file below a package's folder.
///
/// `src/lib.rs` is the crate itself; `src/main.rs` is it too where there is no library. Files
/// outside `src/` are named by their folder: `examples::fetch`, `tests::conformance`.
pub fn module_of(path: &Path, has_lib: bool) -> String {
    let mut parts: Vec<String> =
        path.iter().map(|p| p.to_string_lossy().into_owned()).collect();
    if let Some(file) = parts.last_mut() {
        file.truncate(file.len() - ".rs".len().min(file.len()));
    }
    let in_src = parts.first().is_some_and(|p| p == "src");
    if in_src {
        parts.remove(0);
        if parts == ["lib"] || (parts == ["main"] && !has_lib) {
            parts.clear();
        }
    }
    if parts.last().is_some_and(|p| p == "mod") {
        parts.pop();
    }
    parts.join("::")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_by_their_place() {
        let name = |path: &str| module_of(Path::new(path), true);
        assert_eq!(name("src/lib.rs"), "");
        assert_eq!(name("src/main.rs"), "main");
        assert_eq!(module_of(Path::new("src/main.rs"), false), "");
        assert_eq!(name("src/pool/mod.rs"), "pool");
        assert_eq!(name("src/pool/idle.rs"), "pool::idle");
        assert_eq!(name("examples/fetch.rs"), "examples::fetch");
        assert_eq!(name("compare.rs"), "compare");
    }

    #[test]
    fn every_line_of_code_has_one_owner() {
        let text = "use a::b;\n\n// why\nstruct A;\nimpl A {\n    fn x(&self) {}\n    // y\n    fn y() {\n    }\n}\n";
        let source = Source::parse("p", "p.rs".into(), "m".into(), text).unwrap();
        let owners: Vec<Option<&str>> = source
            .owners()
            .into_iter()
            .map(|o| o.map(|n| source.items[n].path.as_str()))
            .collect();
        let (a, block) = (Some("m::A"), Some("m::impl A"));
        let y = Some("m::A::y");
        assert_eq!(
            owners,
            [Some("m::use"), None, a, a, block, Some("m::A::x"), y, y, y, block]
        );
    }
}
