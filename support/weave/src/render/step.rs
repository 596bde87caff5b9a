//! Two listings laid side by side: what was deleted, what stayed, what came instead.
//!
//! A deleted line is a `<del>`, an added one an `<ins>`, so that it says what it is without colour
//! and without a style sheet. A line that stayed is written once, across both columns.

use std::ops::Range;
use std::rc::Rc;

use super::code::{self, Tag};
use super::diff::{self, Hunk, Marks, Side};
use super::html::{escape, plural};
use super::listing::place;
use crate::sources::lex::LexedLine;
use crate::sources::{Kind, Lines, Source};

/// One side: the lines of an item, or of several in the order in which they were named.
#[derive(Debug, Default)]
pub struct Column {
    /// The lines as they stand.
    pub lines: Vec<String>,
    /// The same lines, lexed.
    pub lexed: Vec<LexedLine>,
    /// For each line its number in its file.
    pub numbers: Vec<usize>,
    /// What the lines were taken from, with the page that shows the whole file.
    pub parts: Vec<(Rc<Source>, Lines, Option<String>)>,
}

impl Column {
    /// Adds lines of a file.
    pub fn push(&mut self, source: &Rc<Source>, lines: Lines, link: Option<String>) {
        for n in lines.iter() {
            self.lines.push(source.lines[n - 1].clone());
            self.lexed.push(source.lexed[n - 1].clone());
            self.numbers.push(n);
        }
        self.parts.push((Rc::clone(source), lines, link));
    }

    fn side(&self, range: Range<usize>) -> Side<'_> {
        Side { lines: &self.lines[range.clone()], lexed: &self.lexed[range] }
    }

    fn code(&self, range: &Range<usize>) -> usize {
        self.lexed[range.clone()].iter().filter(|l| l.code).count()
    }
}

/// A hunk, with what the author says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labelled {
    /// The lines.
    pub hunk: Hunk,
    /// Words above it.
    pub label: Option<String>,
}

/// The hunks of a plain line diff.
pub fn by_lines(old: &Column, new: &Column) -> Vec<Labelled> {
    between(old, new, 0..old.lines.len(), 0..new.lines.len(), None)
}

/// The hunks of a part of both sides; a label goes above the first.
pub fn between(
    old: &Column,
    new: &Column,
    old_range: Range<usize>,
    new_range: Range<usize>,
    label: Option<String>,
) -> Vec<Labelled> {
    let shift = |range: Range<usize>, by: usize| range.start + by..range.end + by;
    let found = diff::hunks(old.side(old_range.clone()), new.side(new_range.clone()));
    let mut label = label;
    found
        .into_iter()
        .map(|h| Labelled {
            hunk: Hunk {
                old: shift(h.old, old_range.start),
                new: shift(h.new, new_range.start),
                stayed: h.stayed,
            },
            label: label.take(),
        })
        .collect()
}

/// Writes a step.
pub fn step(old: &Column, new: &Column, hunks: &[Labelled], id: &str) -> String {
    let mut out = format!("<figure class=\"w-step\" id=\"{id}\">\n<figcaption>\n");
    head(&mut out, "old", "−", old);
    head(&mut out, "new", "+", new);
    out.push_str("</figcaption>\n");
    out.push_str(&format!("<details open><summary>{}</summary>\n", tally(old, new, hunks)));
    for Labelled { hunk, label } in hunks {
        if let Some(label) = label {
            out.push_str(&format!("<p class=\"w-label\">{}</p>\n", escape(label)));
        }
        if hunk.stayed {
            stayed(&mut out, new, hunk.new.clone());
        } else {
            changed(&mut out, old, new, hunk);
        }
    }
    out.push_str("</details>\n</figure>\n");
    out
}

fn head(out: &mut String, class: &str, sign: &str, column: &Column) {
    let places: Vec<String> = column
        .parts
        .iter()
        .map(|(source, lines, link)| place(source, *lines, link.as_deref()))
        .collect();
    let places = if places.is_empty() { "nothing".to_owned() } else { places.join(", ") };
    out.push_str(&format!("<span class=\"w-{class}-name\"><b>{sign}</b> {places}</span>\n"));
}

/// Lines of code, comments left out: what the ledger counts too.
fn tally(old: &Column, new: &Column, hunks: &[Labelled]) -> String {
    let sum = |stayed: bool, count: &dyn Fn(&Hunk) -> usize| -> usize {
        hunks.iter().filter(|l| l.hunk.stayed == stayed).map(|l| count(&l.hunk)).sum()
    };
    let deleted = sum(false, &|h| old.code(&h.old));
    let added = sum(false, &|h| new.code(&h.new));
    let same = sum(true, &|h| new.code(&h.new));
    format!("{} of code deleted, {added} came instead, {same} stayed", plural(deleted, "line"))
}

