//! What the API has to tell: sayings that nobody owns.

use serde::Serialize;

/// A saying as the API shows it; the order of the fields is that of the JSON.
#[derive(Serialize)]
struct Quote {
    id: usize,
    text: &'static str,
    author: &'static str,
}

/// Text and where it is from.
pub(super) const ALL: [(&str, &str); 36] = [
    ("Many hands make light work.", "English proverb"),
    ("A watched pot never boils.", "English proverb"),
    ("Make haste slowly.", "Latin proverb"),
    ("He who chases two hares catches neither.", "Latin proverb"),
    ("Still waters run deep.", "English proverb"),
    ("Slow and steady wins the race.", "Aesop"),
    ("Better late than never.", "Livy"),
    (
        "All things come to those who wait, if somebody registers their interest first.",
        "old proverb, amended",
    ),
    ("Strike while the iron is hot.", "English proverb"),
    ("First come, first served.", "English proverb"),
    ("Do not cross the bridge before you come to it.", "English proverb"),
    ("One thing at a time.", "English proverb"),
    ("Too many cooks spoil the broth.", "English proverb"),
    ("The early bird catches the worm.", "English proverb"),
    ("Let sleeping dogs lie.", "Geoffrey Chaucer"),
    ("Rome was not built in a day.", "French proverb"),
    ("Every cloud has a silver lining.", "English proverb"),
    ("A chain is no stronger than its weakest link.", "Thomas Reid"),
    ("Measure twice, cut once.", "carpenters' rule"),
    ("What is well begun is half done.", "Greek proverb"),
    ("Time and tide wait for no man.", "English proverb"),
    ("He gives twice who gives promptly.", "Publilius Syrus"),
    ("Constant dripping wears away the stone.", "Ovid"),
    ("Whoever wants to learn must first wait.", "self-written"),
    ("Practice makes perfect.", "Latin proverb"),
    ("Two heads are better than one.", "English proverb"),
    ("Where there is a will, there is a way.", "English proverb"),
    ("Nothing ventured, nothing gained.", "English proverb"),
    ("Little strokes fell great oaks.", "English proverb"),
    ("The longest way round is the shortest way home.", "English proverb"),
    ("Empty vessels make the most sound.", "English proverb"),
    ("A place for everything, and everything in its place.", "English proverb"),
    ("Waste not, want not.", "English proverb"),
    ("Trust, but read the return value.", "self-written"),
    ("If it blocks, it waits; if it waits, it can be woken.", "self-written"),
    ("All good things must come to an end.", "English proverb"),
];

/// One of them as JSON.
pub(super) fn json(id: usize) -> String {
    to_json(&quote(id))
}

/// All of them as JSON.
pub(super) fn list() -> String {
    to_json(&(0..ALL.len()).map(quote).collect::<Vec<_>>())
}

fn quote(id: usize) -> Quote {
    let (text, author) = ALL[id];
    Quote { id, text, author }
}

fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("numbers and text are JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The measurements of the book were taken with a body of this size.
    #[test]
    fn the_exchange_that_the_book_follows_has_128_bytes_of_json() {
        assert_eq!(json(7).len(), 128, "{}", json(7));
    }
}
