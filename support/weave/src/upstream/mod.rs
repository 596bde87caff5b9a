//! The sources of locked dependencies, where cargo has put them.
//!
//! Cargo says where, for this platform, and fetches what is missing. It is asked once, when the
//! first source is needed.

pub mod cargo;
pub mod metadata;
pub mod package;

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

pub use cargo::Tell;
use metadata::Metadata;
pub use package::Package;

use crate::problem::{Cause, Problem};
use crate::sources::Source;
use crate::sources::find::{NotOne, find_in};
use crate::sources::item::squeeze;
use crate::sources::nearest::nearest;
use crate::sources::tree::slashed;

/// All packages that the workspace's lock file names for this platform.
#[derive(Debug)]
pub struct Upstream {
    root: PathBuf,
    tell: Tell,
    metadata: OnceCell<Result<Metadata, Problem>>,
    /// Files that were parsed for one address and may be needed for another.
    parsed: RefCell<BTreeMap<PathBuf, Rc<Source>>>,
}

/// An item of a dependency.
#[derive(Debug, Clone)]
pub struct Found {
    /// The package.
    pub package: Package,
    /// The file.
    pub source: Rc<Source>,
    /// The item, by its index in the file.
    pub item: usize,
}

impl Upstream {
    /// The packages of a workspace; cargo is asked when the first is needed, and `tell` is told what
    /// it fetches.
    pub fn new(root: &Path, tell: Tell) -> Self {
        let root = root.to_owned();
        Self { root, tell, metadata: OnceCell::new(), parsed: RefCell::default() }
    }

    fn metadata(&self) -> Result<&Metadata, Problem> {
        let ask = || Metadata::ask(&self.root, self.tell);
        self.metadata.get_or_init(ask).as_ref().map_err(Clone::clone)
    }

    /// What a member links, at any depth; the member itself is left out.
    ///
    /// # Errors
    /// What cargo says.
    pub fn dependencies(&self, member: &str) -> Result<Vec<Package>, Cause> {
        Ok(self.metadata()?.dependencies(member)?)
    }

    /// The locked version of a package, or of that which a member asks for or links.
    ///
    /// # Errors
    /// A package that is not there, or is there in several versions.
    pub fn version(&self, name: &str, of: Option<&str>) -> Result<String, Cause> {
        if let Some(member) = of {
            let direct = self.metadata()?.direct(member)?;
            return match direct.iter().find(|p| p.name == name) {
                Some(package) => Ok(package.version.clone()),
                None => Ok(self.package(member, name)?.version),
            };
        }
        match self.metadata()?.versions(name).as_slice() {
            [one] => Ok((*one).to_owned()),
            [] => Err(format!("the lock file has no package `{name}`").into()),
            several => {
                let versions = several.join(" and ");
                Err(format!("`{name}` is locked in versions {versions}: say `of=PACKAGE`")
                    .into())
            }
        }
    }

    /// Finds `package::path::of::item` or `package::item @ src/file.rs` among what a member links.
    ///
    /// # Errors
    /// A message that says what exists instead.
    pub fn find(&self, member: &str, address: &str) -> Result<Found, Cause> {
        let (path, file) = match address.split_once(" @ ") {
            Some((path, file)) => (squeeze(path), Some(file.trim())),
            None => (squeeze(address), None),
        };
        let (name, item) = path.split_once("::").ok_or_else(|| {
            format!("`{address}`: expected package::item, as in `tokio::net::TcpStream`")
        })?;
        let package = self.package(member, name)?;
        let files = self.candidates(&package, item, file)?;
        match find_in(&files, item) {
            Ok((source, item)) => Ok(Found { package, source, item }),
            Err(NotOne::Several(places)) => {
                let places = places.join(", ");
                Err(format!("`{item}` fits several items of {name}: {places}").into())
            }
            Err(NotOne::None) => {
                let last = last_word(item);
                let known = files.iter().flat_map(|f| &f.items).map(|i| i.path.as_str());
                let near = nearest(item, known, 3).join("`, `");
                if near.is_empty() {
                    let version = package.version;
                    return Err(format!("no file of {name} {version} says `{last}`").into());
                }
                Err(format!(
                    "{name} {} has no item `{item}`; of the files that say `{last}`, the nearest are `{near}`",
                    package.version
                )
                .into())
            }
        }
    }

    fn package(&self, member: &str, name: &str) -> Result<Package, Cause> {
        let linked = self.dependencies(member)?;
        let named: Vec<Package> = linked
            .into_iter()
            .filter(|p| p.name.replace('-', "_") == name.replace('-', "_"))
            .collect();
        match named.as_slice() {
            [one] => Ok(one.clone()),
            [] => Err(format!("{member} links no package `{name}`").into()),
            several => {
                let versions: Vec<&str> = several.iter().map(|p| p.version.as_str()).collect();
                let versions = versions.join(" and ");
                Err(format!("{member} links `{name}` in versions {versions}").into())
            }
        }
    }

    /// The files that may hold an item: the one named, or all that say its last name.
    fn candidates(
        &self,
        package: &Package,
        item: &str,
        file: Option<&str>,
    ) -> Result<Vec<Rc<Source>>, Cause> {
        let last = last_word(item);
        let mut files = Vec::new();
        for path in package.files()? {
            let shown = package.shown(&path);
            if file.is_some_and(|f| f != shown) {
                continue;
            }
            let text = std::fs::read_to_string(&path)
                .map_err(|e| Problem::of(slashed(&path), e.to_string()))?;
            if text.contains(last) {
                files.push(self.parse(package, &path, &text)?);
            }
        }
        match file {
            Some(file) if files.is_empty() => {
                let (name, version) = (&package.name, &package.version);
                Err(format!("{name} {version} has no `{last}` in `{file}`").into())
            }
            _ => Ok(files),
        }
    }

    fn parse(&self, package: &Package, path: &Path, text: &str) -> Result<Rc<Source>, Problem> {
        if let Some(source) = self.parsed.borrow().get(path) {
            return Ok(Rc::clone(source));
        }
        let source = Rc::new(package.parse(path, text)?);
        self.parsed.borrow_mut().insert(path.to_owned(), Rc::clone(&source));
        Ok(source)
    }
}

/// The last name in a path: `Drop` of `oneshot::<Sender as Drop>`.
fn last_word(path: &str) -> &str {
    let path = path.split('#').next().unwrap_or(path);
    path.rsplit(|c: char| !c.is_alphanumeric() && c != '_')
        .find(|w| !w.is_empty())
        .unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_chosen_by_the_last_word() {
        assert_eq!(last_word("net::TcpStream::connect"), "connect");
        assert_eq!(last_word("a::<Sender as Drop>"), "Drop");
        assert_eq!(last_word("a::impl Pool#2"), "Pool");
    }
}
