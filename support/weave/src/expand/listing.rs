//! `item`, `file` and `sources`: code as it stands.

use std::rc::Rc;

use super::pages::{file_anchor, in_src, item_anchor};
use super::{Chapter, Expanded, Weaver};
use crate::directive::Directive;
use crate::render::listing::{self, Caption};
use crate::render::pick::{self, Run};
use crate::sources::{Kind, Source, Target, find};

/// An item, or a picked part of it.
pub fn item(weaver: &Weaver, directive: &Directive, chapter: Chapter<'_>) -> Expanded {
    directive.allow(pick::ATTRIBUTES)?;
    match find::find(&weaver.tree, &directive.subject)? {
        Target::Item(source, n) => {
            let item = &source.items[n];
            let name = format!("{}::{}", source.package, item.path);
            let runs = pick::pick(directive, &source, item.lines)?;
            Ok(shown(weaver, &source, &runs, name, chapter))
        }
        Target::File(source) => {
            let message = format!("`{}` is a file: write `file` for `item`", source.name());
            Err(message.into())
        }
        Target::Package(_) => {
            let message = format!("`{}` is a package: write `sources`", directive.subject);
            Err(message.into())
        }
    }
}

/// A file, or a picked part of it.
pub fn file(weaver: &Weaver, directive: &Directive, chapter: Chapter<'_>) -> Expanded {
    directive.allow(pick::ATTRIBUTES)?;
    let source = match find::find(&weaver.tree, &directive.subject)? {
        Target::File(source) => source,
        Target::Package(files) => files
            .iter()
            .find(|f| f.module.is_empty())
            .map(Rc::clone)
            .ok_or_else(|| format!("`{}` has no lib.rs or main.rs", directive.subject))?,
        Target::Item(source, n) => {
            let message = format!("`{}` is an item: write `item`", source.items[n].path);
            return Err(message.into());
        }
    };
    let runs = pick::pick(directive, &source, source.whole())?;
    if directive.attributes.is_empty() {
        return Ok(whole(weaver, &source));
    }
    Ok(shown(weaver, &source, &runs, source.name(), chapter))
}

/// All files of a package's `src/`, each under a heading.
pub fn sources(weaver: &Weaver, directive: &Directive, _: Chapter<'_>) -> Expanded {
    directive.allow(&[])?;
    let Target::Package(files) = find::find(&weaver.tree, &directive.subject)? else {
        return Err(format!("`{}` is no package", directive.subject).into());
    };
    let files: Vec<&Rc<Source>> = files.iter().filter(|f| in_src(f)).collect();
    Ok(files.into_iter().map(|f| whole(weaver, f)).collect())
}

fn shown(
    weaver: &Weaver,
    source: &Source,
    runs: &[Run],
    name: String,
    chapter: Chapter<'_>,
) -> String {
    let mut first = None;
    for run in runs {
        if let Run::Shown(lines) | Run::Folded(lines) = run {
            weaver.show(source, *lines);
            first.get_or_insert(lines.first);
        }
    }
    let link = weaver.pages.link(chapter.page, source, first.unwrap_or(1));
    listing::listing(source, runs, &Caption { id: weaver.id(&name), name, link })
}

fn whole(weaver: &Weaver, source: &Source) -> String {
    weaver.show(source, source.whole());
    let ids: Vec<(usize, String)> = source
        .items
        .iter()
        .filter(|i| i.kind != Kind::Declaration)
        .map(|i| (i.lines.first, item_anchor(source, &i.path)))
        .collect();
    let heading = format!("## `{}` {{#{}}}", source.path, file_anchor(source));
    format!("{heading}\n\n{}\n", listing::whole_file(source, &ids))
}
