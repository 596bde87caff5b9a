//! `measured-group`, `measured-rounds`, `measured-counters`, `measured-targets`, `measured-machine`: the
//! reference run; and `measured-mine`: the reader's own run beside it, where there is one.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Chapter, Expanded, Weaver};
use crate::directive::Directive;
use crate::problem::Problem;
use crate::render::bars;
use crate::render::html::{escape, plural};
use crate::render::number;
use crate::results::{self, MINE, PEER, REFERENCE, Rate, Results, WIDEST_PERCENT};

/// A run and how tables call it.
type Named<'a> = (&'a str, &'a Results);

/// The columns of the counters: name in the file, heading, digits.
const COUNTERS: [(&str, &str, usize); 4] = [
    ("system_calls", "system calls", 2),
    ("instructions", "user instructions", 0),
    ("allocations", "heap allocations", 2),
    ("bytes", "bytes allocated", 0),
];

/// How a group tells its rates.
#[derive(Clone, Copy)]
enum Unit {
    CallsPerSecond,
    /// For bodies of one MiB.
    MibPerSecond,
    /// For callers one of whom calls at a time.
    MicrosecondsPerCall,
}

impl Unit {
    fn of(text: Option<&str>) -> Result<Self, String> {
        match text.unwrap_or("calls/s") {
            "calls/s" => Ok(Unit::CallsPerSecond),
            "MiB/s" => Ok(Unit::MibPerSecond),
            "µs" => Ok(Unit::MicrosecondsPerCall),
            other => Err(format!("unit={other}: there is calls/s, MiB/s, µs")),
        }
    }

    fn heading(self) -> &'static str {
        match self {
            Unit::CallsPerSecond => "calls/s",
            Unit::MibPerSecond => "MiB/s",
            Unit::MicrosecondsPerCall => "µs per call",
        }
    }

    fn tell(self, per_second: f64) -> String {
        match self {
            Unit::MicrosecondsPerCall => number::figure(1e6 / per_second, Some(1)),
            _ => number::figure(per_second, Some(0)),
        }
    }
}

/// One of criterion's groups: a picture, and its table.
pub fn group(weaver: &Weaver, directive: &Directive, _: Chapter<'_>) -> Expanded {
    directive.allow(&["unit"])?;
    let (run, name) = (reference(weaver)?, directive.subject.as_str());
    let rates = run.group(name);
    if rates.is_empty() {
        let names = run.groups().join("`, `");
        return Err(format!("no group `{name}` in the reference run: `{names}`").into());
    }
    let unit = Unit::of(directive.get("unit"))?;
    Ok(shown(weaver, &title(name), &rates)
        + &table(
            &rates.iter().map(|(n, rates)| (*n, vec![("", &rates[..])])).collect::<Vec<_>>(),
            unit,
        ))
}

/// The rates of so many callers over all rounds: a picture, and its table.
pub fn rounds(weaver: &Weaver, directive: &Directive, _: Chapter<'_>) -> Expanded {
    directive.allow(&[])?;
    let run = reference(weaver)?;
    let there = || format!("there is {:?} for callers", run.rates.keys().collect::<Vec<_>>());
    let callers: usize = directive.subject.parse().map_err(|_| there())?;
    let rates = run.rates.get(&callers).ok_or_else(there)?;
    let name = title(&format!("small answers, round by round, {}", plural(callers, "caller")));
    let panel = [(plural(callers, "caller"), &rates[..])];
    Ok(bars::picture(&name, &panel, &weaver.id("measured rounds"))
        + &table(&[(callers, vec![("", rates)])], Unit::CallsPerSecond))
}

/// What each subject takes per call.
pub fn counters(weaver: &Weaver, directive: &Directive, _: Chapter<'_>) -> Expanded {
    directive.allow(&[])?;
    Ok(counted(&[("", &reference(weaver)?)]))
}

