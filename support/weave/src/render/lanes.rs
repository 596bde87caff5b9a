//! A recording as lanes, and its counts as a table.
//!
//! Its rules: what is drawn is lists, so that it can be read aloud, on paper, on a phone and
//! without JavaScript; an event keeps its number in its lane, whatever is left out; a lane's colour
//! says nothing that its name does not.

use std::fmt::Write;

use super::html::{escape, thousands};
use crate::trace::{Event, Lane, Recording, WORDS};

/// The figure; with some words, only these are shown.
pub fn figure(recording: &Recording, only: &[&str], id: &str) -> String {
    let mut out = format!(
        "<figure class=\"w-trace\" id=\"{id}\">\n<figcaption><span>Recorded: {}.</span> <span>{}</span></figcaption>\n<ol class=\"w-parts\">\n",
        escape(&recording.about),
        escape(&shown(recording, only))
    );
    for (number, cause) in recording.parts.iter().enumerate() {
        let lanes: Vec<_> =
            recording.lanes.iter().map(|lane| (lane, events(lane, number, only))).collect();
        if lanes.iter().all(|(_, events)| events.is_empty()) {
            continue;
        }
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "<li class=\"w-part\"><p class=\"w-cause\">{}</p>\n<div class=\"w-lanes\">",
            escape(cause)
        );
        for (lane, events) in lanes {
            list(&mut out, lane, &events);
        }
        out.push_str("</div></li>\n");
    }
    out.push_str("</ol>\n");
    words(&mut out, recording, only);
    out.push_str("</figure>\n");
    out
}

/// What is shown, in words.
fn shown(recording: &Recording, only: &[&str]) -> String {
    let counts: Vec<String> = recording
        .lanes
        .iter()
        .map(|lane| format!("{} in {}", lane.events.len(), name(lane)))
        .collect();
    let counts = counts.join(", ");
    if only.is_empty() {
        return format!("Events: {counts}.");
    }
    format!("Only {} shown, of all events ({counts}).", only.join(", "))
}

/// The events of a part that are shown, each with its number in the lane.
fn events<'a>(lane: &'a Lane, part: usize, only: &[&str]) -> Vec<(usize, &'a Event)> {
    let numbered = lane.events.iter().enumerate().map(|(n, event)| (n + 1, event));
    let wanted = |event: &Event| only.is_empty() || only.contains(&event.what.as_str());
    numbered.filter(|(_, event)| event.part == part && wanted(event)).collect()
}

fn list(out: &mut String, lane: &Lane, events: &[(usize, &Event)]) {
    let name = name(lane);
    let class = name.replace("stage ", "s");
    let _ = writeln!(out, "<div class=\"w-lane {class}\"><p class=\"w-stage\">{name}</p>");
    if events.is_empty() {
        out.push_str("<p class=\"w-none\">nothing</p></div>\n");
        return;
    }
    out.push_str("<ol>\n");
    for (number, event) in events {
        let _ = writeln!(
            out,
            "<li value=\"{number}\"><code>{}</code>{}</li>",
            escape(&event.what),
            escape(&details(event))
        );
    }
    out.push_str("</ol></div>\n");
}

/// `stage1-rotor` as it is called in prose.
fn name(lane: &Lane) -> String {
    let number = lane.stage.split('-').next().unwrap_or_default();
    number.replace("stage", "stage ")
}

/// What an event says besides its word, with the blank before it.
fn details(event: &Event) -> String {
    let mut parts: Vec<String> = event.why.iter().cloned().collect();
    if let Some(request) = event.request {
        parts.push(format!("request {request}"));
    }
    if let Some(connection) = event.connection {
        parts.push(format!("connection {connection}"));
    }
    if let Some(direction) = &event.direction {
        parts.push(format!("to {}", direction.replace(" and ", " and to ")));
    }
    if let Some(bytes) = event.bytes {
        parts.push(format!("{} bytes", thousands(bytes)));
    }
    if event.thread != "loop" {
        parts.push(format!("on the {}’s thread", event.thread));
    }
    if parts.is_empty() { String::new() } else { format!(" {}", parts.join(", ")) }
}

/// The words that were used, with what they say.
fn words(out: &mut String, recording: &Recording, only: &[&str]) {
    out.push_str("<details class=\"w-words\"><summary>What the words say</summary>\n<dl>\n");
    for (word, about) in WORDS {
        let used = |lane: &Lane| lane.events.iter().any(|event| event.what == *word);
        let shown = only.is_empty() || only.contains(word);
        if shown && recording.lanes.iter().any(used) {
            let _ = writeln!(out, "<dt><code>{word}</code></dt><dd>{about}</dd>");
        }
    }
    out.push_str("</dl>\n</details>\n");
}

/// Words with their counts in each lane.
pub fn table(recording: &Recording, rows: &[(&str, Vec<usize>)]) -> String {
    let mut out = String::from(
        "<div class=\"w-table\">\n<table>\n<thead><tr><th scope=\"col\">event</th>",
    );
    for lane in &recording.lanes {
        let _ = write!(out, "<th scope=\"col\" class=\"n\">{}</th>", name(lane));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for (word, counts) in rows {
        let (class, word) = match *word {
            "all" => (" class=\"sum\"", "all events".to_owned()),
            word => ("", format!("<code>{word}</code>")),
        };
        let _ = write!(out, "<tr{class}><th scope=\"row\">{word}</th>");
        for count in counts {
            let _ = write!(out, "<td class=\"n\">{}</td>", thousands(*count as u64));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n</div>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording() -> Recording {
        serde_json::from_str(
            r#"{"scenario":"s","about":"a < b","parts":["One","Two"],"lanes":[
              {"stage":"stage1-rotor","events":[
                {"part":0,"what":"wake","thread":"caller"},
                {"part":1,"what":"read","thread":"loop","connection":1,"bytes":1200},
                {"part":1,"what":"ready","thread":"loop","direction":"read and write"}]},
              {"stage":"stage3-tokio","events":[]}]}"#,
        )
        .unwrap()
    }

    #[test]
    fn each_event_is_an_item_of_its_lane_and_says_all() {
        let html = figure(&recording(), &[], "x");
        assert!(html.contains("Recorded: a &lt; b."), "{html}");
        assert!(html.contains("<li value=\"1\"><code>wake</code> on the caller’s thread</li>"));
        assert!(
            html.contains("<li value=\"2\"><code>read</code> connection 1, 1,200 bytes</li>")
        );
        assert!(html.contains("<code>ready</code> to read and to write</li>"));
        assert_eq!(html.matches("<p class=\"w-none\">nothing</p>").count(), 2);
        assert!(!html.contains("\n\n"), "a blank line would end the HTML block");
    }

    #[test]
    fn what_is_left_out_is_said_and_leaves_no_empty_part() {
        let html = figure(&recording(), &["read"], "x");
        assert!(html.contains("Only read shown, of all events (3 in stage 1, 0 in stage 3)."));
        assert_eq!(html.matches("class=\"w-part\"").count(), 1);
        assert!(html.contains("<li value=\"2\">") && !html.contains("wake"));
    }
}
