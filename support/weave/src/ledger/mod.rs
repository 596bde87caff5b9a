//! The ledger: every item of the three stages belongs to one concept.
//!
//! `book/ledger.toml` has a table for each file, `[stage1-rotor.pool]`, and in it a list of items
//! for each concept. An item that truly mixes stands under the concept for which it would last be
//! deleted, with the others named: `"pooling also timers"`. What is classed are functions, types,
//! traits, constants, macros, and the headers of impl blocks; the members of a trait and of a trait
//! impl go with it, unless they are named themselves. `use`, `mod` and tests are counted apart.
//!
//! What the stages share is counted too: `[client-core]` has a list of modules for each concept, and
//! a module's entry covers the modules inside it that have none.

pub mod concept;
pub mod count;
pub mod dependencies;
pub mod entries;
pub mod history;
pub mod picture;
pub mod propose;
pub mod table;
pub mod text;
pub mod units;

use crate::problem::{Problem, Problems};
use crate::sources::Tree;

/// The stages, in the order of the years.
pub const STAGES: [&str; 3] = ["stage1-rotor", "stage2-mio", "stage3-tokio"];

/// The package that all stages share, because no I/O model touches it.
pub const SHARED: &str = "client-core";

/// The file, relative to the book's folder.
pub const FILE: &str = "ledger.toml";

/// Reads the ledger, and checks it against the sources.
///
/// # Errors
/// What is missing, unknown or given twice, and a share of mixed lines above the limit.
pub fn read(tree: &Tree, book: &std::path::Path) -> Result<count::Ledger, Problems> {
    let shown = format!("book/{FILE}");
    let text = std::fs::read_to_string(book.join(FILE))
        .map_err(|e| Problem::of(shown.clone(), e.to_string()))?;
    let entries = entries::parse(&shown, &text)?;
    let classed = units::class(tree, &shown, entries)?;
    let ledger = count::count(tree, classed)?;
    let share = ledger.mixed_percent();
    if share > count::MIXED_LIMIT {
        let message = format!(
            "{share:.1} % of the classed lines serve more than one concept; the limit is {} %",
            count::MIXED_LIMIT
        );
        return Err(Problem::of(shown, message).into());
    }
    Ok(ledger)
}
