//! From the path that an author wrote to the lines that it names.
//!
//! - `stage1-rotor` is a package, `stage1-rotor::pool` a file, `stage1-rotor::pool::Pool` an item.
//! - `<Client as Service>::call` finds `<Client as Service<Request>>::call` if only one fits; so do
//!   `Service<..>`, and a trait with its path written out.
//! - `Client::call` finds a trait impl's member if only one impl has it.
//! - `#2` at the end picks among items of one path.
//!
//! What fits more than once is an error that names the lines; what fits nowhere is one that names
//! the nearest paths.

use std::rc::Rc;

use super::item::{Item, Kind, Lines, squeeze};
use super::nearest::nearest;
use super::source::Source;
use super::tree::{Files, Tree};
use crate::problem::Cause;

/// What a path names.
#[derive(Debug, Clone)]
pub enum Target {
    /// A whole package.
    Package(Files),
    /// A file, or an inline module's lines are an item: this is a file.
    File(Rc<Source>),
    /// An item in a file, by its index there.
    Item(Rc<Source>, usize),
}

impl Target {
    /// The file and lines; `None` for a package.
    pub fn place(&self) -> Option<(&Rc<Source>, Lines)> {
        match self {
            Self::Package(_) => None,
            Self::File(source) => Some((source, source.whole())),
            Self::Item(source, n) => Some((source, source.items[*n].lines)),
        }
    }
}

/// Finds what a path names.
///
/// # Errors
/// A message that says what exists instead, or the problem of a file that cannot be read.
pub fn find(tree: &Tree, path: &str) -> Result<Target, Cause> {
    let path = squeeze(path);
    let (package, rest) = match path.split_once("::") {
        Some((package, rest)) => (package, rest),
        None => (path.as_str(), ""),
    };
    if !tree.packages().any(|p| p == package) {
        let names = tree.packages().collect::<Vec<_>>().join(", ");
        return Err(format!("no package `{package}`; the workspace has {names}").into());
    }
    let files = tree.files(package)?;
    if rest.is_empty() {
        return Ok(Target::Package(files));
    }
    if let Some(file) = files.iter().find(|f| f.module == rest) {
        return Ok(Target::File(Rc::clone(file)));
    }
    match find_in(&files, rest) {
        Ok((source, n)) => Ok(Target::Item(source, n)),
        Err(NotOne::None) => {
            let known = files.iter().flat_map(|f| named(f)).map(|i| i.path.as_str());
            let modules = files.iter().map(|f| f.module.as_str()).filter(|m| !m.is_empty());
            let near = nearest(rest, known.chain(modules), 3);
            Err(format!(
                "no item `{rest}` in {package}; the nearest are {}",
                near.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
            )
            .into())
        }
        Err(NotOne::Several(places)) => {
            let places = places.join(", ");
            Err(format!("`{rest}` fits more than one item of {package}: {places}").into())
        }
    }
}

/// Why a path did not name one item.
#[derive(Debug)]
pub enum NotOne {
    /// Nothing fits.
    None,
    /// Each that fits, as `path (file:line)`.
    Several(Vec<String>),
}

/// Finds an item by its path within a package.
///
/// # Errors
/// None, or several.
pub fn find_in(files: &[Rc<Source>], path: &str) -> Result<(Rc<Source>, usize), NotOne> {
    for fits in [same as fn(&str, &str) -> bool, loosely, by_shortcut] {
        let found: Vec<(&Rc<Source>, usize)> = files
            .iter()
            .flat_map(|f| f.items.iter().enumerate().map(move |(n, i)| (f, n, i)))
            .filter(|(_, _, i)| i.kind != Kind::Declaration && fits(path, &i.path))
            .map(|(f, n, _)| (f, n))
            .collect();
        match found.as_slice() {
            [] => {}
            [(source, n)] => return Ok((Rc::clone(source), *n)),
            several => {
                let place = |(f, n): &(&Rc<Source>, usize)| {
                    format!("`{}` ({}:{})", f.items[*n].path, f.path, f.items[*n].lines.first)
                };
                return Err(NotOne::Several(several.iter().map(place).collect()));
            }
        }
    }
    Err(NotOne::None)
}

fn named(source: &Source) -> impl Iterator<Item = &Item> {
    source.items.iter().filter(|i| i.kind != Kind::Declaration)
}

fn same(wanted: &str, path: &str) -> bool {
    wanted == path
}

