//! Which lines of an item are shown, which folded, which left out: by what they say.
//!
//! - `match="text"`: the first line that holds the text, and the block that it opens.
//! - `from="text"` and `to="text"`: from the first line that holds the one to the first line at or
//!   after it that holds the other; either may be missing.
//! - `fold="text"` (several parted by ` | `): as `match`, but folded to one line that opens.
//! - `only="signature"`: the item up to the line that opens its body; `only="code"`: without the
//!   comments above it.
//!
//! A text that is nowhere in the item is an error, and so is one that `match` finds twice.

use crate::directive::Directive;
use crate::sources::{Lines, Source};

/// A run of lines with one treatment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// Shown.
    Shown(Lines),
    /// Folded to its first line, and opened by a click.
    Folded(Lines),
    /// Left out; said so.
    Omitted(Lines),
}

/// The attributes that pick.
pub const ATTRIBUTES: &[&str] = &["match", "from", "to", "fold", "only"];

/// Applies a directive's picks to an item's lines.
///
/// # Errors
/// A text that does not occur, or not only once.
pub fn pick(directive: &Directive, source: &Source, whole: Lines) -> Result<Vec<Run>, String> {
    let mut shown = whole;
    match directive.get("only") {
        None => {}
        Some("signature") => shown.last = signature_end(source, code_start(source, whole)),
        Some("code") => shown.first = code_start(source, whole),
        Some(other) => {
            return Err(format!("only=\"{other}\": there is `signature` and `code`"));
        }
    }
    if let Some(text) = directive.get("match") {
        let first = unique(source, shown, text)?;
        shown = Lines { first, last: block_end(source, first, shown.last) };
    }
    if let Some(text) = directive.get("from") {
        shown.first = first_with(source, shown, text)?;
    }
    if let Some(text) = directive.get("to") {
        shown.last = first_with(source, shown, text)?;
    }
    let mut folds = Vec::new();
    for text in directive.get("fold").into_iter().flat_map(|f| f.split(" | ")) {
        let first = first_with(source, shown, text)?;
        folds.push(Lines { first, last: block_end(source, first, shown.last) });
    }
    folds.sort();
    Ok(runs(whole, shown, &folds))
}

fn runs(whole: Lines, shown: Lines, folds: &[Lines]) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut push = |run: fn(Lines) -> Run, first: usize, last: usize| {
        if first <= last {
            runs.push(run(Lines { first, last }));
        }
    };
    push(Run::Omitted, whole.first, shown.first - 1);
    let mut at = shown.first;
    for fold in folds.iter().filter(|f| f.last <= shown.last) {
        push(Run::Shown, at, fold.first.max(at) - 1);
        push(Run::Folded, fold.first.max(at), fold.last);
        at = at.max(fold.last + 1);
    }
    push(Run::Shown, at, shown.last);
    push(Run::Omitted, shown.last + 1, whole.last);
    runs
}

/// The first line within some that holds a text.
///
/// # Errors
/// The text, if no line holds it.
pub fn first_with(source: &Source, within: Lines, text: &str) -> Result<usize, String> {
    holding(source, within, text).next().ok_or_else(|| {
        format!("`{text}` is not in {}:{}-{}", source.path, within.first, within.last)
    })
}

fn unique(source: &Source, within: Lines, text: &str) -> Result<usize, String> {
    let first = first_with(source, within, text)?;
    match holding(source, within, text).nth(1) {
        None => Ok(first),
        Some(second) => Err(format!(
            "`{text}` is in {} on lines {first} and {second}; say more of the line",
            source.path
        )),
    }
}

fn holding(source: &Source, within: Lines, text: &str) -> impl Iterator<Item = usize> {
    within.iter().filter(move |&n| source.lines[n - 1].contains(text))
}

/// The last line of the block or statement that starts at a line.
pub fn block_end(source: &Source, first: usize, limit: usize) -> usize {
    let mut depth = 0;
    for line in first..=limit {
        let lexed = &source.lexed[line - 1];
        depth += lexed.depth;
        let ends = source.lines[line - 1].trim_end().ends_with([';', ',', '}']);
        if depth < 0 || (depth == 0 && lexed.code && ends) {
            return if depth < 0 && line > first { line - 1 } else { line };
        }
    }
    limit
}

/// The first line of code of an item, behind its comments.
fn code_start(source: &Source, lines: Lines) -> usize {
    lines.iter().find(|&n| source.is_code(n)).unwrap_or(lines.first)
}

/// The line on which the body opens, or a declaration ends.
fn signature_end(source: &Source, start: usize) -> usize {
    let ends = |n: &usize| source.lines[n - 1].trim_end().ends_with(['{', ';', '}']);
    (start..=source.lines.len()).find(ends).unwrap_or(start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directive::{Part, parse};

    const TEXT: &str = "\
/// Doc.
fn f(x: u8) -> u8 {
    match x {
        0 => {
            one();
        }
        1 => two(
            3,
        ),
        _ => three(),
    }
}
";

    fn picked(attributes: &str) -> Result<Vec<Run>, String> {
        let source = Source::parse("p", "p.rs".into(), "m".into(), TEXT).unwrap();
        let parts = parse(&format!("{{{{#item p::f {attributes}}}}}")).unwrap();
        let Part::Directive(directive, _) = &parts[1] else { panic!("no directive") };
        pick(directive, &source, Lines { first: 1, last: 12 })
    }

    fn lines(first: usize, last: usize) -> Lines {
        Lines { first, last }
    }

    #[test]
    fn an_arm_is_found_by_what_it_says() {
        let arm = |first, last| {
            vec![
                Run::Omitted(lines(1, first - 1)),
                Run::Shown(lines(first, last)),
                Run::Omitted(lines(last + 1, 12)),
            ]
        };
        assert_eq!(picked("match=\"0 =>\""), Ok(arm(4, 6)));
        assert_eq!(picked("match=\"1 => two\""), Ok(arm(7, 9)));
        assert_eq!(picked("from=\"one()\" to=\"two\""), Ok(arm(5, 7)));
    }

    #[test]
    fn a_fold_keeps_its_lines() {
        assert_eq!(
            picked("fold=\"0 => | 1 =>\" only=code"),
            Ok(vec![
                Run::Omitted(lines(1, 1)),
                Run::Shown(lines(2, 3)),
                Run::Folded(lines(4, 6)),
                Run::Folded(lines(7, 9)),
                Run::Shown(lines(10, 12)),
            ])
        );
        assert_eq!(
            picked("only=signature"),
            Ok(vec![Run::Shown(lines(1, 2)), Run::Omitted(lines(3, 12))])
        );
    }

    #[test]
    fn what_is_not_there_is_told() {
        assert!(picked("match=\"gone\"").unwrap_err().contains("`gone` is not in p.rs:1-12"));
        assert!(picked("match=\"=> {\"").is_ok());
        assert!(picked("match=\"=>\"").unwrap_err().contains("lines 4 and 7"));
    }
}
