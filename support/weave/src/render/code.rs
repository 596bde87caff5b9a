//! Coloured lines.

use std::ops::Range;

use super::html::escape;
use crate::sources::lex::{Class, LexedLine};

/// The element that a line becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// A line that is shown as it stands.
    Line,
    /// A line that was deleted.
    Deleted,
    /// A line that came instead.
    Added,
}

/// Writes one line with its number; `marks` are byte ranges of it that changed.
///
/// The line break stands inside the element, so that a copied block has each line once and an
/// empty line still carries an element.
pub fn line(
    out: &mut String,
    tag: Tag,
    number: usize,
    line: &LexedLine,
    marks: &[Range<usize>],
) {
    let struck = tag == Tag::Deleted;
    let tag = match tag {
        Tag::Line => "span",
        Tag::Deleted => "del",
        Tag::Added => "ins",
    };
    out.push_str(&format!("<{tag} class=\"l\" data-n=\"{number}\">"));
    let mut at = 0;
    for piece in &line.pieces {
        let end = at + piece.text.len();
        if struck && at == 0 && piece.text.trim().is_empty() {
            // An indentation of its own, so that the stroke starts at the code.
            out.push_str(&format!("<i class=\"w\">{}</i>", piece.text));
            at = end;
            continue;
        }
        cut(out, piece.class, &piece.text, at, marks);
        at = end;
    }
    out.push_str(&format!("\n</{tag}>"));
}

/// Writes a piece, cut where a mark starts or ends.
fn cut(out: &mut String, class: Class, text: &str, at: usize, marks: &[Range<usize>]) {
    let mut from = 0;
    let mut part = |from: usize, to: usize, marked: bool| {
        if from < to {
            let (open, close) = if marked { ("<b>", "</b>") } else { ("", "") };
            let text = escape(&text[from..to]);
            match class.css() {
                Some(css) => {
                    out.push_str(&format!("<i class=\"{css}\">{open}{text}{close}</i>"))
                }
                None => out.push_str(&format!("{open}{text}{close}")),
            }
        }
    };
    for mark in marks {
        let start = mark.start.clamp(at, at + text.len()) - at;
        let end = mark.end.clamp(at, at + text.len()) - at;
        if start < end {
            part(from, start, false);
            part(start, end, true);
            from = end;
        }
    }
    part(from, text.len(), false);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::lex::lex;

    #[test]
    fn marks_cut_pieces() {
        let lexed = lex("  let a = b;");
        let mut out = String::new();
        line(&mut out, Tag::Deleted, 7, &lexed[0], &[6..7, 10..12]);
        assert_eq!(
            out,
            "<del class=\"l\" data-n=\"7\"><i class=\"w\">  </i><i class=\"k\">let</i> <b>a</b> = <b>b</b><b>;</b>\n</del>"
        );
    }
}
