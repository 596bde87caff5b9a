//! `ledger`, `ledger-picture`, `ledger-items`, `ledger-lines`, `dependencies`, `hyper`.

use std::fmt::Write;

use super::{Chapter, Expanded, Failure, Weaver};
use crate::directive::Directive;
use crate::ledger::count::{Ledger, Lines, Module, Unit};
use crate::ledger::{SHARED, STAGES, concept, count, dependencies, history, picture, table};
use crate::render::html::{escape, thousands};

/// Lines by concept and stage, and how they were counted.
pub fn summary(weaver: &Weaver, directive: &Directive, _: Chapter<'_>) -> Expanded {
    directive.allow(&[])?;
    let ledger = ledger(weaver)?;
    Ok(format!("{}\n{}", table::summary(ledger), table::rule(ledger)))
}

/// The same as a picture.
pub fn picture(weaver: &Weaver, directive: &Directive, _: Chapter<'_>) -> Expanded {
    directive.allow(&[])?;
    Ok(picture::inline(ledger(weaver)?, &weaver.id("ledger")))
}

/// Every item of a stage, or every module of `client-core`, with its concept and lines.
pub fn items(weaver: &Weaver, directive: &Directive, chapter: Chapter<'_>) -> Expanded {
    directive.allow(&[])?;
    if directive.subject == SHARED {
        return modules(weaver, chapter);
    }
    let stage = STAGES
        .iter()
        .position(|s| *s == directive.subject)
        .ok_or_else(|| format!("`{}` is no stage: {}", directive.subject, STAGES.join(", ")))?;
    let ledger = ledger(weaver)?;
    let mut out = head("item");
    let rows = count::items(&weaver.tree, stage, ledger)?;
    for Unit { source, item, concept, lines } in rows {
        let item = &source.items[item];
        let link = weaver.pages.link(chapter.page, &source, item.lines.first);
        let also = &ledger.classed.stages[stage][&item.path].also;
        row(&mut out, &item.path, link.as_deref(), concept, also, lines);
    }
    out.push_str("</tbody>\n</table>\n</div>\n");
    Ok(out)
}

/// Every module of `client-core` with its concept and lines.
fn modules(weaver: &Weaver, chapter: Chapter<'_>) -> Expanded {
    let mut out = head("module");
    for Module { source, name, concept, also, lines } in
        count::modules(&weaver.tree, ledger(weaver)?)?
    {
        let link = weaver.pages.link(chapter.page, &source, 1);
        let concept = concept::CONCEPTS[concept].name;
        row(&mut out, &name, link.as_deref(), concept, &also, lines);
    }
    out.push_str("</tbody>\n</table>\n</div>\n");
    Ok(out)
}

fn head(what: &str) -> String {
    format!(
        "<div class=\"w-table\">\n<table>\n<thead><tr><th scope=\"col\">{what}</th>\
         <th scope=\"col\">concept</th>\
         <th scope=\"col\" class=\"n\">lines</th></tr></thead>\n<tbody>\n"
    )
}

fn row(
    out: &mut String,
    path: &str,
    link: Option<&str>,
    concept: &str,
    also: &[usize],
    lines: usize,
) {
    let name = format!("<code>{}</code>", escape(path));
    let name = match link {
        Some(link) => format!("<a href=\"{}\">{name}</a>", escape(link)),
        None => name,
    };
    let also: String =
        also.iter().map(|c| format!(", also {}", concept::CONCEPTS[*c].name)).collect();
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "<tr><th scope=\"row\">{name}</th><td>{concept}{also}</td><td class=\"n\">{lines}</td></tr>"
    );
}

/// One number of the ledger: `pooling stage=1`, `all step=2 of=deleted`, `framing of=shared`.
pub fn lines(weaver: &Weaver, directive: &Directive, _: Chapter<'_>) -> Expanded {
    directive.allow(&["stage", "step", "of"])?;
    let ledger = ledger(weaver)?;
    let lines: &Lines =
        match (directive.get("stage"), directive.get("step"), directive.get("of")) {
            (Some(stage), None, None) => &ledger.stages[nth(stage, 3)?],
            (None, Some(step), Some("deleted")) => &ledger.steps[nth(step, 2)?].deleted,
            (None, Some(step), Some("added")) => &ledger.steps[nth(step, 2)?].added,
            (None, None, Some("shared")) => &ledger.shared,
            _ => {
                let ways = "give `stage=N`, `step=N of=deleted|added`, or `of=shared`";
                return Err(ways.to_owned().into());
            }
        };
    let number: usize = match directive.subject.as_str() {
        "all" => lines[..concept::CONCEPTS.len()].iter().sum(),
        name => lines[concept::index(name).ok_or_else(|| format!("`{name}` is no concept"))?],
    };
    Ok(thousands(number as u64))
}

fn nth(text: &str, end: usize) -> Result<usize, String> {
    text.parse::<usize>()
        .ok()
        .filter(|n| (1..=end).contains(n))
        .map(|n| n - 1)
        .ok_or_else(|| format!("`{text}` is not between 1 and {end}"))
}

/// The dependencies that took work over, with their own code size.
pub fn dependencies(weaver: &Weaver, directive: &Directive, _: Chapter<'_>) -> Expanded {
    directive.allow(&[])?;
    Ok(dependencies::table(&weaver.upstream)?)
}

/// The count of hyper's own migration.
pub fn hyper(weaver: &Weaver, directive: &Directive, _: Chapter<'_>) -> Expanded {
    directive.allow(&[])?;
    Ok(history::table(&weaver.book)?)
}

/// What is wrong with the ledger is reported once, for the whole book.
fn ledger(weaver: &Weaver) -> Result<&Ledger, Failure> {
    weaver.ledger().map_err(|_| Failure::Elsewhere)
}
