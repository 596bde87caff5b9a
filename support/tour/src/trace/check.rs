//! Whether two recordings say the same.
//!
//! Its rules: on Linux, where a part begins when all threads rest, every event must be there again,
//! in its place. Elsewhere, and where the script is not settled, the same is asked of the events that
//! are the client's own decisions: what the system reports, and whether a thread that is about to
//! look has to be woken, may vary.

use super::recording::{Happening, Lane, Recording};

/// Words of which another platform may have more or fewer, or another run of what is not settled.
const LOOSE: [&str; 4] = ["ready", "timer", "wake", "would_block"];

/// The first thing in which a recording differs from the one that is kept.
pub(super) fn difference(kept: &Recording, now: &Recording, settled: bool) -> Option<String> {
    compare(kept, now, settled && cfg!(target_os = "linux"))
}

fn compare(kept: &Recording, now: &Recording, strict: bool) -> Option<String> {
    if (&kept.about, &kept.parts) != (&now.about, &now.parts) {
        return Some("its script is another".to_owned());
    }
    // A platform that leaves a stage out keeps quiet about it.
    now.lanes.iter().find_map(|lane| {
        match kept.lanes.iter().find(|kept| kept.stage == lane.stage) {
            Some(before) => lanes(before, lane, strict).map(|(part, text)| {
                format!("{}, after \"{}\": {text}", lane.stage, now.parts[part])
            }),
            None => Some(format!("{} is not in it", lane.stage)),
        }
    })
}

/// The part in which two lanes differ first, and how.
fn lanes(kept: &Lane, now: &Lane, strict: bool) -> Option<(usize, String)> {
    let counted = |event: &&Happening| strict || !LOOSE.contains(&event.what.as_str());
    let mut kept = kept.events.iter().filter(counted);
    let mut now = now.events.iter().filter(counted);
    loop {
        let text = |event: Option<&Happening>| {
            event.map_or_else(|| "nothing more".to_owned(), |event| format!("`{event}`"))
        };
        match (kept.next(), now.next()) {
            (None, None) => return None,
            (before, after) if before == after => {}
            (before, after) => {
                let part = after.or(before).map_or(0, |event| event.part);
                let told = format!("there was {}, and now {}", text(before), text(after));
                return Some((part, told));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(words: &[&str]) -> Recording {
        let event =
            |what: &&str| Happening { what: (*what).to_owned(), ..Happening::default() };
        Recording {
            scenario: "s".into(),
            about: "a".into(),
            parts: vec!["one".into()],
            lanes: vec![Lane {
                stage: "stage2-mio".into(),
                events: words.iter().map(event).collect(),
            }],
        }
    }

    #[test]
    fn a_missing_event_is_told_with_its_place() {
        let (kept, now) = (recording(&["wait", "write"]), recording(&["wait"]));
        assert_eq!(compare(&kept, &kept, true), None);
        assert_eq!(
            compare(&kept, &now, true).as_deref(),
            Some("stage2-mio, after \"one\": there was `write`, and now nothing more")
        );
    }

    #[test]
    fn elsewhere_a_wakeup_more_is_no_difference_and_an_order_is_one() {
        let kept = recording(&["wait", "write"]);
        let woken = recording(&["wake", "wait", "write"]);
        assert_eq!(compare(&kept, &woken, false), None);
        assert!(compare(&kept, &woken, true).is_some());
        assert!(compare(&kept, &recording(&["write", "wait"]), false).is_some());
    }
}
