//! What stayed and what changed between two runs of lines, and the words that changed in a line.
//!
//! Lines are compared without their indentation. A run of equal lines counts as stayed only if one
//! of them names something: of two functions that were written anew, braces and `} else {` are all
//! that a diff finds in common, and to call them stayed would say something that is not so.

use std::ops::Range;

use similar::{Algorithm, DiffOp, capture_diff_slices};

use crate::sources::lex::LexedLine;

/// Lines of one side: their text and tokens.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// The lines as they stand.
    pub lines: &'a [String],
    /// The same lines, lexed.
    pub lexed: &'a [LexedLine],
}

/// A run of lines, as indices into the sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hunk {
    /// Lines of the old side.
    pub old: Range<usize>,
    /// Lines of the new side.
    pub new: Range<usize>,
    /// Whether they are the same.
    pub stayed: bool,
}

/// Compares two sides by lines.
pub fn hunks(old: Side<'_>, new: Side<'_>) -> Vec<Hunk> {
    let trimmed = |side: Side<'_>| -> Vec<String> {
        side.lines.iter().map(|l| l.trim().to_owned()).collect()
    };
    let ops = capture_diff_slices(Algorithm::Patience, &trimmed(old), &trimmed(new));
    let mut hunks: Vec<Hunk> = Vec::new();
    for op in ops {
        let (old_range, new_range) = (op.old_range(), op.new_range());
        let equal = matches!(op, DiffOp::Equal { .. });
        let stayed =
            equal && old.lexed[old_range.clone()].iter().any(LexedLine::names_something);
        match hunks.last_mut() {
            Some(last) if last.stayed == stayed => {
                last.old.end = old_range.end;
                last.new.end = new_range.end;
            }
            _ => hunks.push(Hunk { old: old_range, new: new_range, stayed }),
        }
    }
    hunks
}

/// Byte ranges that changed, of the old line and of the new one.
pub type Marks = (Vec<Range<usize>>, Vec<Range<usize>>);

/// The words that changed between two lines.
///
/// None, if more than half of the letters of either changed: marks all over say nothing.
pub fn words(old: &LexedLine, new: &LexedLine) -> Marks {
    let (old_words, new_words) = (split(old), split(new));
    let text = |words: &[(Range<usize>, String)]| -> Vec<String> {
        words.iter().map(|(_, w)| w.clone()).collect()
    };
    let (a, b) = (text(&old_words), text(&new_words));
    let mut marks = (Vec::new(), Vec::new());
    for op in capture_diff_slices(Algorithm::Myers, &a, &b) {
        if !matches!(op, DiffOp::Equal { .. }) {
            marks.0.extend(old_words[op.old_range()].iter().map(|w| w.0.clone()));
            marks.1.extend(new_words[op.new_range()].iter().map(|w| w.0.clone()));
        }
    }
    let too_much = |marks: &[Range<usize>], words: &[(Range<usize>, String)]| {
        let marked: usize = marks.iter().map(ExactSizeIterator::len).sum();
        let all: usize = words.iter().map(|w| w.0.len()).sum();
        2 * marked > all
    };
    if too_much(&marks.0, &old_words) || too_much(&marks.1, &new_words) {
        return Marks::default();
    }
    marks
}

/// Tokens with their places, white space left out.
fn split(line: &LexedLine) -> Vec<(Range<usize>, String)> {
    let mut at = 0;
    let mut words = Vec::new();
    for piece in &line.pieces {
        let range = at..at + piece.text.len();
        at = range.end;
        if !piece.text.trim().is_empty() {
            words.push((range, piece.text.clone()));
        }
    }
    words
}

/// For changed lines: which old line is most like which new one, in order.
///
/// Pairs share at least half of their words; each line is in one pair at most.
pub fn alike(old: &[LexedLine], new: &[LexedLine]) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    let mut from = 0;
    for (n, line) in old.iter().enumerate() {
        let found = (from..new.len()).find(|&m| {
            let (a, b) = words(line, &new[m]);
            line.names_something() && !(a.is_empty() && b.is_empty())
        });
        if let Some(m) = found {
            pairs.push((n, m));
            from = m + 1;
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::lex::lex;

    fn compare(old: &str, new: &str) -> Vec<(Range<usize>, Range<usize>, bool)> {
        let side = |text: &str| -> (Vec<String>, Vec<LexedLine>) {
            (text.lines().map(str::to_owned).collect(), lex(text))
        };
        let (a, b) = (side(old), side(new));
        hunks(Side { lines: &a.0, lexed: &a.1 }, Side { lines: &b.0, lexed: &b.1 })
            .into_iter()
            .map(|h| (h.old, h.new, h.stayed))
            .collect()
    }

    #[test]
    fn braces_alone_do_not_stay() {
        let old = "fn a() {\n  one();\n}\n";
        let new = "fn b() {\n  two();\n}\n";
        assert_eq!(compare(old, new), [(0..3, 0..3, false)]);
    }

    #[test]
    fn an_edited_line_is_told_from_those_that_stayed() {
        let old = "fn a() {\n    let x = read(1);\n    done(x)\n}\n";
        let new = "fn a() {\n  let x = read(2).await;\n  done(x)\n}\n";
        assert_eq!(
            compare(old, new),
            [(0..1, 0..1, true), (1..2, 1..2, false), (2..4, 2..4, true)]
        );
    }

    #[test]
    fn words_are_tokens_and_blanks_are_never_marked() {
        let (old, new) = (lex("    let x = read(1);"), lex("let x = read(1).await;"));
        let (a, b) = words(&old[0], &new[0]);
        assert!(a.is_empty());
        assert_eq!(b, [15..16, 16..21]);
        let (c, d) = (lex("one(two)"), lex("three.four()"));
        assert_eq!(words(&c[0], &d[0]), Marks::default());
        assert_eq!(alike(&[c[0].clone(), old[0].clone()], &new), [(1, 0)]);
    }
}
