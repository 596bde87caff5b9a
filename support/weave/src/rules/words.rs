//! Words that no comment uses. The table in CONTRIBUTING.md names them, each in backticks in the
//! column of what is not written; what stands there without backticks needs a reader's judgement.

use crate::problem::Problem;
use crate::sources::Source;
use crate::sources::lex::Class;

/// The file with the table.
pub const FILE: &str = "CONTRIBUTING.md";

/// The heading of the table's last column.
const COLUMN: &str = "not";

/// Words that a test looks for, and what is written instead.
#[derive(Debug)]
pub struct Forbidden(Vec<(String, String)>);

impl Forbidden {
    /// Reads the tables whose last column is headed `not`.
    ///
    /// # Errors
    /// A text without such a word.
    pub fn read(text: &str) -> Result<Self, Problem> {
        let mut words = Vec::new();
        let mut inside = false;
        for line in text.lines() {
            let Some(cells) = cells(line) else {
                inside = false;
                continue;
            };
            let [.., instead, not] = cells.as_slice() else { continue };
            if *not == COLUMN {
                inside = true;
            } else if inside {
                let instead = instead.replace(['*', '`'], "");
                let quoted = not.split('`').skip(1).step_by(2);
                words.extend(quoted.map(|word| (word.to_owned(), instead.clone())));
            }
        }
        if words.is_empty() {
            return Err(Problem::of(FILE, "no table whose last column is headed `not`"));
        }
        Ok(Self(words))
    }

    /// The comments of a file that use one of the words.
    pub fn check(&self, source: &Source) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (n, line) in source.lexed.iter().enumerate() {
            let comments = line.pieces.iter().filter(|p| p.class == Class::Comment);
            for comment in comments {
                let hits = self.0.iter().filter(|(word, _)| holds(&comment.text, word));
                problems.extend(hits.map(|(word, instead)| {
                    let message = format!("a comment says `{word}`; write: {instead}");
                    Problem::at(source.path.clone(), n + 1, message)
                }));
            }
        }
        problems
    }
}

/// A table's row, cut into its cells.
pub(super) fn cells(line: &str) -> Option<Vec<&str>> {
    let row = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(row.split('|').map(str::trim).collect())
}

/// Whether a comment holds whole words. A word in capitals is looked for as it is, `N` stands for a
/// number.
fn holds(comment: &str, words: &str) -> bool {
    let exact = words.chars().all(char::is_uppercase);
    let split = |text: &str| -> Vec<String> {
        let parts = text.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        parts.filter(|p| !p.is_empty()).map(str::to_owned).collect()
    };
    let fits = |found: &String, word: &String| match word.as_str() {
        "N" => found.chars().all(|c| c.is_ascii_digit()),
        _ if exact => found == word,
        _ => found.to_lowercase() == *word,
    };
    let (found, words) = (split(comment), split(words));
    found.windows(words.len()).any(|w| w.iter().zip(&words).all(|(f, w)| fits(f, w)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
| a | b |
|---|---|
| `x` | `y` |

| thing | word | not |
|---|---|---|
| wakeup | *notifier* | `bell`, `lies down`, alarm |
| source | the RFC | `DESIGN`, `decision N` |
";

    #[test]
    fn whole_words_are_found_in_comments_alone() {
        let forbidden = Forbidden::read(TABLE).unwrap();
        assert_eq!(forbidden.0.len(), 4);
        let text = "//! Rings a Bell.\nfn bell() {} // lies  down\n/// bells, y, design\n\
            // See DESIGN.\n/* decision 20\n decision maker */\nconst A: &str = \"// bell\";\n";
        let source = Source::parse("p", "p.rs".into(), "m".into(), text).unwrap();
        let found: Vec<String> =
            forbidden.check(&source).iter().map(ToString::to_string).collect();
        let expected = [
            "p.rs:1: a comment says `bell`; write: notifier",
            "p.rs:2: a comment says `lies down`; write: notifier",
            "p.rs:4: a comment says `DESIGN`; write: the RFC",
            "p.rs:5: a comment says `decision N`; write: the RFC",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_table_that_is_gone_is_no_permission() {
        assert!(Forbidden::read("| thing | word | never |\n| a | b | `c` |\n").is_err());
    }
}
