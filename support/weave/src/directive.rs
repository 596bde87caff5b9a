//! Directives in a chapter's text: `{{#name ...}}`, and blocks from `{{#name ...}}` to `{{/name}}`.
//!
//! What stands first is the directive's subject; it may hold blanks. `key=value` and `key="a b"`
//! come after it. A command is taken as it stands, with its attributes before it in brackets:
//! `{{#run[status=1] cargo test}}`. A backslash before the braces shows them as they are.

use std::collections::BTreeMap;

/// One directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// Its name, without the sign.
    pub name: String,
    /// What stands between the name and the first attribute.
    pub subject: String,
    /// The attributes.
    pub attributes: BTreeMap<String, String>,
    /// The lines between the opening and the closing of a block, each with its line number.
    pub block: Vec<(usize, String)>,
    /// The line in the chapter at which it starts, counted from 1.
    pub line: usize,
    /// Whether nothing else stands on its line.
    pub alone: bool,
}

impl Directive {
    /// An attribute's value.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.attributes.get(key).map(String::as_str)
    }

    /// Fails if an attribute is not among those that the directive knows.
    ///
    /// # Errors
    /// The attribute's name, and those that there are.
    pub fn allow(&self, known: &[&str]) -> Result<(), String> {
        match self.attributes.keys().find(|k| !known.contains(&k.as_str())) {
            None => Ok(()),
            Some(key) => Err(format!(
                "`{}` has no attribute `{key}`{}",
                self.name,
                match known {
                    [] => String::new(),
                    known => format!("; it has {}", known.join(", ")),
                }
            )),
        }
    }
}

/// A chapter's text, cut at directives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Text that stays as it is.
    Text(String),
    /// A directive, with the text that it stands in for.
    Directive(Directive, String),
}

/// Those whose opening is followed by lines and a closing.
const BLOCKS: &[&str] = &["pairs"];

/// Cuts a chapter at its directives.
///
/// # Errors
/// The line and what is missing, for a directive or block that does not end.
pub fn parse(text: &str) -> Result<Vec<Part>, (usize, String)> {
    let mut parts = Vec::new();
    let (mut done, mut from) = (0, 0);
    while let Some(found) = text[from..].find("{{#").map(|n| n + from) {
        if text[..found].ends_with('\\') {
            from = found + 3;
            continue;
        }
        let line = line_of(text, found);
        let end = closing(&text[found..]).map(|n| n + found).ok_or_else(|| {
            (line, "this directive is not closed by `}}` on its own line".to_owned())
        })?;
        let mut directive = read(&text[found + 3..end - 2], line)?;
        directive.alone = is_alone(text, found, end);
        let end = take_block(text, end, &mut directive)?;
        parts.push(Part::Text(text[done..found].to_owned()));
        parts.push(Part::Directive(directive, text[found..end].to_owned()));
        (done, from) = (end, end);
    }
    parts.push(Part::Text(text[done..].to_owned()));
    Ok(parts)
}

/// Position behind the `}}` that closes a directive, which must stand on the same line.
fn closing(text: &str) -> Option<usize> {
    let line = text.lines().next()?;
    let mut quoted = false;
    for (n, c) in line.char_indices().skip(3) {
        quoted ^= c == '"';
        if !quoted && line[n..].starts_with("}}") {
            return Some(n + 2);
        }
    }
    // A command may hold a single quote mark.
    line.find("}}").map(|n| n + 2)
}

