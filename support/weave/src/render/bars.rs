//! Ratios as bars: how many times as fast as the peer, with the spread as a line over each bar.
//!
//! Colours are the theme's, and nothing is told by them alone: each bar has its name and its number,
//! and one that is unfit to quote is an outline with the word beside it. The table that stands with
//! a picture has the same numbers.

use std::fmt::Write;

use super::html::escape;
use crate::results::{Rate, Ratio};

const WIDTH: f64 = 460.0;
const ROW: f64 = 18.0;
/// Where bars begin: the names stand before it.
const LEFT: f64 = 158.0;
/// What the column of numbers takes.
const RIGHT: f64 = 74.0;
const BAR: f64 = 12.0;

/// A picture of some panels, each with its heading and its rates.
pub fn picture(title: &str, panels: &[(String, &[Rate])], id: &str) -> String {
    let rows: usize = panels.iter().map(|(_, rates)| rates.len() + 1).sum();
    let height = ROW * rows as f64 + 8.0;
    let ratios = panels.iter().flat_map(|(_, rates)| rates.iter().map(|rate| rate.ratio.high));
    let most = ratios.fold(1.2, f64::max);
    let mut out = format!(
        "<div class=\"w-picture\">\n<svg xmlns=\"http://www.w3.org/2000/svg\" \
         viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"{id}-title\" \
         fill=\"currentColor\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title id=\"{id}-title\">{}</title>\n",
        escape(title)
    );
    let mut y = 0.0;
    for (heading, rates) in panels {
        panel(&mut out, y, heading, rates, most);
        y += ROW * (rates.len() + 1) as f64;
    }
    out.push_str("</svg>\n</div>\n");
    out
}

fn panel(out: &mut String, top: f64, heading: &str, rates: &[Rate], most: f64) {
    let x = |ratio: f64| LEFT + ratio / most * (WIDTH - LEFT - RIGHT);
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "<text x=\"{LEFT}\" y=\"{:.1}\" font-weight=\"bold\">{}</text>",
        top + ROW * 0.8,
        escape(heading)
    );
    for (row, rate) in rates.iter().enumerate() {
        bar(out, top + ROW * (row + 1) as f64, rate, x);
    }
    let _ = writeln!(
        out,
        "<path d=\"M{0:.1} {1:.1}V{2:.1}\" stroke=\"currentColor\" stroke-dasharray=\"3 3\"/>",
        x(1.0),
        top + ROW,
        top + ROW * (rates.len() + 1) as f64
    );
}

fn bar(out: &mut String, top: f64, rate: &Rate, x: impl Fn(f64) -> f64) {
    let Ratio { low, median, high, fit } = rate.ratio;
    let outline = if fit { "" } else { " fill-opacity=\"0\" stroke=\"currentColor\"" };
    let unfit = if fit { "" } else { " (unfit)" };
    let (middle, text) = (top + ROW / 2.0, top + ROW * 0.72);
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{text:.1}\" text-anchor=\"end\">{}</text>\
         <rect class=\"{}\" x=\"{LEFT}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{BAR}\"{outline}/>\
         <path d=\"M{:.1} {middle:.1}H{:.1}\" stroke=\"currentColor\" stroke-width=\"2\"/>\
         <text x=\"{:.1}\" y=\"{text:.1}\">{median:.2}{unfit}</text>",
        LEFT - 6.0,
        escape(&rate.subject),
        class(&rate.subject),
        middle - BAR / 2.0,
        x(median) - LEFT,
        x(low),
        x(high),
        WIDTH - RIGHT + 6.0,
    );
}

/// A stage has its colour; the others share one.
fn class(subject: &str) -> &'static str {
    match subject.get(..6) {
        Some("stage1") => "s1",
        Some("stage2") => "s2",
        Some("stage3") => "s3",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unfit_to_quote_is_told_without_colour() {
        let rate = |fit| Rate {
            subject: "a<b".to_owned(),
            per_second: 1.0,
            ratio: Ratio { low: 0.5, median: 1.0, high: 2.0, fit },
        };
        let (good, bad) = ([rate(true)], [rate(false)]);
        let good = picture("t", &[("1 caller".to_owned(), &good)], "x");
        let bad = picture("t", &[("1 caller".to_owned(), &bad)], "x");
        assert!(good.contains(">1.00</text>") && !good.contains("unfit"), "{good}");
        assert!(bad.contains(">1.00 (unfit)</text>") && bad.contains("fill-opacity"), "{bad}");
        assert!(bad.contains("a&lt;b") && bad.contains("aria-labelledby=\"x-title\""));
    }
}
