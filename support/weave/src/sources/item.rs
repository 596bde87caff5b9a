//! The items of one file, each with a path and its lines.
//!
//! - A path is the module's path and the item's name. A member of an inherent impl is
//!   `Type::member`, one of a trait impl `<Type as Trait>::member`; the type is written without
//!   generics, the trait as its last segment with its generics.
//! - The blocks themselves are `impl Type` and `<Type as Trait>`. A second item of the same path
//!   (two impl blocks, two functions under opposite `cfg`s) is told by `#2`, in the file's order.
//! - An item's lines include its attributes, its doc comments, and the `//` lines directly above.
//! - Items inside a macro's braces are items too, if the macro's tokens parse as such. Items inside
//!   functions, and those that a macro makes up, are not.

use syn::spanned::Spanned;

/// First and last line, counted from 1, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lines {
    /// The first line.
    pub first: usize,
    /// The last line.
    pub last: usize,
}

impl Lines {
    /// Whether a line lies in it.
    pub fn contains(self, line: usize) -> bool {
        (self.first..=self.last).contains(&line)
    }

    /// All the lines.
    pub fn iter(self) -> std::ops::RangeInclusive<usize> {
        self.first..=self.last
    }
}

/// What an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A function outside any impl or trait.
    Function,
    /// A function in an impl or trait block.
    Method,
    /// A struct, enum, union or type alias.
    Type,
    /// A trait.
    Trait,
    /// A const or static.
    Const,
    /// A type named inside an impl or trait block.
    AssociatedType,
    /// An impl block of a type's own.
    Inherent,
    /// An impl block of a trait.
    TraitImpl,
    /// A module with its body here.
    Module,
    /// `macro_rules!`.
    Macro,
    /// A macro called where an item could stand.
    MacroCall,
    /// `use`, `mod name;`, `extern crate` and `extern` blocks: they say where things are, not what they do.
    Declaration,
}

impl Kind {
    /// Whether other items can stand in it.
    pub fn is_container(self) -> bool {
        matches!(
            self,
            Self::Inherent | Self::TraitImpl | Self::Trait | Self::Module | Self::MacroCall
        )
    }
}

/// One item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its path within the crate.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Where it stands.
    pub lines: Lines,
    /// The container it stands in, as an index into the file's items.
    pub parent: Option<usize>,
    /// Whether it is compiled for tests only.
    pub test: bool,
    /// The value of a const or static, as written.
    pub value: Option<String>,
}

/// Parses a file's text into items, in the order of their first lines.
///
/// # Errors
/// The parser's message with its line, if the text is no Rust.
pub fn parse(module: &str, text: &str) -> Result<Vec<Item>, (usize, String)> {
    let file =
        syn::parse_file(text).map_err(|e| (e.span().start().line, format!("not Rust: {e}")))?;
    let mut collector = Collector { lines: text.lines().collect(), items: Vec::new() };
    collector.all(&file.items, &Place { prefix: module.to_owned(), parent: None, test: false });
    let mut items = collector.items;
    number_doubles(&mut items);
    Ok(items)
}

/// Where the collector stands.
struct Place {
    /// The path of the module around.
    prefix: String,
    parent: Option<usize>,
    test: bool,
}

impl Place {
    fn path(&self, name: &str) -> String {
        if self.prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{}::{name}", self.prefix)
        }
    }
}

struct Collector<'a> {
    lines: Vec<&'a str>,
    items: Vec<Item>,
}

