//! An item as it stands in its file.

use super::code::{self, Tag};
use super::html::{escape, plural};
use super::pick::Run;
use crate::sources::{Lines, Source};

/// What stands above a listing.
#[derive(Debug, Clone)]
pub struct Caption {
    /// The path by which the item is known, or the file's module.
    pub name: String,
    /// Where a click on the file leads, if the file has a page.
    pub link: Option<String>,
    /// An identifier that no other element of the book has.
    pub id: String,
}

/// Writes a listing.
pub fn listing(source: &Source, runs: &[Run], caption: &Caption) -> String {
    let mut out = format!("<figure class=\"w-listing\" id=\"{}\">\n", caption.id);
    out.push_str(&format!(
        "<figcaption>{} <code>{}</code></figcaption>\n",
        place(source, shown(runs), caption.link.as_deref()),
        escape(&caption.name)
    ));
    for run in runs {
        match *run {
            Run::Shown(lines) => block(&mut out, source, lines),
            Run::Folded(lines) => {
                let first = source.lines[lines.first - 1].trim();
                out.push_str(&format!(
                    "<details><summary><code>{}</code> <span>{}</span></summary>\n",
                    escape(first),
                    plural(lines.last + 1 - lines.first, "line")
                ));
                block(&mut out, source, lines);
                out.push_str("</details>\n");
            }
            Run::Omitted(lines) => out.push_str(&format!(
                "<p class=\"w-gap\">{} not shown here</p>\n",
                plural(lines.last + 1 - lines.first, "line")
            )),
        }
    }
    out.push_str("</figure>\n");
    out
}

/// File and lines, as a link where there is a page to go to.
pub fn place(source: &Source, lines: Lines, link: Option<&str>) -> String {
    let text = format!("{}:{}", escape(&source.path), range(lines));
    match link {
        Some(link) => format!("<a href=\"{}\">{text}</a>", escape(link)),
        None => format!("<span>{text}</span>"),
    }
}

/// `12` or `12–20`.
pub fn range(lines: Lines) -> String {
    if lines.first == lines.last {
        lines.first.to_string()
    } else {
        format!("{}–{}", lines.first, lines.last)
    }
}

fn shown(runs: &[Run]) -> Lines {
    let all = runs.iter().filter_map(|run| match run {
        Run::Shown(lines) | Run::Folded(lines) => Some(*lines),
        Run::Omitted(_) => None,
    });
    all.reduce(|a, b| Lines { first: a.first.min(b.first), last: a.last.max(b.last) })
        .unwrap_or(Lines { first: 0, last: 0 })
}

fn block(out: &mut String, source: &Source, lines: Lines) {
    out.push_str("<pre class=\"w-code\" tabindex=\"0\">");
    for n in lines.iter() {
        code::line(out, Tag::Line, n, &source.lexed[n - 1], &[]);
    }
    out.push_str("</pre>\n");
}

/// A whole file; each item's first line carries the item's address.
pub fn whole_file(source: &Source, ids: &[(usize, String)]) -> String {
    let mut out =
        String::from("<div class=\"w-listing w-file\">\n<pre class=\"w-code\" tabindex=\"0\">");
    for n in source.whole().iter() {
        for (_, id) in ids.iter().filter(|(line, _)| *line == n) {
            out.push_str(&format!("<a id=\"{id}\"></a>"));
        }
        code::line(&mut out, Tag::Line, n, &source.lexed[n - 1], &[]);
    }
    out.push_str("</pre>\n</div>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_blank_line_and_no_indent_reach_markdown() {
        let text = "fn a() {\n\n    {{ b() }}\n}\n";
        let source = Source::parse("p", "p.rs".into(), "m".into(), text).unwrap();
        let caption =
            Caption { name: "a".into(), link: Some("x.html#y".into()), id: "i".into() };
        let runs = [
            Run::Shown(Lines { first: 1, last: 3 }),
            Run::Omitted(Lines { first: 4, last: 4 }),
        ];
        let html = listing(&source, &runs, &caption);
        for line in html.lines() {
            assert!(!line.is_empty() && !line.starts_with(' '), "{line:?}");
        }
        assert!(!html.contains("{{"));
        assert!(html.contains("<a href=\"x.html#y\">p.rs:1–3</a>"));
        assert!(html.contains("1 line not shown here"));
    }
}
