//! `done-by`: what was deleted, and who does that work now.

use std::fmt::Write;

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
    let mut rows = String::new();
    let mut count = 0;
    for (source, n) in done_by::deleted(&weaver.tree, number).map_err(|e| e.to_string())? {
        let item = &source.items[n];
        let Some(entry) = done_by::entry_of(entries, number, &item.path) else { continue };
        if !within(&item.path) {
            continue;
        }
        count += 1;
        let name = link(weaver, chapter, &source, item.lines, &item.path);
        // Writing to a String cannot fail.
        let _ = writeln!(
            rows,
            "<tr><th scope=\"row\"><del>{name}</del></th><td>{}</td></tr>",
            answer(weaver, chapter, entry)
        );
    }
    if count == 0 {
        return Err(format!("nothing of `{}` was deleted", directive.subject).into());
    }
    Ok(format!(
        "<div class=\"w-done-by w-table\">\n<table>\n<thead><tr>\
         <th scope=\"col\">{} deleted</th><th scope=\"col\">now done by</th></tr></thead>\n\
         <tbody>\n{rows}</tbody>\n</table>\n</div>\n",
        plural(count, "item")
    ))
}

fn answer(weaver: &Weaver, chapter: Chapter<'_>, entry: &Entry) -> String {
    let mut parts: Vec<String> =
        entry.by.iter().map(|doer| one(weaver, chapter, doer)).collect();
    parts.extend(entry.note.as_deref().map(escape));
    parts.join("<br>")
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
