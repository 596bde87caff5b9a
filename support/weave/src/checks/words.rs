//! The fixed words: one spelling for one thing, in the chapters' prose.

use crate::problem::Problem;

/// What is not written, and what is.
const INSTEAD: &[(&str, &str)] = &[
    ("back-pressure", "backpressure"),
    ("back pressure", "backpressure"),
    ("check-in", "checkin"),
    ("check-out", "checkout"),
    ("eventloop", "event loop"),
    ("event-loop", "event loop"),
    ("keepalive", "keep-alive"),
    ("keep alive", "keep-alive"),
    ("life time", "lifetime"),
    ("state-machine", "state machine"),
    ("time-out", "timeout"),
    ("time-outs", "timeouts"),
    ("wake-up", "wakeup"),
    ("wake-ups", "wakeups"),
    ("would-block", "`WouldBlock`"),
];

/// Looks for words that have another spelling; `prose` is a chapter with its code blanked.
pub fn check(file: &str, prose: &str, problems: &mut Vec<Problem>) {
    for (n, line) in prose.lines().enumerate() {
        let lower = line.to_lowercase();
        for (wrong, right) in INSTEAD {
            if holds_word(&lower, wrong) {
                let message = format!("`{wrong}` is written {right} in this book");
                problems.push(Problem::at(file, n + 1, message));
            }
        }
    }
}

fn holds_word(line: &str, word: &str) -> bool {
    let edge =
        |c: Option<char>| c.is_none_or(|c| !(c.is_alphanumeric() || c == '-' || c == '_'));
    line.match_indices(word).any(|(at, _)| {
        edge(line[..at].chars().next_back()) && edge(line[at + word.len()..].chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_words_are_found() {
        let mut problems = Vec::new();
        check("a.md", "x\nA Wake-Up call\nwake-uppity\n", &mut problems);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].to_string(), "a.md:2: `wake-up` is written wakeup in this book");
    }
}
