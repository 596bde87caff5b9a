//! The ledger as a picture: for each concept three bars, one for each stage.
//!
//! In a page its colours are the theme's. The file for the README carries its own, for light and
//! dark. No bar is told by its colour alone: each has its stage's number and its count beside it.

use std::fmt::Write;

use super::concept::CONCEPTS;
use super::count::Ledger;

/// The file, relative to the book's folder.
pub const FILE: &str = "ledger.svg";

const BAR: usize = 13;
const ROW: usize = 3 * BAR + 13;
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
        ledger.stages.iter().flat_map(|s| &s[..CONCEPTS.len()]).max().copied().unwrap_or(0);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-labelledby=\"{id}-title\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title id=\"{id}-title\">Lines of code by concept, in stages 1, 2 and 3</title>\n{style}"
    );
    let names = ["1 rotor", "2 mio", "3 tokio"];
    for (n, name) in names.iter().enumerate() {
        let x = LEFT + n * 108;
        let _ = writeln!(
            out,
            "<rect class=\"s{s}\" x=\"{x}\" y=\"6\" width=\"12\" height=\"12\"/><text x=\"{tx}\" y=\"16\" fill=\"currentColor\">{name}: {sum}</text>",
            s = n + 1,
            tx = x + 17,
            sum = ledger.classed(n),
        );
    }
    for (row, concept) in CONCEPTS.iter().enumerate() {
        let y = TOP + row * ROW;
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"currentColor\" font-weight=\"bold\">{}</text>",
            LEFT - 20,
            y + 2 * BAR - 3,
            concept.name
        );
        for stage in 0..3 {
            bar(&mut out, y + stage * BAR, stage, ledger.stages[stage][row], most);
        }
    }
    out.push_str("</svg>\n");
    out
}

fn bar(out: &mut String, y: usize, stage: usize, lines: usize, most: usize) {
    let width = lines * (WIDTH - LEFT - 36) / most.max(1);
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "<text x=\"{nx}\" y=\"{ty}\" text-anchor=\"end\" fill=\"currentColor\" font-size=\"10\">{n}</text>\
         <rect class=\"s{n}\" x=\"{LEFT}\" y=\"{y}\" width=\"{width}\" height=\"{h}\"/>\
         <text x=\"{tx}\" y=\"{ty}\" fill=\"currentColor\" font-size=\"10\">{lines}</text>",
        n = stage + 1,
        nx = LEFT - 6,
        ty = y + BAR - 3,
        h = BAR - 2,
        tx = LEFT + width + 5,
    );
}
