//! `step` and `pairs`: the same concern in two stages.

use super::{Chapter, Expanded, Failure, Weaver};
use crate::directive::Directive;
use crate::problem::Cause;
use crate::render::step::{self, Column};
use crate::render::{pairs, pick};
use crate::sources::find;

/// A line diff of two items, or of several joined by ` + `.
pub fn step(weaver: &Weaver, directive: &Directive, chapter: Chapter<'_>) -> Expanded {
    directive.allow(&["old", "new"])?;
    let (old, new) = columns(weaver, directive, chapter)?;
    let hunks = step::by_lines(&old, &new);
    Ok(step::step(&old, &new, &hunks, &id(weaver, directive)))
}

/// A step in which the author says which lines answer which.
pub fn pairs(weaver: &Weaver, directive: &Directive, chapter: Chapter<'_>) -> Expanded {
    directive.allow(&["old", "new"])?;
    let (old, new) = columns(weaver, directive, chapter)?;
    let hunks = pairs::hunks(&directive.block, &old, &new)
        .map_err(|(line, message)| Failure::Line(line, message))?;
    Ok(step::step(&old, &new, &hunks, &id(weaver, directive)))
}

fn id(weaver: &Weaver, directive: &Directive) -> String {
    let side = |key| directive.get(key).unwrap_or_default();
    weaver.id(&format!("step {} {}", side("old"), side("new")))
}

fn columns(
    weaver: &Weaver,
    directive: &Directive,
    chapter: Chapter<'_>,
) -> Result<(Column, Column), Cause> {
    let old = column(weaver, directive.get("old"), "old", chapter)?;
    let new = column(weaver, directive.get("new"), "new", chapter)?;
    Ok((old, new))
}

/// The lines of `PATH + PATH[from .. to] + ...`; `nothing` is an empty side.
fn column(
    weaver: &Weaver,
    paths: Option<&str>,
    key: &str,
    chapter: Chapter<'_>,
) -> Result<Column, Cause> {
    let paths = paths.ok_or_else(|| format!("`{key}=` is missing"))?;
    let mut column = Column::default();
    if paths == "nothing" {
        return Ok(column);
    }
    for path in paths.split(" + ") {
        let (path, part) = match path.split_once('[') {
            Some((path, part)) => (path, part.strip_suffix(']')),
            None => (path, None),
        };
        let target = find::find(&weaver.tree, path)?;
        let (source, mut lines) =
            target.place().ok_or_else(|| format!("`{path}` is a package, not an item"))?;
        if let Some((from, to)) = part.and_then(|p| p.split_once(" .. ")) {
            lines.first = pick::first_with(source, lines, from)?;
            lines.last = pick::first_with(source, lines, to)?;
        }
        weaver.show(source, lines);
        let link = weaver.pages.link(chapter.page, source, lines.first);
        column.push(source, lines, link);
    }
    Ok(column)
}
