//! A bar for each client, drawn so that it reads in light and in dark, and without colours.

use std::fmt::Write;

use super::{Failure, result::Comparison};

const WIDTH: f64 = 720.0;
const ROW: f64 = 28.0;
/// Where bars begin: the names stand before it.
const LEFT: f64 = 240.0;
/// What the column of numbers takes.
const RIGHT: f64 = 70.0;

/// The rates of this number of callers against the peer, the longer the better.
pub(super) fn of(comparison: &Comparison, callers: usize) -> Result<String, Failure> {
    let rates = comparison.rates.get(&callers).map(Vec::as_slice).unwrap_or_default();
    let most = rates.iter().map(|rate| rate.ratio.high).fold(1.0, f64::max);
    let x = |ratio: f64| LEFT + ratio / most * (WIDTH - LEFT - RIGHT);
    let height = ROW * (rates.len() as f64 + 0.5);
    let id = format!("rates-{callers}");
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-labelledby=\"{id}\" fill=\"currentColor\" font-family=\"sans-serif\" font-size=\"15\">\n\
         <title id=\"{id}\">Calls per second with {callers} at once, hyper-util being 1</title>\n"
    );
    for (row, rate) in rates.iter().enumerate() {
        let (top, ratio) = (ROW * row as f64, rate.ratio);
        let (middle, text) = (top + ROW / 2.0, top + ROW * 0.68);
        writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{text:.1}\" text-anchor=\"end\">{}</text>\n\
             <rect x=\"{LEFT}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" opacity=\"0.35\"/>\n\
             <path d=\"M{:.1} {middle:.1}H{:.1}\" stroke=\"currentColor\" stroke-width=\"2\"/>\n\
             <text x=\"{WIDTH}\" y=\"{text:.1}\" text-anchor=\"end\">{:.2}</text>",
            LEFT - 8.0,
            rate.subject,
            top + 5.0,
            x(ratio.median) - LEFT,
            ROW - 10.0,
            x(ratio.low),
            x(ratio.high),
            ratio.median,
        )?;
    }
    writeln!(
        svg,
        "<path d=\"M{0:.1} 0V{height}\" stroke=\"currentColor\" stroke-dasharray=\"3 4\"/>\n</svg>",
        x(1.0)
    )?;
    Ok(svg)
}
