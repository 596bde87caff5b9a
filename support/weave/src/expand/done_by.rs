//! `done-by`: what was deleted, and who does that work now.

use std::rc::Rc;

use super::{Chapter, Expanded, Failure, Weaver};
use crate::directive::Directive;
use crate::done_by::{self, Doer, Entry};
use crate::ledger::STAGES;
use crate::render::html::{escape, plural};
use crate::render::listing::range;
use crate::sources::{Lines, Source};

/// The deleted items of a stage, or of a part of it: `stage1-rotor::timer`, `stage2-mio`.
pub fn table(weaver: &Weaver, directive: &Directive, chapter: Chapter<'_>) -> Expanded {
    directive.allow(&[])?;
    let (stage, part) = directive.subject.split_once("::").unwrap_or((&directive.subject, ""));
    let number = STAGES[..2]
        .iter()
        .position(|s| *s == stage)
        .ok_or_else(|| format!("`{stage}` is neither {} nor {}", STAGES[0], STAGES[1]))?;
    let entries = weaver.done_by().map_err(|_| Failure::Elsewhere)?;
    let within =
        |path: &str| part.is_empty() || path == part || path.starts_with(&format!("{part}::"));
    let mut rows: Vec<Row<'_>> = Vec::new();
    for (source, n) in done_by::deleted(&weaver.tree, number)? {
        let path = &source.items[n].path;
        let Some(entry) = done_by::entry_of(entries, number, path) else { continue };
        if !within(path) {
            continue;
        }
        match rows.iter_mut().find(|r| r.entry.line == entry.line) {
            Some(row) => row.items += 1,
            None => rows.push(Row { source, item: n, items: 1, entry }),
        }
    }
    if rows.is_empty() {
        return Err(format!("nothing of `{}` was deleted", directive.subject).into());
    }
    let count = rows.iter().map(|r| r.items).sum();
    let rows: String = rows.iter().map(|row| row.html(weaver, chapter)).collect();
    Ok(format!(
        "<div class=\"w-done-by w-table\">\n<table>\n<thead><tr>\
         <th scope=\"col\">{} deleted</th><th scope=\"col\">now done by</th></tr></thead>\n\
         <tbody>\n{rows}</tbody>\n</table>\n</div>\n",
        plural(count, "item")
    ))
}

/// An entry, with the first of the deleted items that it speaks for.
struct Row<'a> {
    source: Rc<Source>,
    item: usize,
    /// How many it speaks for: a type's entry covers its members.
    items: usize,
    entry: &'a Entry,
}

impl Row<'_> {
    fn html(&self, weaver: &Weaver, chapter: Chapter<'_>) -> String {
        let item = &self.source.items[self.item];
        let name = link(weaver, chapter, &self.source, item.lines, &item.path);
        let more = match self.items - 1 {
            0 => String::new(),
            n => format!(" and {n} more of it"),
        };
        format!(
            "<tr><th scope=\"row\"><del>{name}</del>{more}</th><td>{}</td></tr>\n",
            answer(weaver, chapter, self.entry)
        )
    }
}

fn answer(weaver: &Weaver, chapter: Chapter<'_>, entry: &Entry) -> String {
    let mut parts: Vec<String> =
        entry.by.iter().map(|doer| one(weaver, chapter, doer)).collect();
    parts.extend(entry.note.as_deref().map(with_code));
    parts.join("<br>")
}

/// A note, with what stands between backticks as code.
fn with_code(note: &str) -> String {
    let mut out = String::new();
    for (n, part) in note.split('`').enumerate() {
        let part = escape(part);
        out.push_str(&if n % 2 == 1 { format!("<code>{part}</code>") } else { part });
    }
    out
}

fn one(weaver: &Weaver, chapter: Chapter<'_>, doer: &Doer) -> String {
    match doer {
        Doer::Ours(target, path) => match target.place() {
            Some((source, lines)) => link(weaver, chapter, source, lines, path),
            None => format!("<code>{}</code>", escape(path)),
        },
        Doer::Upstream(found) => {
            let item = &found.source.items[found.item];
            format!(
                "<a href=\"{}\"><code>{}::{}</code></a> ({} {}, {}:{})",
                escape(&found.package.page(&found.source, item.lines)),
                escape(&found.package.lib_name),
                escape(&item.path),
                escape(&found.package.name),
                escape(&found.package.version),
                escape(&found.source.path),
                range(item.lines)
            )
        }
    }
}

fn link(
    weaver: &Weaver,
    chapter: Chapter<'_>,
    source: &Source,
    lines: Lines,
    name: &str,
) -> String {
    let name = format!("<code>{}</code>", escape(name));
    match weaver.pages.link(chapter.page, source, lines.first) {
        Some(link) => format!("<a href=\"{}\">{name}</a>", escape(&link)),
        None => name,
    }
}
