//! One built page: its identifiers, its links, what it loads.

use std::cell::RefCell;
use std::collections::BTreeMap;

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};

use crate::problem::Problem;

/// What the checks need of a page.
#[derive(Debug, Default)]
pub struct Page {
    /// Each identifier with the lines that it stands on.
    pub ids: BTreeMap<String, Vec<usize>>,
    /// Links and sources, each with its line.
    pub links: Vec<(usize, String)>,
    /// What would be loaded from another host.
    loads: Vec<(usize, String)>,
    /// Directives that nobody expanded.
    left: Vec<(usize, String)>,
}

impl Page {
    /// Reads a page.
    pub fn read(text: &str) -> Self {
        let tokenizer = Tokenizer::new(Reader::default(), TokenizerOpts::default());
        let input = BufferQueue::default();
        input.push_back(StrTendril::from(text));
        let _ = tokenizer.feed(&input);
        tokenizer.end();
        tokenizer.sink.page.into_inner()
    }

    /// What is wrong with the page by itself.
    pub fn found(&self, name: &str) -> Vec<Problem> {
        let file = format!("book/book/{name}");
        let mut problems = Vec::new();
        for (id, lines) in &self.ids {
            if let [_, second, ..] = lines.as_slice() {
                let message = format!("the identifier `{id}` is here for the second time");
                problems.push(Problem::at(&file, *second, message));
            }
        }
        for (line, link) in &self.loads {
            let message = format!("`{link}` is loaded from the network");
            problems.push(Problem::at(&file, *line, message));
        }
        for (line, text) in &self.left {
            let message = format!("a directive is left: `{text}`");
            problems.push(Problem::at(&file, *line, message));
        }
        problems
    }

    fn tag(&mut self, tag: &Tag, line: usize) {
        let element = &*tag.name;
        for attribute in &tag.attrs {
            let value = attribute.value.to_string();
            match &*attribute.name.local {
                "id" => self.ids.entry(value).or_default().push(line),
                "href" | "src" => {
                    let followed = element == "a" && &*attribute.name.local == "href";
                    if !followed && is_external(&value) {
                        self.loads.push((line, value.clone()));
                    }
                    self.links.push((line, value));
                }
                _ => {}
            }
        }
    }
}

/// Whether a link leads to another host.
pub fn is_external(link: &str) -> bool {
    link.starts_with("//")
        || link.split_once(':').is_some_and(|(scheme, _)| {
            matches!(scheme, "http" | "https" | "mailto" | "ftp" | "ws" | "wss")
        })
}

/// `%20` and the like, as letters.
pub fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = (*first == b'%')
            .then(|| tail.get(..2).and_then(|h| std::str::from_utf8(h).ok()))
            .flatten()
            .and_then(|h| u8::from_str_radix(h, 16).ok());
        match hex {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[derive(Default)]
struct Reader {
    page: RefCell<Page>,
    /// How many elements are open whose text is shown as code.
    code: RefCell<usize>,
}

impl TokenSink for Reader {
    type Handle = ();

    fn process_token(&self, token: Token, line: u64) -> TokenSinkResult<()> {
        let line = usize::try_from(line).unwrap_or(usize::MAX);
        match token {
            Token::TagToken(tag) => {
                if matches!(&*tag.name, "code" | "pre" | "script") {
                    let mut code = self.code.borrow_mut();
                    *code = match tag.kind {
                        TagKind::StartTag => *code + 1,
                        TagKind::EndTag => code.saturating_sub(1),
                    };
                }
                if tag.kind == TagKind::StartTag {
                    self.page.borrow_mut().tag(&tag, line);
                }
            }
            Token::CharacterTokens(text) if *self.code.borrow() == 0 => {
                if let Some(at) = text.find("{{#") {
                    let shown = text[at..].chars().take(40).collect();
                    self.page.borrow_mut().left.push((line, shown));
                }
            }
            _ => {}
        }
        TokenSinkResult::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_tells_what_is_wrong_with_it() {
        let page = Page::read(
            "<p id=a>x</p>\n<p id=a>\n<script src=\"https://x.y/z.js\"></script>\n\
             <a href=\"https://docs.rs/x\">fine</a><code>{{#fine}}</code>\n{{#item x}}",
        );
        let found: Vec<String> = page.found("p.html").iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("book/book/p.html:2: the identifier `a`"));
        assert!(found[1].contains("https://x.y/z.js"));
        assert!(found[2].contains("{{#item x}}"));
        assert_eq!(page.links.len(), 2);
    }

    #[test]
    fn fragments_are_decoded() {
        assert_eq!(decoded("a%20b%zz"), "a b%zz");
    }
}