impl Collector<'_> {
    fn all(&mut self, items: &[syn::Item], place: &Place) {
        for item in items {
            self.one(item, place);
        }
    }

    fn one(&mut self, item: &syn::Item, place: &Place) {
        use syn::Item::{
            Const, Enum, ExternCrate, Fn, ForeignMod, Impl, Macro, Mod, Static, Struct, Trait,
            TraitAlias, Type, Union, Use,
        };
        let (name, kind, attrs) = match item {
            Const(i) => (i.ident.to_string(), Kind::Const, &i.attrs),
            Static(i) => (i.ident.to_string(), Kind::Const, &i.attrs),
            Enum(i) => (i.ident.to_string(), Kind::Type, &i.attrs),
            Struct(i) => (i.ident.to_string(), Kind::Type, &i.attrs),
            Union(i) => (i.ident.to_string(), Kind::Type, &i.attrs),
            Type(i) => (i.ident.to_string(), Kind::Type, &i.attrs),
            Fn(i) => (i.sig.ident.to_string(), Kind::Function, &i.attrs),
            Trait(i) => (i.ident.to_string(), Kind::Trait, &i.attrs),
            TraitAlias(i) => (i.ident.to_string(), Kind::Trait, &i.attrs),
            Mod(i) if i.content.is_some() => (i.ident.to_string(), Kind::Module, &i.attrs),
            Mod(i) => (format!("mod {}", i.ident), Kind::Declaration, &i.attrs),
            Use(i) => ("use".to_owned(), Kind::Declaration, &i.attrs),
            ExternCrate(i) => {
                (format!("extern crate {}", i.ident), Kind::Declaration, &i.attrs)
            }
            Impl(i) => {
                let kind = if i.trait_.is_some() { Kind::TraitImpl } else { Kind::Inherent };
                (impl_name(i), kind, &i.attrs)
            }
            Macro(i) => match &i.ident {
                Some(name) => (format!("{name}!"), Kind::Macro, &i.attrs),
                None => (format!("{}!", compact(&i.mac.path)), Kind::MacroCall, &i.attrs),
            },
            ForeignMod(i) => ("extern".to_owned(), Kind::Declaration, &i.attrs),
            // What syn does not know: lines of nobody.
            _ => return,
        };
        let value = match item {
            Const(i) => Some(source_text(&*i.expr)),
            Static(i) => Some(source_text(&*i.expr)),
            _ => None,
        };
        let index = self.push(place, &name, kind, attrs, item.span(), value);
        let test = self.items[index].test;
        let within = |prefix| Place { prefix, parent: Some(index), test };
        match item {
            Mod(i) => {
                if let Some((_, content)) = &i.content {
                    self.all(content, &within(place.path(&name)));
                }
            }
            Trait(i) => self.trait_members(i, &within(place.path(&name))),
            Impl(i) => {
                let owner = if i.trait_.is_some() { name } else { self_name(i) };
                self.impl_members(&i.items, &within(place.path(&owner)));
            }
            Macro(i) if i.ident.is_none() => {
                if let Ok(inner) = i.mac.parse_body::<Body<syn::Item>>() {
                    self.all(&inner.0, &within(place.prefix.clone()));
                }
            }
            _ => {}
        }
    }

    fn trait_members(&mut self, item: &syn::ItemTrait, place: &Place) {
        for member in &item.items {
            use syn::TraitItem::{Const, Fn, Type};
            let (name, kind, attrs) = match member {
                Fn(i) => (i.sig.ident.to_string(), Kind::Method, &i.attrs),
                Const(i) => (i.ident.to_string(), Kind::Const, &i.attrs),
                Type(i) => (i.ident.to_string(), Kind::AssociatedType, &i.attrs),
                _ => continue,
            };
            self.push(place, &name, kind, attrs, member.span(), None);
        }
    }

    fn impl_members(&mut self, members: &[syn::ImplItem], place: &Place) {
        for member in members {
            use syn::ImplItem::{Const, Fn, Macro, Type};
            let (name, kind, attrs, value) = match member {
                Fn(i) => (i.sig.ident.to_string(), Kind::Method, &i.attrs, None),
                Const(i) => {
                    (i.ident.to_string(), Kind::Const, &i.attrs, Some(source_text(&i.expr)))
                }
                Type(i) => (i.ident.to_string(), Kind::AssociatedType, &i.attrs, None),
                Macro(i) => {
                    if let Ok(inner) = i.mac.parse_body::<Body<syn::ImplItem>>() {
                        self.impl_members(&inner.0, place);
                    }
                    continue;
                }
                _ => continue,
            };
            self.push(place, &name, kind, attrs, member.span(), value);
        }
    }

    fn push(
        &mut self,
        place: &Place,
        name: &str,
        kind: Kind,
        attrs: &[syn::Attribute],
        span: proc_macro2::Span,
        value: Option<String>,
    ) -> usize {
        let lines = Lines {
            first: self.climb(span.start().line),
            last: span.end().line.max(span.start().line),
        };
        let path = place.path(name);
        let test = place.test || attrs.iter().any(is_test_only);
        self.items.push(Item { path, kind, lines, parent: place.parent, test, value });
        self.items.len() - 1
    }

    /// Takes the comment lines directly above along; a blank line or a module's head ends it.
    fn climb(&self, first: usize) -> usize {
        let mut line = first;
        while line > 1 {
            let above = self.lines[line - 2].trim_start();
            if !above.starts_with("//") || above.starts_with("//!") {
                break;
            }
            line -= 1;
        }
        line
    }
}

