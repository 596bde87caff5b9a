//! No function is longer than a screen.

use crate::problem::Problem;
use crate::sources::lex::Class;
use crate::sources::{Item, Kind, Source};

/// Lines from a function's signature to its closing brace, both included.
pub const MOST: usize = 40;

/// The functions of a file that are longer. Tests are functions too.
pub fn check(source: &Source) -> Vec<Problem> {
    let functions =
        source.items.iter().filter(|i| matches!(i.kind, Kind::Function | Kind::Method));
    functions
        .filter_map(|item| {
            let first = signature(source, item);
            let lines = item.lines.last + 1 - first;
            let message =
                format!("`{}` has {lines} lines; at most {MOST} are allowed", item.path);
            (lines > MOST).then(|| Problem::at(source.path.clone(), first, message))
        })
        .collect()
}

/// The line of a function's `fn`, below its documentation and attributes.
fn signature(source: &Source, item: &Item) -> usize {
    let has_fn = |line: &usize| {
        let pieces = &source.lexed[line - 1].pieces;
        pieces.iter().any(|p| p.class == Class::Keyword && p.text == "fn")
    };
    item.lines.iter().find(has_fn).unwrap_or(item.lines.first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(lines: usize) -> Vec<String> {
        let body = "    x();\n".repeat(lines - 2);
        let text = format!(
            "impl A {{\n    /// Says fn.\n    #[inline]\n    fn a() {{\n{body}    }}\n}}\n"
        );
        let source = Source::parse("p", "p.rs".into(), "m".into(), &text).unwrap();
        check(&source).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_function_is_counted_from_its_signature_on() {
        assert!(found(MOST).is_empty());
        let expected = "p.rs:4: `m::A::a` has 41 lines; at most 40 are allowed";
        assert_eq!(found(MOST + 1), [expected]);
    }
}
