//! The ledger's file, read: which item the author put where, with the line of the file.

use toml::de::{DeTable, DeValue};

use super::{SHARED, STAGES, concept};
use crate::problem::{Problem, Problems};

/// One item of a stage, or one module of `client-core`, under one concept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The package: a stage, or `client-core`.
    pub package: String,
    /// The item's path in the package, its file's module in front; for `client-core` the module.
    pub path: String,
    /// The concept, as an index into the list.
    pub concept: usize,
    /// What else it serves.
    pub also: Vec<usize>,
    /// Where the entry stands in the ledger.
    pub line: usize,
}

/// Reads the file's text. `Type::{a, b}` stands for two items.
///
/// # Errors
/// What is no stage, no concept, or no list of texts.
pub fn parse(file: &str, text: &str) -> Result<Vec<Entry>, Problems> {
    let line_at = |at: usize| text[..at.min(text.len())].matches('\n').count() + 1;
    let table = DeTable::parse(text).map_err(|e| {
        Problem::at(file, e.span().map_or(0, |s| line_at(s.start)), e.message().to_owned())
    })?;
    let mut reader =
        Reader { file, line_at: &line_at, entries: Vec::new(), problems: Vec::new() };
    for (stage, modules) in table.get_ref() {
        let line = line_at(stage.span().start);
        match modules.get_ref() {
            DeValue::Table(modules) if STAGES.contains(&stage.get_ref().as_ref()) => {
                for (module, concepts) in modules {
                    reader.module(stage.get_ref(), module.get_ref(), concepts.get_ref());
                }
            }
            DeValue::Table(concepts) if stage.get_ref() == SHARED => {
                reader.concepts(SHARED, "lib", concepts);
            }
            _ => {
                let message = format!(
                    "`{}` is no stage, and not {SHARED}: {}",
                    stage.get_ref(),
                    STAGES.join(", ")
                );
                reader.problems.push(Problem::at(file, line, message));
            }
        }
    }
    let Reader { entries, problems, .. } = reader;
    Problems::check(problems).map(|()| entries)
}

struct Reader<'a> {
    file: &'a str,
    line_at: &'a dyn Fn(usize) -> usize,
    entries: Vec<Entry>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn module(&mut self, stage: &str, module: &str, concepts: &DeValue<'_>) {
        let DeValue::Table(concepts) = concepts else {
            let message = format!("[{stage}.{module}] is no table");
            return self.problems.push(Problem::of(self.file, message));
        };
        self.concepts(stage, module, concepts);
    }

    fn concepts(&mut self, package: &str, module: &str, concepts: &DeTable<'_>) {
        for (names, items) in concepts {
            let line = (self.line_at)(names.span().start);
            let (concept, also) = match concepts_of(names.get_ref()) {
                Ok(found) => found,
                Err(message) => {
                    self.problems.push(Problem::at(self.file, line, message));
                    continue;
                }
            };
            let DeValue::Array(items) = items.get_ref() else {
                self.problems.push(Problem::at(self.file, line, "a list of items is expected"));
                continue;
            };
            for item in items.iter() {
                let line = (self.line_at)(item.span().start);
                let DeValue::String(text) = item.get_ref() else {
                    self.problems.push(Problem::at(self.file, line, "an item is a text"));
                    continue;
                };
                for name in spread(text) {
                    let path = if module == "lib" { name } else { format!("{module}::{name}") };
                    let package = package.to_owned();
                    self.entries.push(Entry {
                        package,
                        path,
                        concept,
                        also: also.clone(),
                        line,
                    });
                }
            }
        }
    }
}

/// Reads `pooling also timers, wakeup`.
fn concepts_of(names: &str) -> Result<(usize, Vec<usize>), String> {
    let one = |name: &str| {
        concept::index(name.trim()).ok_or_else(|| {
            let all: Vec<&str> = concept::CONCEPTS.iter().map(|c| c.name).collect();
            format!("`{}` is no concept: {}", name.trim(), all.join(", "))
        })
    };
    match names.split_once(" also ") {
        None => Ok((one(names)?, Vec::new())),
        Some((first, others)) => {
            Ok((one(first)?, others.split(',').map(one).collect::<Result<_, _>>()?))
        }
    }
}

/// `A::{b, c}` as `A::b` and `A::c`.
fn spread(text: &str) -> Vec<String> {
    match text.split_once('{') {
        Some((prefix, rest)) => rest
            .trim_end()
            .trim_end_matches('}')
            .split(',')
            .map(|name| format!("{prefix}{}", name.trim()))
            .collect(),
        None => vec![text.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_know_their_lines() {
        let text = "[stage1-rotor.pool]\npooling = [\n  \"Pool\",\n  \"Pool::{a, b}\",\n]\n\"timers also wakeup\" = [\"T\"]\n[stage2-mio.lib]\nsurface = [\"x\"]\n";
        let entries = parse("l.toml", text).unwrap();
        let seen: Vec<(&str, usize, usize)> =
            entries.iter().map(|e| (e.path.as_str(), e.concept, e.line)).collect();
        let (pooling, timers, surface) = (8, 6, 11);
        let mut expected = vec![
            ("pool::Pool", pooling, 3),
            ("pool::Pool::a", pooling, 4),
            ("pool::Pool::b", pooling, 4),
            ("pool::T", timers, 6),
            ("x", surface, 8),
        ];
        expected.sort_by_key(|e| e.2);
        let mut seen = seen;
        seen.sort_by_key(|e| e.2);
        assert_eq!(seen, expected);
        assert_eq!(entries.iter().find(|e| e.path == "pool::T").unwrap().also, [1]);
    }

    #[test]
    fn what_is_unknown_is_told_with_its_line() {
        let wrong = |text: &str| parse("l.toml", text).unwrap_err().0.remove(0);
        assert!(wrong("[stage9.x]\n").message.contains("no stage"));
        let problem = wrong("[stage1-rotor.x]\n\npoolng = []\n");
        assert_eq!(problem.line, 3);
        assert!(problem.message.contains("`poolng` is no concept: interest"));
        assert!(wrong("[stage1-rotor.x]\npooling = [1]\n").message.contains("text"));
        assert_eq!(wrong("a\n").line, 1);
    }
}
