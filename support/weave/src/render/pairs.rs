//! Steps whose author says which lines answer which.
//!
//! Each line of the block is `LEFT => RIGHT`, and `: words` after it if there is something to say.
//! A side is `"text"` (the one line that holds it), `"text" .. "text"` (from one to the other),
//! `"text" {}` (the line and the block that it opens), or `nothing`. Backticks quote what holds a
//! quotation mark. Lines of the old side that nobody named stand struck out and alone; lines of
//! the new side that nobody named stand behind the group that they follow in their file.

use std::ops::Range;

use super::diff::Hunk;
use super::step::{Column, Labelled, between};

/// One line of the block, read.
#[derive(Debug, PartialEq, Eq)]
struct Pair {
    old: Option<Range<usize>>,
    new: Option<Range<usize>>,
    label: Option<String>,
}

/// The hunks of a block.
///
/// # Errors
/// The line of the block, and what is wrong with it.
pub fn hunks(
    block: &[(usize, String)],
    old: &Column,
    new: &Column,
) -> Result<Vec<Labelled>, (usize, String)> {
    let mut pairs = Vec::new();
    for (line, text) in block {
        pairs.push(read(text, old, new).map_err(|e| (*line, e))?);
    }
    apart(&pairs, |p| &p.old).map_err(|n| (block[n].0, TWICE.to_owned()))?;
    apart(&pairs, |p| &p.new).map_err(|n| (block[n].0, TWICE.to_owned()))?;
    Ok(lay_out(&mut pairs, old, new))
}

const TWICE: &str = "a line of this group is in an earlier group too";

/// Fails with the index of a pair that shares lines with an earlier one.
fn apart(pairs: &[Pair], side: fn(&Pair) -> &Option<Range<usize>>) -> Result<(), usize> {
    for (n, pair) in pairs.iter().enumerate() {
        let Some(range) = side(pair) else { continue };
        let meets = |other: &Pair| {
            side(other).as_ref().is_some_and(|o| o.start < range.end && range.start < o.end)
        };
        if pairs[..n].iter().any(meets) {
            return Err(n);
        }
    }
    Ok(())
}

/// In the old side's order; what only the new side has goes where the author put it.
fn lay_out(pairs: &mut [Pair], old: &Column, new: &Column) -> Vec<Labelled> {
    pairs.sort_by_key(|p| p.old.as_ref().map_or(usize::MAX, |r| r.start));
    let named: Vec<Range<usize>> = pairs.iter().filter_map(|p| p.new.clone()).collect();
    let mut out = Vec::new();
    let mut at = 0;
    let behind = |end: usize| alone_new(end..next_start(&named, end, new.lines.len()));
    out.extend(behind(0));
    for pair in pairs.iter() {
        if let Some(range) = &pair.old {
            out.extend(alone_old(at..range.start));
            at = range.end;
        }
        let old_range = pair.old.clone().unwrap_or(at..at);
        let new_range = pair.new.clone().unwrap_or(0..0);
        out.extend(between(old, new, old_range, new_range, pair.label.clone()));
        out.extend(pair.new.as_ref().and_then(|r| behind(r.end)));
    }
    out.extend(alone_old(at..old.lines.len()));
    out
}

/// Where the next named group starts at or behind a line.
fn next_start(named: &[Range<usize>], from: usize, end: usize) -> usize {
    named.iter().map(|r| r.start).filter(|&s| s >= from).min().unwrap_or(end)
}

fn alone_old(range: Range<usize>) -> Option<Labelled> {
    alone(Hunk { old: range, new: 0..0, stayed: false })
}

fn alone_new(range: Range<usize>) -> Option<Labelled> {
    alone(Hunk { old: 0..0, new: range, stayed: false })
}

fn alone(hunk: Hunk) -> Option<Labelled> {
    let empty = hunk.old.is_empty() && hunk.new.is_empty();
    (!empty).then_some(Labelled { hunk, label: None })
}

fn read(text: &str, old: &Column, new: &Column) -> Result<Pair, String> {
    let (left, rest) = group(text, old)?;
    let rest =
        rest.strip_prefix("=>").ok_or_else(|| format!("expected `=>` before `{rest}`"))?;
    let (right, rest) = group(rest.trim_start(), new)?;
    let label = match rest.strip_prefix(':') {
        Some(label) => Some(label.trim().to_owned()),
        None if rest.is_empty() => None,
        None => return Err(format!("expected `: words` or nothing, found `{rest}`")),
    };
    if left.is_none() && right.is_none() {
        return Err("nothing cannot answer nothing".to_owned());
    }
    Ok(Pair { old: left, new: right, label })
}

/// A group of lines and the text behind it.
type Group<'a> = (Option<Range<usize>>, &'a str);

