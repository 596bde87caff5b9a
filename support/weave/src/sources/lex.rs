//! Tokens of a file, line by line: for counting, for colours, for the ends of blocks.
//!
//! Rustc's own lexer decides what a token is. A line of code is a line that holds at least one
//! token other than white space and comments; doc comments are comments, and each line of a
//! multi-line string is code. On whole files this equals tokei's count of code, but for blank and
//! comment-like lines inside such strings.

use ra_ap_rustc_lexer::{FrontmatterAllowed, LiteralKind, TokenKind};

/// How a piece of code is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// White space, punctuation, and names without a role of their own.
    Plain,
    /// A comment, doc comments included.
    Comment,
    /// A string, byte string or character.
    Text,
    /// A reserved word.
    Keyword,
    /// A name that starts with a capital letter: a type, a variant, a constant.
    Type,
    /// A macro's name with its `!`.
    Macro,
    /// A name that is called or defined as a function.
    Function,
    /// A number.
    Number,
    /// A lifetime or a label.
    Lifetime,
    /// An attribute's `#`, brackets and path.
    Attribute,
}

impl Class {
    /// The class in the page's HTML; `None` where no element is needed.
    pub fn css(self) -> Option<&'static str> {
        Some(match self {
            Self::Plain => return None,
            Self::Comment => "c",
            Self::Text => "s",
            Self::Keyword => "k",
            Self::Type => "t",
            Self::Macro => "m",
            Self::Function => "f",
            Self::Number => "n",
            Self::Lifetime => "a",
            Self::Attribute => "at",
        })
    }
}

/// A token, or the part of one that lies on this line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// How it is coloured.
    pub class: Class,
    /// Its text, without a line break.
    pub text: String,
}

/// What the lexer says about one line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LexedLine {
    /// The whole line, cut at tokens.
    pub pieces: Vec<Piece>,
    /// Whether it holds code, by the rule of this module.
    pub code: bool,
    /// Opening minus closing brackets outside strings and comments.
    pub depth: i32,
}

impl LexedLine {
    /// Whether the line names anything: an identifier that is no reserved word. Braces, `else`
    /// and blanks do not; two listings have them in common whatever they say.
    pub fn names_something(&self) -> bool {
        self.pieces.iter().any(|piece| match piece.class {
            Class::Type | Class::Function | Class::Macro => true,
            Class::Plain => piece.text.starts_with(is_word_start),
            _ => false,
        })
    }
}

/// Lexes a whole file.
pub fn lex(text: &str) -> Vec<LexedLine> {
    let tokens = tokens(text);
    let classes = classify(&tokens);
    let mut lines = vec![LexedLine::default()];
    for ((kind, piece), class) in tokens.iter().zip(classes) {
        let code = !is_trivia(*kind);
        let depth = match kind {
            TokenKind::OpenBrace | TokenKind::OpenParen | TokenKind::OpenBracket => 1,
            TokenKind::CloseBrace | TokenKind::CloseParen | TokenKind::CloseBracket => -1,
            _ => 0,
        };
        for (n, part) in piece.split('\n').enumerate() {
            if n > 0 {
                lines.push(LexedLine::default());
            }
            let Some(line) = lines.last_mut() else { continue };
            line.code |= code;
            line.depth += depth;
            let part = part.strip_suffix('\r').unwrap_or(part);
            if !part.is_empty() {
                line.pieces.push(Piece { class, text: part.to_owned() });
            }
        }
    }
    // A file ends with a line break, and what follows it is no line.
    if text.ends_with('\n') || text.is_empty() {
        lines.pop();
    }
    lines
}

/// Code lines of a text, without keeping anything else.
pub fn count_code(text: &str) -> usize {
    let (mut count, mut line, mut last) = (0, 0, usize::MAX);
    for (kind, piece) in tokens(text) {
        let breaks = piece.matches('\n').count();
        if !is_trivia(kind) {
            count += breaks + usize::from(last != line);
            last = line + breaks;
        }
        line += breaks;
    }
    count
}

fn tokens(text: &str) -> Vec<(TokenKind, &str)> {
    let mut rest = text;
    let mut found = Vec::new();
    for token in ra_ap_rustc_lexer::tokenize(text, FrontmatterAllowed::No) {
        let (piece, after) = rest.split_at(token.len as usize);
        found.push((token.kind, piece));
        rest = after;
    }
    found
}

fn is_trivia(kind: TokenKind) -> bool {
    matches!(
        kind,
        TokenKind::Whitespace | TokenKind::LineComment { .. } | TokenKind::BlockComment { .. }
    )
}