/// A macro's tokens, read as items, or as members of an impl.
struct Body<T>(Vec<T>);

impl<T: syn::parse::Parse> syn::parse::Parse for Body<T> {
    fn parse(input: syn::parse::ParseStream<'_>) -> syn::Result<Self> {
        // tokio's `feature!` says its condition as an inner attribute.
        input.call(syn::Attribute::parse_inner)?;
        let mut items = Vec::new();
        while !input.is_empty() {
            items.push(input.parse()?);
        }
        Ok(Self(items))
    }
}

fn is_test_only(attr: &syn::Attribute) -> bool {
    let meta = compact(&attr.meta);
    let tests = ["cfg(test)", "cfg(all(test,", "cfg(any(test,"];
    meta == "test" || tests.iter().any(|start| meta.starts_with(start))
}

fn self_name(item: &syn::ItemImpl) -> String {
    let full = compact(&*item.self_ty);
    let base = full.split('<').next().filter(|b| !b.is_empty()).unwrap_or(&full);
    base.rsplit("::").next().unwrap_or(base).to_owned()
}

fn impl_name(item: &syn::ItemImpl) -> String {
    match &item.trait_ {
        None => format!("impl {}", self_name(item)),
        Some((path, _)) => {
            let name = path.segments.last().map(compact).unwrap_or_default();
            format!("<{} as {name}>", self_name(item))
        }
    }
}

/// Tokens without the blanks that are put between them, but for those that part two words.
pub fn compact(tokens: &impl quote::ToTokens) -> String {
    squeeze(&tokens.to_token_stream().to_string())
}

/// Takes out every blank that does not part two words, or stands around `as`.
pub fn squeeze(text: &str) -> String {
    let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let mut out = String::new();
    let mut words = text.split_whitespace().peekable();
    while let Some(part) = words.next() {
        out.push_str(part);
        if let Some(next) = words.peek()
            && ((word(part.chars().last()) && word(next.chars().next()))
                || part == "as"
                || *next == "as")
        {
            out.push(' ');
        }
    }
    out
}

fn source_text(tokens: &impl quote::ToTokens) -> String {
    let span = tokens.span();
    span.source_text().unwrap_or_else(|| compact(tokens))
}

/// A path that occurs again in a file gets `#2`, `#3` and so on, and its members with it.
fn number_doubles(items: &mut [Item]) {
    let mut seen = std::collections::HashMap::<String, usize>::new();
    for item in items.iter_mut().filter(|i| i.kind != Kind::Declaration) {
        let count = seen.entry(item.path.clone()).or_insert(0);
        *count += 1;
        if *count > 1 {
            item.path = format!("{}#{count}", item.path);
        }
    }
}