/// Paths and generics of the type and the trait do not matter.
fn loosely(wanted: &str, path: &str) -> bool {
    wanted.contains('<') && plain_impl(wanted) == plain_impl(path)
}

/// `Type::member` for a member of a trait impl.
fn by_shortcut(wanted: &str, path: &str) -> bool {
    without_trait(path).is_some_and(|short| short == wanted)
}

/// `m::<a::T as b::Trait<X>>::f` as `m::<T as Trait>::f`.
fn plain_impl(path: &str) -> String {
    let Some((before, of, by, after)) = impl_parts(path) else { return path.to_owned() };
    let by = by.split('<').next().unwrap_or(by);
    let by = by.rsplit("::").next().unwrap_or(by);
    let of = of.split('<').next().filter(|o| !o.is_empty()).unwrap_or(of);
    let of = of.rsplit("::").next().unwrap_or(of);
    format!("{before}<{of} as {by}>{after}")
}

fn without_trait(path: &str) -> Option<String> {
    let (before, of, _, after) = impl_parts(path)?;
    (!after.is_empty()).then(|| format!("{before}{of}{after}"))
}

/// Cuts `m::<T as Trait>::f` into `m::`, `T`, `Trait` and `::f`.
fn impl_parts(path: &str) -> Option<(&str, &str, &str, &str)> {
    let open = path.find('<')?;
    let middle = open + path[open..].find(" as ")?;
    let mut depth = 0_i32;
    let close = path[open..].char_indices().find_map(|(n, c)| {
        depth += match c {
            '<' => 1,
            '>' if !path[..open + n].ends_with('-') => -1,
            _ => 0,
        };
        (depth == 0).then_some(open + n)
    })?;
    let by = path.get(middle + 4..close)?;
    Some((&path[..open], &path[open + 1..middle], by, &path[close + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Vec<Rc<Source>> {
        let text = "
pub const LIMIT: usize = 16 * 1024;
struct Client;
impl Client { fn new() {} }
impl Client { fn close() {} }
impl tower_service::Service<http::Request<Body>> for Client {
    type Error = ();
    fn call(&mut self) {}
}
impl fmt::Display for Client { fn fmt(&self) {} }
impl fmt::Debug for Client { fn fmt(&self) {} }
impl From<u8> for Client { fn from(x: u8) {} }
impl From<u16> for Client { fn from(x: u16) {} }
mod inner { pub fn deep() {} }
#[cfg(unix)]
fn twice() {}
#[cfg(windows)]
fn twice() {}
thread_local! { static SEEN: u8 = 0; }
cfg_rt! { pub(crate) fn hidden() {} }
feature! { #![cfg(x)] impl Client { cfg_net! { fn inner(&self) {} } } }
impl Wake for Arc<Client> { fn wake(self: Arc<Self>) {} }
";
        vec![Rc::new(Source::parse("p", "src/c.rs".into(), "c".into(), text).unwrap())]
    }

    fn found(path: &str) -> Result<String, NotOne> {
        find_in(&source(), &squeeze(path)).map(|(s, n)| s.items[n].path.clone())
    }

    #[test]
    fn every_kind_of_item_has_a_path() {
        for path in [
            "c::LIMIT",
            "c::Client",
            "c::Client::new",
            "c::impl Client",
            "c::impl Client#2",
            "c::<Client as Service<http::Request<Body>>>::call",
            "c::<Client as From<u8>>::from",
            "c::<Client as Display>",
            "c::inner::deep",
            "c::twice#2",
            "c::hidden",
            "c::SEEN",
            "c::Client::inner",
        ] {
            assert_eq!(found(path).ok().as_deref(), Some(path));
        }
    }

    #[test]
    fn shortcuts_find_what_is_unique() {
        let call = Some("c::<Client as Service<http::Request<Body>>>::call");
        for path in [
            "c::Client::call",
            "c::<Client as Service>::call",
            "c::<Client as Service<..>>::call",
            "c::<Client as tower_service::Service< .. >>::call",
        ] {
            assert_eq!(found(path).ok().as_deref(), call, "{path}");
        }
        assert_eq!(found("c::<Arc<Client> as Wake>").ok().as_deref(), Some("c::<Arc as Wake>"));
        assert!(matches!(found("c::Client::fmt"), Err(NotOne::Several(two)) if two.len() == 2));
        assert!(matches!(found("c::<Client as From>::from"), Err(NotOne::Several(_))));
        assert!(matches!(found("c::Client::gone"), Err(NotOne::None)));
    }
}
