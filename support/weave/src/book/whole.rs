//! What only the whole book can tell: that it shows every item of the stages, and that what is
//! said of every item is complete.

use crate::done_by;
use crate::expand::Weaver;
use crate::ledger::units::files_of;
use crate::ledger::{self, STAGES, picture};
use crate::problem::Problem;
use crate::sources::Kind;

/// Checks a book whose chapters have all been expanded.
///
/// The ledger and "now done by" are checked wherever their files are, asked for by a page or not.
pub fn check(weaver: &Weaver, problems: &mut Vec<Problem>) {
    if weaver.book.join(ledger::FILE).exists() || weaver.asked_for_ledger() {
        match weaver.ledger() {
            Ok(_) => problems.extend(stale_picture(weaver)),
            Err(found) => problems.extend(found.0.iter().cloned()),
        }
    }
    if (weaver.book.join(done_by::FILE).exists() || weaver.asked_for_done_by())
        && let Err(found) = weaver.done_by()
    {
        problems.extend(found.0.iter().cloned());
    }
    for stage in STAGES {
        unshown(weaver, stage, problems);
    }
}

/// The README shows the ledger's picture from a file, which a build does not write.
fn stale_picture(weaver: &Weaver) -> Option<Problem> {
    let ledger = weaver.ledger().ok()?;
    let file = std::fs::read_to_string(weaver.book.join(picture::FILE)).unwrap_or_default();
    (file != picture::file(ledger)).then(|| {
        let message =
            "the ledger has changed: `cargo run -p weave -- ledger --write` draws it anew";
        Problem::of(format!("book/{}", picture::FILE), message)
    })
}

fn unshown(weaver: &Weaver, stage: &str, problems: &mut Vec<Problem>) {
    // A workspace without stages is a book about something else.
    if !weaver.tree.packages().any(|p| p == stage) {
        return;
    }
    let files = match files_of(&weaver.tree, stage) {
        Ok(files) => files,
        Err(problem) => return problems.push(problem),
    };
    for source in files {
        let hidden = source
            .items
            .iter()
            .find(|i| i.kind != Kind::Declaration && !weaver.is_shown(&source, i.lines));
        if let Some(item) = hidden {
            let message = format!("no page shows all of `{}`", item.path);
            problems.push(Problem::at(source.path.clone(), item.lines.first, message));
        }
    }
}
