//! Numbers in prose: constants, figures and ratios, as a reader reads them.

use super::html::thousands;

/// The value of a constant's expression, as prose: `16 * 1024` as 16,384,
/// `Duration::from_millis(250)` as 250 ms; anything else as it is written.
pub fn constant(expression: &str) -> String {
    let text: String = expression.split_whitespace().collect();
    if let Some(number) = integer(&text) {
        return thousands(number);
    }
    const UNITS: &[(&str, &str)] = &[
        ("Duration::from_secs(", "s"),
        ("Duration::from_millis(", "ms"),
        ("Duration::from_micros(", "µs"),
        ("Duration::from_nanos(", "ns"),
    ];
    for (call, unit) in UNITS {
        let inner = text
            .rfind(call)
            .filter(|at| *at == 0 || text[..*at].ends_with("::"))
            .and_then(|at| text[at + call.len()..].strip_suffix(')'));
        if let Some(number) = inner.and_then(integer) {
            return format!("{} {unit}", thousands(number));
        }
    }
    match text.strip_prefix("Some(").and_then(|t| t.strip_suffix(')')) {
        Some(inner) => constant(inner),
        None => expression.to_owned(),
    }
}

/// Evaluates products, sums and shifts of whole numbers.
fn integer(text: &str) -> Option<u64> {
    let both = |a: &str, b: &str| Some((integer(a)?, integer(b)?));
    if let Some((a, b)) = text.rsplit_once("<<") {
        let (a, b) = both(a, b)?;
        return a.checked_shl(u32::try_from(b).ok()?);
    }
    if let Some((a, b)) = text.rsplit_once('+') {
        return both(a, b).and_then(|(a, b)| a.checked_add(b));
    }
    if let Some((a, b)) = text.rsplit_once('*') {
        return both(a, b).and_then(|(a, b)| a.checked_mul(b));
    }
    let digits = text.replace('_', "");
    if let Some(hex) = digits.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok();
    }
    let bare = digits.trim_end_matches("usize").trim_end_matches("u64").trim_end_matches("u32");
    let bare = bare.trim_end_matches("u16").trim_end_matches("u8");
    bare.parse().ok()
}

/// A measured number: whole if it is whole or large, else with the digits asked for.
pub fn figure(value: f64, digits: Option<usize>) -> String {
    let digits = digits.unwrap_or(match value.abs() {
        v if v >= 100.0 || v.fract() == 0.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    });
    let text = format!("{value:.digits$}");
    let (sign, text) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("−", rest));
    let (whole, fraction) = text.split_once('.').map_or((text, ""), |(w, f)| (w, f));
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), thousands);
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_read_as_prose() {
        assert_eq!(constant("16 * 1024"), "16,384");
        assert_eq!(constant("1 << 20"), "1,048,576");
        assert_eq!(constant("64_000usize"), "64,000");
        assert_eq!(constant("Duration::from_millis(250)"), "250 ms");
        assert_eq!(constant("std::time::Duration::from_secs(30)"), "30 s");
        assert_eq!(constant("Some(Duration::from_secs(90))"), "90 s");
        assert_eq!(constant("\"io_model\""), "\"io_model\"");
    }

    #[test]
    fn figures_have_the_digits_that_they_bear() {
        assert_eq!(figure(109_700.4, None), "109,700");
        assert_eq!(figure(1.3173, None), "1.32");
        assert_eq!(figure(2.0, None), "2");
        assert_eq!(figure(-12.34, None), "−12.3");
        assert_eq!(figure(0.5, Some(3)), "0.500");
    }
}
