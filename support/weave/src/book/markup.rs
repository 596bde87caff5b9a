//! HTML that an author wrote into a chapter: each element that is opened is closed.
//!
//! mdBook only warns, names no line, and when it runs as a program it exits with 0. This check
//! runs in the preprocessor, so it stops both ways of building, and it names the line.

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::{
    BufferQueue, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};
use std::cell::RefCell;
use std::ops::Range;

use crate::directive::{Part, parse};
use crate::problem::Problem;

/// Checks a chapter as it was written, before any directive is expanded.
pub fn check(file: &str, text: &str, problems: &mut Vec<Problem>) {
    let sink = Balance { file, state: RefCell::default() };
    let tokenizer = Tokenizer::new(sink, TokenizerOpts::default());
    let input = BufferQueue::default();
    input.push_back(StrTendril::from(prose(text)));
    let _ = tokenizer.feed(&input);
    tokenizer.end();
    let State { open, mut found } = tokenizer.sink.state.into_inner();
    found.extend(open.into_iter().map(|(name, line)| {
        Problem::at(file, line, format!("`<{name}>` is opened here and never closed"))
    }));
    problems.append(&mut found);
}

#[derive(Default)]
struct State {
    open: Vec<(String, usize)>,
    found: Vec<Problem>,
}

struct Balance<'a> {
    file: &'a str,
    state: RefCell<State>,
}

impl TokenSink for Balance<'_> {
    type Handle = ();

    fn process_token(&self, token: Token, line: u64) -> TokenSinkResult<()> {
        let Token::TagToken(tag) = token else { return TokenSinkResult::Continue };
        let line = usize::try_from(line).unwrap_or(usize::MAX);
        let name = tag.name.to_string();
        let mut state = self.state.borrow_mut();
        match tag.kind {
            TagKind::StartTag if is_void(&name) || tag.self_closing => {}
            TagKind::StartTag => state.open.push((name, line)),
            TagKind::EndTag => match state.open.iter().rposition(|(n, _)| *n == name) {
                Some(at) => {
                    for (inner, opened) in state.open.split_off(at).into_iter().skip(1) {
                        let message =
                            format!("`<{inner}>` is still open at `</{name}>`, line {line}");
                        state.found.push(Problem::at(self.file, opened, message));
                    }
                }
                None => {
                    let message = format!("`</{name}>` closes nothing");
                    state.found.push(Problem::at(self.file, line, message));
                }
            },
        }
        TokenSinkResult::Continue
    }
}

fn is_void(name: &str) -> bool {
    matches!(
        name,
        "area"
            | "base"
            | "br"
            | "col"
            | "embed"
            | "hr"
            | "img"
            | "input"
            | "link"
            | "meta"
            | "source"
            | "track"
            | "wbr"
    )
}

/// The text with its code, comments' line breaks and directives blanked, line for line.
pub fn prose(text: &str) -> String {
    without_spans(&unfenced(text))
}

fn unfenced(text: &str) -> String {
    let text: String = match parse(text) {
        Ok(parts) => parts
            .into_iter()
            .map(|part| match part {
                Part::Text(text) => text,
                Part::Directive(_, text) => blank(&text),
            })
            .collect(),
        Err(_) => text.to_owned(),
    };
    let mut fence: Option<String> = None;
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_start();
        let mark: String = trimmed.chars().take_while(|c| matches!(c, '`' | '~')).collect();
        match &fence {
            Some(open) => {
                if mark.starts_with(open.as_str()) {
                    fence = None;
                }
                out.push_str(&blank(line));
            }
            None if mark.len() >= 3 => {
                fence = Some(mark);
                out.push_str(&blank(line));
            }
            None => out.push_str(line),
        }
    }
    out
}

/// The code within a chapter's sentences, each piece with its line.
pub fn spans(text: &str) -> Vec<(usize, String)> {
    let text = unfenced(text);
    let line = |at: usize| text[..at].matches('\n').count() + 1;
    inline_code(&text)
        .into_iter()
        .map(|code| (line(code.start), text[code].to_owned()))
        .collect()
}

fn without_spans(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for code in inline_code(text) {
        out.push_str(&text[done..code.start]);
        out.push_str(&blank(&text[code.clone()]));
        done = code.end;
    }
    out + &text[done..]
}

/// Where inline code is; a run of backticks ends at the next run of the same length.
fn inline_code(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = text[from..].find('`').map(|n| n + from) {
        let ticks = text[at..].bytes().take_while(|b| *b == b'`').count();
        let start = at + ticks;
        // Code that is not closed within its paragraph is text.
        let paragraph = text[start..].split("\n\n").next().unwrap_or_default();
        from = match paragraph.find(&text[at..start]) {
            Some(length) => {
                found.push(start..start + length);
                start + length + ticks
            }
            None => start,
        };
    }
    found
}

fn blank(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { c } else { ' ' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(usize, String)> {
        let mut problems = Vec::new();
        check("a.md", text, &mut problems);
        problems.into_iter().map(|p| (p.line, p.message)).collect()
    }

    #[test]
    fn balanced_html_and_code_pass() {
        let text = "<details>\n<summary>a `<b>` c</summary>\n\n```rust\nVec<u8>\n```\n\n{{#item p::<A as B>::c}}\n<br>\n</details>\n";
        assert_eq!(found(text), []);
    }

    #[test]
    fn what_is_open_is_told_with_its_line() {
        assert_eq!(found("a\n\n<div>\nb\n")[0].0, 3);
        assert_eq!(found("x\n</p>\n")[0], (2, "`</p>` closes nothing".to_owned()));
        assert_eq!(found("<div>\n<b>\n</div>\n")[0].0, 2);
    }
}
