//! The preprocessor: all chapters of a book, expanded.

use std::path::Path;

use mdbook_preprocessor::book::{Book, BookItem};
use mdbook_preprocessor::errors::{Error, Result};
use mdbook_preprocessor::{Preprocessor, PreprocessorContext};

use super::{markup, whole};
use crate::checks::words;
use crate::commands::collect::unchecked;
use crate::expand::{self, Chapter, Weaver};
use crate::problem::{Problem, Problems};
use crate::sources::tree::slashed;
use crate::upstream::Tell;

/// The preprocessor by the name that it has in `book.toml`.
#[derive(Debug, Clone, Copy)]
pub struct Weave {
    /// Is told what takes a while.
    pub tell: Tell,
}

impl Preprocessor for Weave {
    fn name(&self) -> &'static str {
        "weave"
    }

    fn run(&self, context: &PreprocessorContext, book: Book) -> Result<Book> {
        check_version(&context.mdbook_version).map_err(Error::msg)?;
        let root = workspace(&context.root).map_err(Error::new)?;
        let src = context.root.join(&context.config.book.src);
        let src = slashed(src.strip_prefix(&root).unwrap_or(&src));
        weave(&root, &context.root, &src, book, self.tell).map_err(Error::new)
    }
}

/// mdBook's 0.5 releases speak the same language; others may not.
///
/// # Errors
/// A line that says what is needed.
pub fn check_version(version: &str) -> std::result::Result<(), String> {
    if version.starts_with("0.5.") {
        return Ok(());
    }
    Err(format!(
        "weave works with mdBook 0.5, this is {version}: use `cargo run --release -- book`"
    ))
}

/// The nearest folder above a book whose manifest says `[workspace]`.
fn workspace(book: &Path) -> std::result::Result<std::path::PathBuf, Problem> {
    let book = book.canonicalize().map_err(|e| Problem::of(slashed(book), e.to_string()))?;
    let declares = |folder: &&Path| {
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        manifest.lines().any(|l| l.trim() == "[workspace]")
    };
    book.ancestors().find(declares).map(Path::to_owned).ok_or_else(|| {
        Problem::of(slashed(&book), "no Cargo.toml with [workspace] in a folder above")
    })
}

/// Expands every chapter, then checks what only the whole book can tell.
fn weave(
    root: &Path,
    folder: &Path,
    src: &str,
    mut book: Book,
    tell: Tell,
) -> std::result::Result<Book, Problems> {
    let mut weaver = Weaver::open(root, folder, tell)?;
    each_chapter(&mut book.items, &mut |chapter| {
        let Some(page) = chapter.path.as_deref().map(slashed) else { return };
        weaver.pages.note(&weaver.tree, &page, &chapter.content);
    });
    let mut problems = Vec::new();
    each_chapter(&mut book.items, &mut |chapter| {
        let Some(page) = chapter.path.as_deref().map(slashed) else { return };
        let source = chapter.source_path.as_deref().map_or_else(|| page.clone(), slashed);
        let file = format!("{src}/{source}");
        markup::check(&file, &chapter.content, &mut problems);
        words::check(&file, &markup::prose(&chapter.content), &mut problems);
        problems.extend(unchecked(&file, &chapter.content));
        let place = Chapter { page: &page, file: &file };
        chapter.content = expand::expand(&weaver, place, &chapter.content, &mut problems);
    });
    whole::check(&weaver, &mut problems);
    Problems::check(problems).map(|()| book)
}

fn each_chapter(
    items: &mut [BookItem],
    work: &mut dyn FnMut(&mut mdbook_preprocessor::book::Chapter),
) {
    for item in items {
        if let BookItem::Chapter(chapter) = item {
            work(chapter);
            each_chapter(&mut chapter.sub_items, work);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_minor_version_is_spoken() {
        assert_eq!(check_version("0.5.9"), Ok(()));
        assert!(check_version("0.4.52").unwrap_err().contains("mdBook 0.5"));
        assert!(check_version("0.50.0").is_err());
    }
}