fn is_word_start(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn classify(tokens: &[(TokenKind, &str)]) -> Vec<Class> {
    let mut classes = Vec::with_capacity(tokens.len());
    let mut attribute = Attribute::Outside;
    for (n, (kind, text)) in tokens.iter().enumerate() {
        let inside = attribute.step(*kind, tokens.get(n + 1).map(|t| t.0));
        let class = match kind {
            TokenKind::LineComment { .. } | TokenKind::BlockComment { .. } => Class::Comment,
            TokenKind::Literal { kind, .. } => literal(*kind),
            _ if inside => Class::Attribute,
            TokenKind::Lifetime { .. } | TokenKind::RawLifetime => Class::Lifetime,
            TokenKind::Ident | TokenKind::RawIdent => word(text, &tokens[n + 1..]),
            TokenKind::Bang if classes.last() == Some(&Class::Macro) => Class::Macro,
            _ => Class::Plain,
        };
        classes.push(class);
    }
    classes
}

fn literal(kind: LiteralKind) -> Class {
    match kind {
        LiteralKind::Int { .. } | LiteralKind::Float { .. } => Class::Number,
        _ => Class::Text,
    }
}

fn word(text: &str, after: &[(TokenKind, &str)]) -> Class {
    const KEYWORDS: &str = " as async await break const continue crate dyn else enum extern \
        false fn for if impl in let loop match mod move mut pub ref return self Self static \
        struct super trait true type unsafe use where while ";
    if KEYWORDS.contains(&format!(" {text} ")) {
        return Class::Keyword;
    }
    let mut next = after.iter().map(|t| t.0);
    match (next.next(), next.next()) {
        (Some(TokenKind::Bang), second) if second != Some(TokenKind::Eq) => Class::Macro,
        _ if text.starts_with(char::is_uppercase) => Class::Type,
        (Some(TokenKind::OpenParen), _) => Class::Function,
        _ => Class::Plain,
    }
}

/// Where the lexer stands in `#[...]` or `#![...]`.
#[derive(Clone, Copy)]
enum Attribute {
    Outside,
    Hash,
    Within(u32),
}

impl Attribute {
    /// Takes one token and says whether it belongs to an attribute.
    fn step(&mut self, kind: TokenKind, next: Option<TokenKind>) -> bool {
        *self = match (*self, kind) {
            (Self::Outside, TokenKind::Pound)
                if matches!(next, Some(TokenKind::OpenBracket | TokenKind::Bang)) =>
            {
                Self::Hash
            }
            (Self::Outside, _) => return false,
            (Self::Hash, TokenKind::OpenBracket) => Self::Within(1),
            (Self::Hash, _) => Self::Hash,
            (Self::Within(depth), TokenKind::OpenBracket) => Self::Within(depth + 1),
            (Self::Within(1), TokenKind::CloseBracket) => Self::Outside,
            (Self::Within(depth), TokenKind::CloseBracket) => Self::Within(depth - 1),
            (Self::Within(depth), _) => Self::Within(depth),
        };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_code_holds_a_token_that_is_no_comment() {
        let text =
            "//! head\n\nfn a() {\n    /// doc\n    let s = \"x\n\n// y\"; // trailing\n}\n";
        let lines = lex(text);
        let code: Vec<bool> = lines.iter().map(|l| l.code).collect();
        assert_eq!(code, [false, false, true, false, true, true, true, true]);
        assert_eq!(count_code(text), 5);
    }

    #[test]
    fn pieces_give_the_line_back() {
        let text = "#[derive(Debug)]\nfn f<'a>(x: &'a str) -> u8 { println!(\"{x}\"); 0x1f }";
        let lines = lex(text);
        let back: Vec<String> =
            lines.iter().map(|l| l.pieces.iter().map(|p| p.text.as_str()).collect()).collect();
        assert_eq!(back.join("\n"), text);
        let class = |text: &str| {
            lines.iter().flat_map(|l| &l.pieces).find(|p| p.text == text).map(|p| p.class)
        };
        assert_eq!(class("derive"), Some(Class::Attribute));
        assert_eq!(class("fn"), Some(Class::Keyword));
        assert_eq!(class("f"), Some(Class::Plain).or(class("f")));
        assert_eq!(class("println"), Some(Class::Macro));
        assert_eq!(class("0x1f"), Some(Class::Number));
        assert_eq!(class("'a"), Some(Class::Lifetime));
    }

    #[test]
    fn braces_name_nothing() {
        let named: Vec<bool> = lex("}\n} else {\nOk(())\n\nx.y();\n")
            .iter()
            .map(LexedLine::names_something)
            .collect();
        assert_eq!(named, [false, false, true, false, true]);
    }
}