/// What the machine was.
pub fn machine(weaver: &Weaver, directive: &Directive, _: Chapter<'_>) -> Expanded {
    directive.allow(&[])?;
    Ok(escape(&reference(weaver)?.machine.describe()))
}

/// Where each stage stands against the figures to reach.
pub fn targets(weaver: &Weaver, directive: &Directive, _: Chapter<'_>) -> Expanded {
    directive.allow(&[])?;
    let run = reference(weaver)?;
    let mut out = head(&["what", "client"], &["wanted", "found"], &[""]);
    for target in results::targets(weaver.tree.root())? {
        for (subject, wanted) in &target.figures {
            let found = run.found(&target, subject);
            let verdict = match found {
                None => "not measured",
                Some((_, false)) => "unfit to quote",
                Some((found, _))
                    if (found >= *wanted) == target.at_least || found == *wanted =>
                {
                    "reached"
                }
                Some(_) => "<strong>missed</strong>",
            };
            let digits = Some(if *wanted < 20.0 { 2 } else { 0 });
            let figure = |value| number::figure(value, digits);
            // Writing to a String cannot fail.
            let _ = writeln!(
                out,
                "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"n\">{} {}</td>\
                 <td class=\"n\">{}</td><td>{verdict}</td></tr>",
                escape(&target.label),
                escape(subject),
                if target.at_least { "≥" } else { "≤" },
                figure(*wanted),
                found.map_or_else(String::new, |(found, _)| figure(found)),
            );
        }
    }
    Ok(out + TABLE_ENDS)
}

/// The reader's own run beside the reference, or how to make one.
pub fn mine(weaver: &Weaver, directive: &Directive, _: Chapter<'_>) -> Expanded {
    directive.allow(&[])?;
    let Some(mine) = Results::load(&weaver.book, MINE)? else {
        return Ok("<p><strong>There is no run of yours in this copy of the book.</strong> To add one, \
            run <code>cargo run --release -- bench --quick</code>, which writes \
            <code>book/results/mine.json</code>, and then <code>cargo run --release -- book</code>, \
            which shows it here, beside the reference.</p>\n"
            .to_owned());
    };
    let reference = reference(weaver)?;
    let mut out = format!(
        "<p><strong>Your run:</strong> {}{}</p>\n<p><strong>The reference:</strong> {}</p>\n",
        escape(&mine.machine.describe()),
        if mine.quick {
            " It was a quick one, built without the last optimisations: its rates are for a first look."
        } else {
            ""
        },
        escape(&reference.machine.describe())
    );
    out += &shown(weaver, &title("your run, small answers"), &mine.rates);
    out += &table(&beside(&mine.rates, &reference.rates), Unit::CallsPerSecond);
    out += &counted(&[("yours", &mine), ("reference", &reference)]);
    for name in mine.groups() {
        let (own, theirs) = (mine.group(name), reference.group(name));
        let _ = writeln!(out, "<p>Your run, <em>{}</em>:</p>", escape(name));
        out += &shown(weaver, &title(&format!("your run, {name}")), &own);
        out += &table(&beside(&own, &theirs), Unit::CallsPerSecond);
    }
    Ok(out)
}

/// Callers, and the runs with so many.
type Row<'a> = (usize, Vec<(&'a str, &'a [Rate])>);

fn beside<'a>(
    mine: &'a BTreeMap<usize, Vec<Rate>>,
    theirs: &'a BTreeMap<usize, Vec<Rate>>,
) -> Vec<Row<'a>> {
    let rates = |all: &'a BTreeMap<usize, Vec<Rate>>, callers| {
        all.get(callers).map(Vec::as_slice).unwrap_or_default()
    };
    mine.keys()
        .map(|n| (*n, vec![("yours", rates(mine, n)), ("reference", rates(theirs, n))]))
        .collect()
}

