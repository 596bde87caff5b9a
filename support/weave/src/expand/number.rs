//! `lines`, `count` and `const`: numbers that the sources hold.

use std::rc::Rc;

use super::pages::in_src;
use super::{Chapter, Expanded, Weaver};
use crate::directive::Directive;
use crate::render::html::{escape, thousands};
use crate::render::number;
use crate::render::pick::first_with;
use crate::sources::{Item, Kind, Lines, Source, Target, find};

/// Lines of code of an item, a file, or a package's `src/`, its tests left out.
pub fn lines(weaver: &Weaver, directive: &Directive, _: Chapter<'_>) -> Expanded {
    directive.allow(&["with"])?;
    let with_tests = match directive.get("with") {
        None => false,
        Some("tests") => true,
        Some(other) => return Err(format!("with={other}: there is only `tests`").into()),
    };
    let count = |source: &Source| {
        source.whole().iter().filter(|&n| counted(source, n, with_tests)).count()
    };
    let sum = match find::find(&weaver.tree, &directive.subject)? {
        Target::Item(source, n) => source.code_in(source.items[n].lines),
        Target::File(source) => count(&source),
        Target::Package(files) => files.iter().filter(|f| in_src(f)).map(|f| count(f)).sum(),
    };
    Ok(thousands(sum as u64))
}

fn counted(source: &Source, line: usize, with_tests: bool) -> bool {
    source.is_code(line) && (with_tests || !in_test(source, line))
}

fn in_test(source: &Source, line: usize) -> bool {
    source.test || source.items.iter().any(|i| i.test && i.lines.contains(line))
}

/// How many functions, types, files or items there are, or lines of code that hold a text.
pub fn count(weaver: &Weaver, directive: &Directive, _: Chapter<'_>) -> Expanded {
    directive.allow(&["kind", "text"])?;
    let places: Vec<(Rc<Source>, Lines)> = match find::find(&weaver.tree, &directive.subject)? {
        Target::Package(files) => {
            files.iter().filter(|f| in_src(f)).map(|f| (Rc::clone(f), f.whole())).collect()
        }
        target => target.place().map(|(s, l)| (Rc::clone(s), l)).into_iter().collect(),
    };
    let number = match (directive.get("kind"), directive.get("text")) {
        (Some("files"), None) => places.len(),
        (Some(kind), None) => {
            let fits = kind_of(kind)?;
            places.iter().map(|(s, lines)| items(s, *lines, fits)).sum()
        }
        (None, Some(text)) => places.iter().map(|(s, lines)| holding(s, *lines, text)).sum(),
        _ => return Err("`count` needs `kind=` or `text=`, one of them".to_owned().into()),
    };
    Ok(thousands(number as u64))
}

fn kind_of(name: &str) -> Result<fn(Kind) -> bool, String> {
    Ok(match name {
        "functions" => |k| matches!(k, Kind::Function | Kind::Method),
        "types" => |k| k == Kind::Type,
        "traits" => |k| k == Kind::Trait,
        "items" => |k| k != Kind::Declaration,
        other => {
            return Err(format!(
                "kind={other}: there is `files`, `functions`, `types`, `traits`, `items`"
            ));
        }
    })
}

fn items(source: &Source, lines: Lines, fits: fn(Kind) -> bool) -> usize {
    let counted = |i: &&Item| fits(i.kind) && !i.test && lines.contains(i.lines.first);
    source.items.iter().filter(counted).count()
}

fn holding(source: &Source, lines: Lines, text: &str) -> usize {
    let holds = |n: &usize| source.lines[n - 1].contains(text) && counted(source, *n, false);
    lines.iter().filter(holds).count()
}

/// The value of a constant, or what stands behind a text in an item (`after="idle_timeout:"`).
pub fn constant(weaver: &Weaver, directive: &Directive, _: Chapter<'_>) -> Expanded {
    directive.allow(&["after"])?;
    let Target::Item(source, n) = find::find(&weaver.tree, &directive.subject)? else {
        return Err(format!("`{}` is no constant", directive.subject).into());
    };
    let item = &source.items[n];
    let value = match (directive.get("after"), &item.value) {
        (Some(after), _) => behind(&source, item.lines, after)?,
        (None, Some(value)) => value.clone(),
        (None, None) => {
            return Err(
                format!("`{}` is no constant; `after=` picks a value", item.path).into()
            );
        }
    };
    Ok(escape(&number::constant(&value)))
}

fn behind(source: &Source, lines: Lines, after: &str) -> Result<String, String> {
    let line = &source.lines[first_with(source, lines, after)? - 1];
    let value = line.split_once(after).map_or("", |(_, rest)| rest).trim();
    let value = value.trim_end_matches([',', ';']);
    if value.is_empty() {
        Err(format!("nothing stands behind `{after}`"))
    } else {
        Ok(value.to_owned())
    }
}
