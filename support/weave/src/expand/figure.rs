//! `figure` and `ratio`: measured numbers, from the JSON files in `book/results`, named with or
//! without their ending.
//!
//! A key is a path of names and indices parted by dots; in a list of objects, `name=value` picks
//! the object that has it: `rows.stage=stage2-mio.syscalls`. A part that holds a blank or a dot stands
//! in quotes: `counters."floor: bare mio loop".bytes`.

use serde_json::Value;

use super::{Chapter, Expanded, Weaver};
use crate::directive::Directive;
use crate::problem::Problem;
use crate::render::html::escape;
use crate::render::number;

/// One number or text.
pub fn figure(weaver: &Weaver, directive: &Directive, _: Chapter<'_>) -> Expanded {
    directive.allow(&["digits"])?;
    let [file, key] = words(directive)?;
    let file = load(weaver, file)?;
    match at(&file, key)? {
        Value::Number(n) => {
            let value = n.as_f64().unwrap_or(f64::NAN);
            Ok(number::figure(value, digits(directive)?))
        }
        Value::String(text) => Ok(escape(text)),
        other => Err(format!("`{key}` is {other}, not a number or a text").into()),
    }
}

/// One number divided by another of the same file.
pub fn ratio(weaver: &Weaver, directive: &Directive, _: Chapter<'_>) -> Expanded {
    directive.allow(&["digits"])?;
    let [file, over, under] = words(directive)?;
    let file = load(weaver, file)?;
    let number = |key: &str| -> Result<f64, String> {
        at(&file, key)?.as_f64().ok_or_else(|| format!("`{key}` is no number"))
    };
    let (over, under) = (number(over)?, number(under)?);
    if under == 0.0 {
        return Err("the divisor is zero".to_owned().into());
    }
    Ok(number::figure(over / under, digits(directive)?.or(Some(2))))
}

fn digits(directive: &Directive) -> Result<Option<usize>, String> {
    let parse = |d: &str| d.parse().map_err(|_| format!("digits={d} is no number"));
    directive.get("digits").map(parse).transpose()
}

fn words<const N: usize>(directive: &Directive) -> Result<[&str; N], String> {
    let mut words = cut(&directive.subject, char::is_whitespace);
    words.retain(|word| !word.is_empty());
    words.try_into().map_err(|_| {
        let keys = if N == 2 { "FILE KEY" } else { "FILE KEY KEY" };
        format!("`{}` takes {keys}", directive.name)
    })
}

/// Parts between separators that do not stand in quotes.
fn cut(text: &str, separates: impl Fn(char) -> bool) -> Vec<&str> {
    let mut quoted = false;
    text.split(|c| {
        quoted ^= c == '"';
        !quoted && separates(c)
    })
    .collect()
}

fn load(weaver: &Weaver, file: &str) -> Result<Value, Problem> {
    let file = if file.contains('.') { file.to_owned() } else { format!("{file}.json") };
    let path = weaver.book.join("results").join(&file);
    let wrong = |message| Problem::of(format!("book/results/{file}"), message);
    let text = std::fs::read_to_string(&path).map_err(|e| wrong(e.to_string()))?;
    serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))
}

fn at<'a>(value: &'a Value, key: &str) -> Result<&'a Value, String> {
    let mut here = value;
    for part in cut(key, |c| c == '.') {
        let part = part.trim_matches('"');
        let next = match (part.split_once('='), here) {
            (Some((name, wanted)), Value::Array(list)) => {
                list.iter().find(|v| match v.get(name) {
                    Some(Value::String(text)) => text == wanted,
                    Some(other) => format!("{other}") == wanted,
                    None => false,
                })
            }
            (None, Value::Array(list)) => part.parse::<usize>().ok().and_then(|n| list.get(n)),
            (_, other) => other.get(part),
        };
        here =
            next.ok_or_else(|| format!("no `{part}` on the way to `{key}`; {}", names(here)))?;
    }
    Ok(here)
}

fn names(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let keys: Vec<&str> = map.keys().map(String::as_str).collect();
            format!("there is {}", keys.join(", "))
        }
        Value::Array(list) => format!("there are {} entries", list.len()),
        _ => "nothing lies below".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_lead_through_lists_and_objects() {
        let json: Value = serde_json::from_str(
            r#"{"rows":[{"stage":"one","n":2.05},{"stage":"two","n":3}],"os":"Linux"}"#,
        )
        .unwrap();
        assert_eq!(at(&json, "rows.stage=two.n"), Ok(&Value::from(3)));
        assert_eq!(at(&json, "rows.0.stage"), Ok(&Value::from("one")));
        let message = at(&json, "row.0").unwrap_err();
        assert!(message.contains("there is os, rows"), "{message}");
        assert!(at(&json, "rows.stage=three").unwrap_err().contains("2 entries"));
    }

    #[test]
    fn a_part_in_quotes_may_hold_blanks_and_dots() {
        let words = cut(r#"file counters."a b.c".n"#, char::is_whitespace);
        assert_eq!(words, ["file", r#"counters."a b.c".n"#]);
        let json: Value = serde_json::from_str(r#"{"counters":{"a b.c":{"n":7}}}"#).unwrap();
        assert_eq!(at(&json, words[1]), Ok(&Value::from(7)));
    }
}
