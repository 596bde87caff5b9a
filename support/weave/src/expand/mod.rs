//! Chapters: each directive is replaced by what it stands for.

pub mod command;
pub mod done_by;
pub mod figure;
pub mod ledger;
pub mod listing;
pub mod number;
pub mod pages;
pub mod results;
pub mod step;
pub mod trace;
pub mod version;
pub mod weaver;

pub use weaver::Weaver;

use crate::directive::{self, Directive, Part};
use crate::problem::{Cause, Problem};
use crate::sources::nearest::nearest;

/// A chapter while it is expanded.
#[derive(Debug, Clone, Copy)]
pub struct Chapter<'a> {
    /// The page's path below the book's folder of sources, as mdBook knows it.
    pub page: &'a str,
    /// The file to name in a message.
    pub file: &'a str,
}

/// What stands in for a directive.
type Expanded = Result<String, Failure>;

/// Why a directive could not be expanded.
#[derive(Debug)]
pub enum Failure {
    /// A message about the directive's own line.
    Here(String),
    /// A message about a line of its block.
    Line(usize, String),
    /// A problem at another place, which other lines may have too.
    There(Problem),
    /// What is wrong is reported once, for the whole book.
    Elsewhere,
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::Here(message)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::There(problem)
    }
}

impl From<Cause> for Failure {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Here(message) => Self::Here(message),
            Cause::There(problem) => Self::There(problem),
        }
    }
}

/// How a directive is expanded.
type Expand = fn(&Weaver, &Directive, Chapter<'_>) -> Expanded;

/// A directive that there is.
struct Known {
    name: &'static str,
    /// Whether it makes a block, which must stand on a line of its own.
    block: bool,
    expand: Expand,
}

const fn block(name: &'static str, expand: Expand) -> Known {
    Known { name, block: true, expand }
}

const fn inline(name: &'static str, expand: Expand) -> Known {
    Known { name, block: false, expand }
}

/// All directives.
const KNOWN: &[Known] = &[
    block("item", listing::item),
    block("file", listing::file),
    block("sources", listing::sources),
    block("step", step::step),
    block("pairs", step::pairs),
    block("run", command::run),
    block("ledger", ledger::summary),
    block("ledger-picture", ledger::picture),
    block("ledger-items", ledger::items),
    block("dependencies", ledger::dependencies),
    block("hyper", ledger::hyper),
    block("done-by", done_by::table),
    block("measured-counters", results::counters),
    block("measured-group", results::group),
    block("measured-mine", results::mine),
    block("measured-rounds", results::rounds),
    block("measured-targets", results::targets),
    block("trace", trace::picture),
    block("trace-counts", trace::counts),
    inline("lines", number::lines),
    inline("count", number::count),
    inline("const", number::constant),
    inline("figure", figure::figure),
    inline("ratio", figure::ratio),
    inline("measured-machine", results::machine),
    inline("measured-widest", results::rule),
    inline("ledger-lines", ledger::lines),
    inline("trace-count", trace::count),
    inline("version", version::version),
];

/// Directives that are mdBook's own and are left to it.
const MDBOOK: &[&str] = &["title", "include", "rustdoc_include"];

/// Expands a chapter's text; problems are collected, so that one build reports them all.
pub fn expand(
    weaver: &Weaver,
    chapter: Chapter<'_>,
    text: &str,
    problems: &mut Vec<Problem>,
) -> String {
    let parts = match directive::parse(text) {
        Ok(parts) => parts,
        Err((line, message)) => {
            problems.push(Problem::at(chapter.file, line, message));
            return text.to_owned();
        }
    };
    let mut out = String::with_capacity(text.len());
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(&text),
            Part::Directive(directive, text) => match one(weaver, &directive, chapter) {
                Ok(Some(html)) => out.push_str(&html),
                Ok(None) => out.push_str(&text),
                Err(Failure::Here(message)) => {
                    problems.push(Problem::at(chapter.file, directive.line, message));
                }
                Err(Failure::There(problem)) => problems.push(problem),
                Err(Failure::Elsewhere) => {}
                Err(Failure::Line(line, message)) => {
                    problems.push(Problem::at(chapter.file, line, message));
                }
            },
        }
    }
    out
}

/// Expands one directive; `None` leaves it to mdBook.
fn one(
    weaver: &Weaver,
    directive: &Directive,
    chapter: Chapter<'_>,
) -> Result<Option<String>, Failure> {
    if MDBOOK.contains(&directive.name.as_str()) {
        return Ok(None);
    }
    let Some(known) = KNOWN.iter().find(|k| k.name == directive.name) else {
        let near = nearest(&directive.name, KNOWN.iter().map(|k| k.name), 2).join("`, `");
        let message = format!("no directive `{}`; the nearest are `{near}`", directive.name);
        return Err(Failure::Here(message));
    };
    if known.block && !directive.alone {
        return Err(Failure::Here(format!("`{}` stands on a line of its own", known.name)));
    }
    (known.expand)(weaver, directive, chapter).map(Some)
}