fn changed(out: &mut String, old: &Column, new: &Column, hunk: &Hunk) {
    let pairs = diff::alike(&old.lexed[hunk.old.clone()], &new.lexed[hunk.new.clone()]);
    let mut old_marks = vec![Vec::new(); hunk.old.len()];
    let mut new_marks = vec![Vec::new(); hunk.new.len()];
    for (a, b) in pairs {
        let (left, right): Marks =
            diff::words(&old.lexed[hunk.old.start + a], &new.lexed[hunk.new.start + b]);
        (old_marks[a], new_marks[b]) = (left, right);
    }
    out.push_str("<div class=\"w-hunk\">\n");
    column(out, "w-old", Tag::Deleted, old, hunk.old.clone(), &old_marks);
    column(out, "w-new", Tag::Added, new, hunk.new.clone(), &new_marks);
    out.push_str("</div>\n");
}

fn column(
    out: &mut String,
    class: &str,
    tag: Tag,
    side: &Column,
    range: Range<usize>,
    marks: &[Vec<Range<usize>>],
) {
    if range.is_empty() {
        return;
    }
    out.push_str(&format!("<pre class=\"{class}\">"));
    for (n, marks) in range.zip(marks) {
        code::line(out, tag, side.numbers[n], &side.lexed[n], marks);
    }
    out.push_str("</pre>\n");
}

/// Lines around a change that are shown with it.
const CONTEXT: usize = 3;

fn stayed(out: &mut String, side: &Column, range: Range<usize>) {
    if range.len() <= 3 * CONTEXT {
        return same(out, side, range);
    }
    let folded = range.start + CONTEXT..range.end - CONTEXT;
    same(out, side, range.start..folded.start);
    let names = names_in(side, &folded);
    let names = match names.as_slice() {
        [] => String::new(),
        names => format!(": <code>{}</code>", names.join("</code>, <code>")),
    };
    out.push_str(&format!(
        "<details><summary>{} the same{names}</summary>\n",
        plural(folded.len(), "line")
    ));
    same(out, side, folded.clone());
    out.push_str("</details>\n");
    same(out, side, folded.end..range.end);
}

fn same(out: &mut String, side: &Column, range: Range<usize>) {
    out.push_str("<pre class=\"w-same\">");
    for n in range {
        code::line(out, Tag::Line, side.numbers[n], &side.lexed[n], &[]);
    }
    out.push_str("</pre>\n");
}

/// The items that lie wholly within some lines.
fn names_in(side: &Column, range: &Range<usize>) -> Vec<String> {
    let Some(numbers) = side.numbers.get(range.clone()) else { return Vec::new() };
    let (Some(&first), Some(&last)) = (numbers.first(), numbers.last()) else {
        return Vec::new();
    };
    let [(source, _, _)] = side.parts.as_slice() else { return Vec::new() };
    source
        .items
        .iter()
        .filter(|i| i.lines.first >= first && i.lines.last <= last)
        .filter(|i| i.kind != Kind::Declaration)
        .map(|i| escape(i.path.rsplit("::").next().unwrap_or(&i.path)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(text: &str) -> Column {
        let source = Rc::new(Source::parse("p", "p.rs".into(), "m".into(), text).unwrap());
        let mut column = Column::default();
        column.push(&source, source.whole(), None);
        column
    }

    #[test]
    fn deletions_are_lines_of_their_own() {
        let old = column("fn a() {\n    one();\n\n    two();\n}\n");
        let new = column("fn a() {\n    two();\n}\n");
        let html = step(&old, &new, &by_lines(&old, &new), "i");
        assert!(html.contains("<del class=\"l\" data-n=\"2\">"));
        assert!(html.contains("1 line of code deleted, 0 came instead, 3 stayed"));
        assert!(!html.contains("<ins"));
        for line in html.lines() {
            assert!(!line.is_empty() && !line.starts_with(' '), "{line:?}");
        }
    }

    #[test]
    fn long_runs_that_stayed_fold_and_name_their_items() {
        let body: String = (0..9).map(|n| format!("fn f{n}() {{}}\n")).collect();
        let old = column(&format!("{body}fn last() {{ x(1) }}\n"));
        let new = column(&format!("{body}fn last() {{ x(2) }}\n"));
        let html = step(&old, &new, &by_lines(&old, &new), "i");
        assert!(!html.contains("lines the same"), "nine lines are shown");
        let old = column(&format!("{body}fn f9() {{}}\nfn last() {{ x(1) }}\n"));
        let new = column(&format!("{body}fn f9() {{}}\nfn last() {{ x(2) }}\n"));
        let html = step(&old, &new, &by_lines(&old, &new), "i");
        assert!(html.contains("4 lines the same: <code>f3</code>, <code>f4</code>"));
        assert!(html.contains("<b>1</b>") && html.contains("<b>2</b>"));
    }
}
