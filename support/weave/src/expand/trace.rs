//! `trace`, `trace-count` and `trace-counts`: recordings, and what can be counted in them.

use super::{Chapter, Expanded, Weaver};
use crate::directive::Directive;
use crate::render::html::thousands;
use crate::render::lanes;
use crate::trace::{Recording, WORDS, about};

/// A recording as lanes side by side; `only="register ready"` shows these words and no others.
pub fn picture(weaver: &Weaver, directive: &Directive, _: Chapter<'_>) -> Expanded {
    directive.allow(&["only"])?;
    let recording = Recording::load(&weaver.book, &directive.subject)?;
    let only: Vec<&str> =
        directive.get("only").unwrap_or_default().split_whitespace().collect();
    for word in &only {
        about(word)?;
    }
    let id = weaver.id(&format!("trace {}", recording.scenario));
    Ok(lanes::figure(&recording, &only, &id))
}

/// One number: `exchange 2 wake`, or `exchange 2 all`; `thread=caller` counts those of a thread.
pub fn count(weaver: &Weaver, directive: &Directive, _: Chapter<'_>) -> Expanded {
    directive.allow(&["thread"])?;
    let words: Vec<&str> = directive.subject.split_whitespace().collect();
    let [scenario, stage, word] = words[..] else {
        return Err(format!("`{}` takes SCENARIO STAGE WORD", directive.name).into());
    };
    let recording = Recording::load(&weaver.book, scenario)?;
    let mut lane = recording.lane(stage)?.clone();
    if let Some(thread) = directive.get("thread") {
        if !["loop", "caller", "resolver"].contains(&thread) {
            return Err(format!("thread={thread}: there is loop, caller, resolver").into());
        }
        lane.events.retain(|event| event.thread == thread);
    }
    Ok(thousands(lane.count(word)? as u64))
}

/// All words of a recording, counted for each stage.
pub fn counts(weaver: &Weaver, directive: &Directive, _: Chapter<'_>) -> Expanded {
    directive.allow(&[])?;
    let recording = Recording::load(&weaver.book, &directive.subject)?;
    let mut rows = Vec::new();
    for word in WORDS.iter().map(|(word, _)| *word).chain(["all"]) {
        let counts: Result<Vec<usize>, String> =
            recording.lanes.iter().map(|lane| lane.count(word)).collect();
        rows.push((word, counts?));
    }
    rows.retain(|(_, counts)| counts.iter().any(|count| *count > 0));
    Ok(lanes::table(&recording, &rows))
}
