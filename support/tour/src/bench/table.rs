//! The result as text, which is Markdown too.

use std::fmt::Write;

use serde_json::Value;

use super::{
    Failure,
    result::{Comparison, Rate, Standing},
};

/// The columns of the counters.
const COUNTERS: [(&str, usize); 4] =
    [("system_calls", 2), ("instructions", 0), ("allocations", 2), ("bytes", 0)];

/// Everything, from the machine to the figures to reach.
pub(super) fn of(comparison: &Comparison) -> Result<String, Failure> {
    let mut text = machine(comparison);
    for (callers, rates) in &comparison.rates {
        text += &format!("\nSmall answers, {callers} at once\n\n");
        text += "| client | calls/s | against hyper-util | middle half of the rounds | |\n";
        text += "|---|---:|---:|---:|---|\n";
        text.extend(rates.iter().map(rate));
    }
    text += "\nPer call: system calls with 64 callers, the rest with 16\n\n";
    text += "| client | system calls | user instructions | allocations | bytes allocated |\n";
    text += "|---|---:|---:|---:|---:|\n";
    for (subject, counts) in &comparison.counters {
        write!(text, "| {subject} |")?;
        for (name, digits) in COUNTERS {
            match counts.get(name) {
                Some(count) => write!(text, " {count:.digits$} |")?,
                None => text += " |",
            }
        }
        text += "\n";
    }
    text +=
        "\nFigures to reach\n\n| what | client | wanted | found | |\n|---|---|---:|---:|---|\n";
    text.extend(comparison.standings()?.iter().map(standing));
    Ok(text)
}

fn machine(comparison: &Comparison) -> String {
    let machine = &comparison.machine;
    let known = |name| match &machine[name] {
        Value::String(text) => text.clone(),
        Value::Null => "unknown".to_owned(),
        other => other.to_string(),
    };
    let mut text = format!(
        "{}, kernel {}, {}, {} processors, load {}\n",
        known("system"),
        known("kernel"),
        known("processor"),
        known("processors"),
        known("load")
    );
    text += match machine["pinned"].as_bool() {
        Some(true) => "Client and server each have their own processors.\n",
        _ => "Client and server share the processors: rates say less.\n",
    };
    if comparison.quick {
        text += "A quick run, built without the last optimisations: for a first look.\n";
    }
    text
}

fn rate(rate: &Rate) -> String {
    let ratio = rate.ratio;
    let unfit = if ratio.is_fit() { "" } else { "unfit to quote: the rounds disagree" };
    format!(
        "| {} | {:.0} | {:.2} | {:.2} to {:.2} | {unfit} |\n",
        rate.subject, rate.per_second, ratio.median, ratio.low, ratio.high
    )
}

fn standing(standing: &Standing) -> String {
    let sign = if standing.at_least { "≥" } else { "≤" };
    let digits = if standing.wanted < 20.0 { 2 } else { 0 };
    let found = standing.found.map(|found| format!("{found:.digits$}"));
    let verdict = match standing.is_met() {
        Some(_) if !standing.fit => "unfit to quote",
        Some(true) => "reached",
        Some(false) => "not reached",
        None => "not measured here",
    };
    format!(
        "| {} | {} | {sign} {:.digits$} | {} | {verdict} |\n",
        standing.label,
        standing.subject,
        standing.wanted,
        found.unwrap_or_default()
    )
}