fn take_block(
    text: &str,
    end: usize,
    directive: &mut Directive,
) -> Result<usize, (usize, String)> {
    if !BLOCKS.contains(&directive.name.as_str()) {
        return Ok(end);
    }
    let close = format!("{{{{/{}}}}}", directive.name);
    let length = text[end..]
        .find(&close)
        .ok_or_else(|| (directive.line, format!("this block is not closed by `{close}`")))?;
    let first = line_of(text, end);
    directive.block = text[end..end + length]
        .lines()
        .enumerate()
        .map(|(n, line)| (first + n, line.trim().to_owned()))
        .filter(|(_, line)| !line.is_empty())
        .collect();
    Ok(end + length + close.len())
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

fn is_alone(text: &str, start: usize, end: usize) -> bool {
    let before = text[..start].rsplit('\n').next().unwrap_or_default();
    let after = text[end..].split('\n').next().unwrap_or_default();
    before.trim().is_empty() && after.trim().is_empty()
}

fn read(inner: &str, line: usize) -> Result<Directive, (usize, String)> {
    let name_end = inner
        .find(|c: char| !(c.is_ascii_lowercase() || c == '-' || c == '_'))
        .unwrap_or(inner.len());
    let (name, rest) = inner.split_at(name_end);
    let mut directive = Directive {
        name: name.to_owned(),
        subject: String::new(),
        attributes: BTreeMap::new(),
        block: Vec::new(),
        line,
        alone: false,
    };
    if let Some(bracketed) = rest.strip_prefix('[') {
        let (attributes, subject) = bracketed
            .split_once(']')
            .ok_or_else(|| (line, "`[` without `]` in this directive".to_owned()))?;
        directive.attributes = attributes_of(attributes).map_err(|e| (line, e))?;
        subject.trim().clone_into(&mut directive.subject);
    } else if name == "run" {
        rest.trim().clone_into(&mut directive.subject);
    } else {
        let cut = first_attribute(rest);
        unquoted(rest[..cut].trim()).clone_into(&mut directive.subject);
        directive.attributes = attributes_of(&rest[cut..]).map_err(|e| (line, e))?;
    }
    Ok(directive)
}

/// A subject that is quoted as a whole, without its quotes.
fn unquoted(text: &str) -> &str {
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.filter(|inner| !inner.contains('"')).unwrap_or(text)
}

/// Where the first `key=` stands that follows a blank.
fn first_attribute(text: &str) -> usize {
    let mut blank = true;
    for (n, c) in text.char_indices() {
        if blank && key_length(&text[n..]).is_some() {
            return n;
        }
        blank = c.is_whitespace();
    }
    text.len()
}

fn key_length(text: &str) -> Option<usize> {
    let length = text.find(|c: char| !(c.is_ascii_lowercase() || c == '-'))?;
    (length > 0 && text[length..].starts_with('=')).then_some(length)
}

fn attributes_of(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut attributes = BTreeMap::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let length = key_length(rest)
            .ok_or_else(|| format!("expected `key=value`, found `{}`", rest.trim_end()))?;
        let (key, after) = (&rest[..length], &rest[length + 1..]);
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted
                .split_once('"')
                .ok_or_else(|| format!("`{key}` has an opening quote and no closing one"))?,
            None => after.split_at(after.find(char::is_whitespace).unwrap_or(after.len())),
        };
        if attributes.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(format!("`{key}` is given twice"));
        }
        rest = after.trim_start();
    }
    Ok(attributes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(text: &str) -> Directive {
        let parts = parse(text).unwrap();
        let mut found = parts.into_iter().filter_map(|p| match p {
            Part::Directive(d, _) => Some(d),
            Part::Text(_) => None,
        });
        let first = found.next().unwrap();
        assert_eq!(found.next(), None);
        first
    }

    #[test]
    fn subject_and_attributes() {
        let d = only("a\n{{#item s::<A as B<C=D>>::f from=\"let x = 1\" to=}}}\n");
        assert_eq!(d.subject, "s::<A as B<C=D>>::f");
        assert_eq!((d.get("from"), d.get("to")), (Some("let x = 1"), Some("")));
        assert_eq!(d.line, 2);
        assert!(!d.alone);
        assert!(only("  {{#item a::b}} \n").alone);
        assert!(d.allow(&["from"]).unwrap_err().contains("no attribute `to`"));
    }

    #[test]
    fn a_command_is_taken_as_it_stands() {
        let d = only("{{#run[status=1] cargo run -- -H 'a=b: \"c' x=1}}");
        assert_eq!(d.subject, "cargo run -- -H 'a=b: \"c' x=1");
        assert_eq!(d.get("status"), Some("1"));
        assert_eq!(only("{{#run cargo test a=b}}").subject, "cargo test a=b");
    }

    #[test]
    fn blocks_keep_their_line_numbers() {
        let d = only("x\n{{#pairs old=a::b new=c::d}}\n\n\"x\" => \"y\"\n{{/pairs}}\nz");
        assert_eq!(d.block, [(4, "\"x\" => \"y\"".to_owned())]);
    }

    #[test]
    fn text_survives_and_what_is_not_closed_is_told() {
        let text = "a \\{{#item x}} b {{#lines y}} c";
        let whole: String = parse(text)
            .unwrap()
            .into_iter()
            .map(|p| match p {
                Part::Text(t) | Part::Directive(_, t) => t,
            })
            .collect();
        assert_eq!(whole, text);
        assert_eq!(parse("\n{{#item x\n}}").unwrap_err().0, 2);
        assert!(parse("{{#pairs old=a}}\n").unwrap_err().1.contains("{{/pairs}}"));
        assert!(parse("{{#item a k=1 k=2}}").unwrap_err().1.contains("twice"));
    }
}
