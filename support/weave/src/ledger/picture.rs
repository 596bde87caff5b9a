//! The ledger as a picture: for each concept three bars, one for each stage, and below them a grey
//! one for the lines that all stages share.
//!
//! In a page its colours are the theme's. The file for the README carries its own, for light and
//! dark. No bar is told by its colour alone: each has its stage's number, or `=` for what is shared,
//! and its count beside it.

use std::fmt::Write;

use super::concept::CONCEPTS;
use super::count::{Ledger, Lines};

/// The file, relative to the book's folder.
pub const FILE: &str = "ledger.svg";

const BAR: usize = 13;
const ROW: usize = 4 * BAR + 13;
const LEFT: usize = 116;
const WIDTH: usize = 440;
const TOP: usize = 30;

/// The picture for a page; `id` is used by nothing else in the book.
pub fn inline(ledger: &Ledger, id: &str) -> String {
    format!("<div class=\"w-picture\">\n{}</div>\n", svg(ledger, id, ""))
}

/// The picture as a file.
pub fn file(ledger: &Ledger) -> String {
    let style = "<style>\n\
        svg{color:#1b1f24}.s1{fill:#8a4b00}.s2{fill:#0b5a8f}.s3{fill:#6a3fb0}\n\
        @media(prefers-color-scheme:dark){svg{color:#e4e7ec}.s1{fill:#f3c27a}.s2{fill:#8ecbf5}.s3{fill:#c9b0ff}}\n\
        </style>\n";
    svg(ledger, "ledger", style)
}

fn svg(ledger: &Ledger, id: &str, style: &str) -> String {
    let height = TOP + ROW * CONCEPTS.len() + 6;
    let most =
        bars(ledger).into_iter().flat_map(|l| &l[..CONCEPTS.len()]).max().copied().unwrap_or(0);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-labelledby=\"{id}-title\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title id=\"{id}-title\">Lines of code by concept, in stages 1, 2 and 3 and in what they share</title>\n{style}"
    );
    for (n, name) in ["1 rotor", "2 mio", "3 tokio", "= shared"].iter().enumerate() {
        let x = 8 + n * 108;
        let _ = writeln!(
            out,
            "<rect {fill} x=\"{x}\" y=\"6\" width=\"12\" height=\"12\"/><text x=\"{tx}\" y=\"16\" fill=\"currentColor\">{name}: {sum}</text>",
            fill = fill(n),
            tx = x + 17,
            sum = if n < 3 { ledger.classed(n) } else { ledger.classed_shared() },
        );
    }
    for (row, concept) in CONCEPTS.iter().enumerate() {
        let y = TOP + row * ROW;
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"currentColor\" font-weight=\"bold\">{}</text>",
            LEFT - 20,
            y + 2 * BAR + 3,
            concept.name
        );
        for (n, lines) in bars(ledger).into_iter().enumerate() {
            bar(&mut out, y + n * BAR, n, lines[row], most);
        }
    }
    out.push_str("</svg>\n");
    out
}

/// What each concept has a bar for, from top to bottom.
fn bars(ledger: &Ledger) -> [&Lines; 4] {
    let [one, two, three] = &ledger.stages;
    [one, two, three, &ledger.shared]
}

/// A stage has its colour; what all share is grey.
fn fill(bar: usize) -> String {
    match bar {
        3 => "fill=\"currentColor\" fill-opacity=\"0.45\"".to_owned(),
        stage => format!("class=\"s{}\"", stage + 1),
    }
}

fn bar(out: &mut String, y: usize, n: usize, lines: usize, most: usize) {
    let width = lines * (WIDTH - LEFT - 36) / most.max(1);
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "<text x=\"{nx}\" y=\"{ty}\" text-anchor=\"end\" fill=\"currentColor\" font-size=\"10\">{name}</text>\
         <rect {fill} x=\"{LEFT}\" y=\"{y}\" width=\"{width}\" height=\"{h}\"/>\
         <text x=\"{tx}\" y=\"{ty}\" fill=\"currentColor\" font-size=\"10\">{lines}</text>",
        name = ["1", "2", "3", "="][n],
        fill = fill(n),
        nx = LEFT - 6,
        ty = y + BAR - 3,
        h = BAR - 2,
        tx = LEFT + width + 5,
    );
}
