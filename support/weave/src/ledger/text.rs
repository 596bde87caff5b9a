//! The ledger for a terminal.

use super::concept::CONCEPTS;
use super::count::{Ledger, Lines, NOT_CLASSED, TESTS};

/// The table, and how it is read.
pub fn text(ledger: &Ledger) -> String {
    let mut out = row(
        "",
        ["stage 1", "-", "+", "stage 2", "-", "+", "stage 3", "shared"].map(str::to_owned),
    );
    let counted = |name: &str, of: &dyn Fn(&Lines) -> usize| {
        let [one, two] = &ledger.steps;
        let stage = |n: usize| of(&ledger.stages[n]).to_string();
        let deleted = |lines: &Lines| format!("-{}", of(lines));
        let added = |lines: &Lines| format!("+{}", of(lines));
        let cells = [
            stage(0),
            deleted(&one.deleted),
            added(&one.added),
            stage(1),
            deleted(&two.deleted),
            added(&two.added),
            stage(2),
            of(&ledger.shared).to_string(),
        ];
        row(name, cells)
    };
    for (n, concept) in CONCEPTS.iter().enumerate() {
        out.push_str(&counted(concept.name, &|lines| lines[n]));
    }
    let all = |lines: &Lines| lines[..CONCEPTS.len()].iter().sum();
    out.push_str(&counted("all concepts", &all));
    out.push_str(&counted("use, mod", &|lines| lines[NOT_CLASSED]));
    out.push_str(&counted("tests", &|lines| lines[TESTS]));
    out.push_str(&format!(
        "\nRead a row from left to right: lines of code that stage 1 (rotor) spends on a concept, what \
         the\nstep to stage 2 (mio) deleted of them (-) and added (+), stage 2's lines, the step to \
         stage 3 (tokio).\nThe last column is client-core, which all stages share: it depends on no I/O \
         model.\nNo comments are counted. {:.1} % of the lines stand in items that serve a \
         second concept too.\n",
        ledger.mixed_percent()
    ));
    out
}

fn row(name: &str, cells: [String; 8]) -> String {
    let cells: String = cells.iter().map(|cell| format!("{cell:>9}")).collect();
    format!("{name:<14}{cells}\n")
}
