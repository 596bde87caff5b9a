//! The ledger as tables.

use std::fmt::Write;

use super::concept::CONCEPTS;
use super::count::{Ledger, MIXED_LIMIT, NOT_CLASSED, TESTS};
use crate::render::html::thousands;

/// Lines by concept and stage, with what each step deleted and added, and the lines that all
/// stages share.
pub fn summary(ledger: &Ledger) -> String {
    let mut out = String::from(
        "<div class=\"w-table w-ledger\">\n<table>\n<thead>\n\
         <tr><th scope=\"col\" rowspan=\"2\">concept</th>\
         <th scope=\"col\" rowspan=\"2\" class=\"n\">stage 1</th>\
         <th scope=\"colgroup\" colspan=\"2\">step 1</th>\
         <th scope=\"col\" rowspan=\"2\" class=\"n\">stage 2</th>\
         <th scope=\"colgroup\" colspan=\"2\">step 2</th>\
         <th scope=\"col\" rowspan=\"2\" class=\"n\">stage 3</th>\
         <th scope=\"col\" rowspan=\"2\" class=\"n\">shared</th></tr>\n\
         <tr><th scope=\"col\" class=\"n\" aria-label=\"deleted\">−</th>\
         <th scope=\"col\" class=\"n\" aria-label=\"added\">+</th>\
         <th scope=\"col\" class=\"n\" aria-label=\"deleted\">−</th>\
         <th scope=\"col\" class=\"n\" aria-label=\"added\">+</th></tr>\n</thead>\n<tbody>\n",
    );
    for (n, concept) in CONCEPTS.iter().enumerate() {
        row(&mut out, "", concept.name, &numbers(ledger, |lines| lines[n]));
    }
    let sum = |lines: &super::count::Lines| lines[..CONCEPTS.len()].iter().sum();
    row(&mut out, " class=\"sum\"", "all concepts", &numbers(ledger, sum));
    row(
        &mut out,
        "",
        "not classed: <code>use</code>, <code>mod</code>",
        &numbers(ledger, |l| l[NOT_CLASSED]),
    );
    row(&mut out, "", "tests", &numbers(ledger, |l| l[TESTS]));
    out.push_str("</tbody>\n</table>\n</div>\n");
    out
}

fn numbers(ledger: &Ledger, of: impl Fn(&super::count::Lines) -> usize) -> [usize; 8] {
    let [one, two] = &ledger.steps;
    [
        of(&ledger.stages[0]),
        of(&one.deleted),
        of(&one.added),
        of(&ledger.stages[1]),
        of(&two.deleted),
        of(&two.added),
        of(&ledger.stages[2]),
        of(&ledger.shared),
    ]
}

fn row(out: &mut String, class: &str, name: &str, numbers: &[usize; 8]) {
    // Writing to a String cannot fail.
    let _ = write!(out, "<tr{class}><th scope=\"row\">{name}</th>");
    for (n, number) in numbers.iter().enumerate() {
        let sign = match n {
            1 | 4 if *number > 0 => "−",
            2 | 5 if *number > 0 => "+",
            _ => "",
        };
        let _ = write!(out, "<td class=\"n\">{sign}{}</td>", thousands(*number as u64));
    }
    out.push_str("</tr>\n");
}

/// How the lines were counted, in words, with the share of mixed lines.
pub fn rule(ledger: &Ledger) -> String {
    format!(
        "A line of code is a line with at least one token that is no comment and no doc comment, by \
         rustc's own lexer. `use` and `mod` lines and tests are counted apart. A line belongs to the \
         concept of its function, type or constant; {:.1} % of the classed lines stand in items that \
         serve a second concept too (the build fails above {MIXED_LIMIT} %). A line stayed in a step \
         if it stands, whatever its indentation, in a run of lines that both files of one name have \
         in common and that names something: a common brace is no common line. The last column \
         counts `client-core`, which all stages share: no line of it depends on the I/O model, so no \
         step deletes it. It is counted by whole modules.\n",
        ledger.mixed_percent()
    )
}