fn reference(weaver: &Weaver) -> Result<Results, Problem> {
    let missing = || Problem::of(format!("book/results/{REFERENCE}.json"), "is missing");
    Results::load(&weaver.book, REFERENCE)?.ok_or_else(missing)
}

fn title(of: &str) -> String {
    format!("{of}: how many times as fast as {PEER}; the table after this has the numbers")
}

fn shown(weaver: &Weaver, title: &str, rates: &BTreeMap<usize, Vec<Rate>>) -> String {
    let panels: Vec<(String, &[Rate])> =
        rates.iter().map(|(n, rates)| (plural(*n, "caller"), &rates[..])).collect();
    bars::picture(title, &panels, &weaver.id("measured"))
}

const TABLE_ENDS: &str = "</tbody>\n</table>\n</div>\n";

/// A table's beginning: columns of words, of numbers, and of words again.
fn head(words: &[&str], numbers: &[&str], notes: &[&str]) -> String {
    let mut out = String::from("<div class=\"w-table\">\n<table>\n<thead><tr>");
    let columns =
        words.iter().map(|w| (w, "")).chain(numbers.iter().map(|n| (n, " class=\"n\"")));
    for (name, class) in columns.chain(notes.iter().map(|n| (n, ""))) {
        let _ = match name.is_empty() {
            true => write!(out, "<td></td>"),
            false => write!(out, "<th scope=\"col\"{class}>{name}</th>"),
        };
    }
    out + "</tr></thead>\n<tbody>\n"
}

/// Rates: a line for each number of callers, subject and run.
fn table(rows: &[Row<'_>], unit: Unit) -> String {
    let numbers = [unit.heading(), "× hyper-util", "spread"];
    let mut out = head(&["callers", "client"], &numbers, &[""]);
    for (callers, runs) in rows {
        let Some((_, first)) = runs.first() else { continue };
        for subject in first.iter().map(|rate| &rate.subject) {
            for (run, rates) in runs {
                if let Some(rate) = rates.iter().find(|rate| rate.subject == *subject) {
                    out += &line(*callers, run, rate, unit);
                }
            }
        }
    }
    out + TABLE_ENDS
}

fn line(callers: usize, run: &str, rate: &Rate, unit: Unit) -> String {
    let ratio = rate.ratio;
    let unfit = if ratio.fit { "" } else { "unfit to quote" };
    format!(
        "<tr><td>{callers}</td><th scope=\"row\">{}</th><td class=\"n\">{}</td>\
         <td class=\"n\">{:.2}</td><td class=\"n\">{:.2}–{:.2}</td><td>{unfit}</td></tr>\n",
        named(&rate.subject, run),
        unit.tell(rate.per_second),
        ratio.median,
        ratio.low,
        ratio.high
    )
}

/// Counters: a line for each subject and run.
fn counted(runs: &[Named<'_>]) -> String {
    let mut out = head(&["client"], &COUNTERS.map(|(_, heading, _)| heading), &[]);
    let Some((_, first)) = runs.first() else { return String::new() };
    for subject in first.subjects() {
        for (run, results) in runs {
            let _ = write!(out, "<tr><th scope=\"row\">{}</th>", named(subject, run));
            for (name, _, digits) in COUNTERS {
                let count = results.counters.get(subject).and_then(|counts| counts.get(name));
                let count = count.map(|count| number::figure(*count, Some(digits)));
                let _ = write!(out, "<td class=\"n\">{}</td>", count.unwrap_or_default());
            }
            out += "</tr>\n";
        }
    }
    out + TABLE_ENDS
}

fn named(subject: &str, run: &str) -> String {
    match run {
        "" => escape(subject),
        run => format!("{}, {run}", escape(subject)),
    }
}

/// The rule for figures that are unfit to quote.
pub fn rule(_: &Weaver, directive: &Directive, _: Chapter<'_>) -> Expanded {
    directive.allow(&[])?;
    Ok(format!("{WIDEST_PERCENT} %"))
}