fn group<'a>(text: &'a str, column: &Column) -> Result<Group<'a>, String> {
    if let Some(rest) = text.strip_prefix("nothing") {
        return Ok((None, rest.trim_start()));
    }
    let (from, rest) = quoted(text)?;
    let first = column
        .lines
        .iter()
        .position(|l| l.contains(from))
        .ok_or_else(|| format!("no line of {} holds `{from}`", described(column)))?;
    if let Some(rest) = rest.strip_prefix("..") {
        let (to, rest) = quoted(rest.trim_start())?;
        let last = (first..column.lines.len())
            .find(|&n| column.lines[n].contains(to))
            .ok_or_else(|| format!("no line behind `{from}` holds `{to}`"))?;
        return Ok((Some(first..last + 1), rest));
    }
    if let Some(rest) = rest.strip_prefix("{}") {
        return Ok((Some(first..block_end(column, first)), rest.trim_start()));
    }
    if column.lines[first + 1..].iter().any(|l| l.contains(from)) {
        return Err(format!("`{from}` is in several lines of {}", described(column)));
    }
    Ok((Some(first..first + 1), rest))
}

/// One behind the line on which what the first line opens is closed.
fn block_end(column: &Column, first: usize) -> usize {
    let mut depth = 0;
    for (n, line) in column.lexed.iter().enumerate().skip(first) {
        depth += line.depth;
        if depth <= 0 {
            return n + 1;
        }
    }
    column.lines.len()
}

fn described(column: &Column) -> String {
    column
        .parts
        .iter()
        .map(|(s, l, _)| format!("{}:{}", s.path, l.first))
        .collect::<Vec<_>>()
        .join(", ")
}

fn quoted(text: &str) -> Result<(&str, &str), String> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '`'));
    let found = quote.and_then(|q| text[1..].split_once(q));
    let (inner, rest) =
        found.ok_or_else(|| format!("expected a quoted text before `{text}`"))?;
    Ok((inner, rest.trim_start()))
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::sources::Source;

    fn column(text: &str) -> Column {
        let source = Rc::new(Source::parse("p", "p.rs".into(), "m".into(), text).unwrap());
        let mut column = Column::default();
        column.push(&source, source.whole(), None);
        column
    }

    type Laid = (Range<usize>, Range<usize>, Option<String>);

    fn laid(block: &str) -> Result<Vec<Laid>, (usize, String)> {
        let old = column("fn a() {\n  loop {\n    read();\n  }\n  keep();\n  log();\n}\n");
        let new = column("fn b() {\n  extra();\n  read().await;\n}\n");
        let block: Vec<(usize, String)> =
            block.lines().enumerate().map(|(n, l)| (n + 1, l.to_owned())).collect();
        Ok(hunks(&block, &old, &new)?
            .into_iter()
            .map(|l| (l.hunk.old, l.hunk.new, l.label))
            .collect())
    }

    #[test]
    fn what_nobody_named_stands_alone() {
        let found =
            laid("\"loop {\" {} => \"read()\" : the loop is await's\n\"log\" => nothing")
                .unwrap();
        assert_eq!(
            found,
            [
                (0..0, 0..2, None),
                (0..1, 0..0, None),
                (1..4, 2..3, Some("the loop is await's".to_owned())),
                (0..0, 3..4, None),
                (4..5, 0..0, None),
                (5..6, 0..0, None),
                (6..7, 0..0, None),
            ]
        );
    }

    #[test]
    fn every_line_is_laid_out_once() {
        let found = laid("\"keep\" .. \"log\" => \"extra\"\n\"fn a\" => \"fn b\"").unwrap();
        let all = |side: fn(&Laid) -> Range<usize>| {
            let mut lines: Vec<usize> = found.iter().flat_map(side).collect();
            lines.sort_unstable();
            lines
        };
        assert_eq!(all(|h| h.0.clone()), (0..7).collect::<Vec<_>>());
        assert_eq!(all(|h| h.1.clone()), (0..4).collect::<Vec<_>>());
    }

    #[test]
    fn mistakes_name_their_line() {
        assert_eq!(laid("\"loop\" => \"gone\"").unwrap_err().0, 1);
        assert!(
            laid("\"keep\" => nothing\n\"keep\" => nothing").unwrap_err().1.contains("earlier")
        );
        assert!(laid("nothing => nothing").unwrap_err().1.contains("cannot answer"));
        assert!(laid("\"keep\" \"x\"").unwrap_err().1.contains("expected `=>`"));
        assert!(laid("keep => nothing").unwrap_err().1.contains("quoted"));
        assert!(laid("\"()\" => nothing").unwrap_err().1.contains("several"));
    }
}
