//! The crates of a workspace, read from the disk when they are first asked for.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::item::Kind;
use super::source::{self, Source};
use crate::problem::Problem;

/// All files of one package.
pub type Files = Rc<Vec<Rc<Source>>>;

/// The packages whose sources can be shown.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    /// Package name to its folder, relative to the root.
    packages: BTreeMap<String, PathBuf>,
    /// What has been parsed; a book names most files many times.
    parsed: RefCell<BTreeMap<String, Files>>,
}

impl Tree {
    /// Reads the workspace's manifest and its members' names.
    ///
    /// # Errors
    /// A manifest that cannot be read, or says no `workspace.members`.
    pub fn open(root: &Path) -> Result<Self, Problem> {
        let manifest = read_toml(&root.join("Cargo.toml"), "Cargo.toml")?;
        let members = manifest
            .get("workspace")
            .and_then(|w| w.get("members"))
            .and_then(toml::Value::as_array)
            .ok_or_else(|| Problem::of("Cargo.toml", "no [workspace] with members"))?;
        let mut packages = BTreeMap::new();
        for member in members.iter().filter_map(toml::Value::as_str) {
            let file = format!("{member}/Cargo.toml");
            let manifest = read_toml(&root.join(&file), &file)?;
            let name = manifest
                .get("package")
                .and_then(|p| p.get("name"))
                .and_then(toml::Value::as_str)
                .ok_or_else(|| Problem::of(&file, "no package.name"))?;
            packages.insert(name.to_owned(), PathBuf::from(member));
        }
        Ok(Self { root: root.to_owned(), packages, parsed: RefCell::default() })
    }

    /// The workspace's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The names of the packages.
    pub fn packages(&self) -> impl Iterator<Item = &str> {
        self.packages.keys().map(String::as_str)
    }

    /// All files of a package, in the order of their paths.
    ///
    /// # Errors
    /// An unknown package, or a file that cannot be read or parsed.
    pub fn files(&self, package: &str) -> Result<Files, Problem> {
        if let Some(files) = self.parsed.borrow().get(package) {
            return Ok(Rc::clone(files));
        }
        let folder = self.packages.get(package).ok_or_else(|| {
            Problem::of("Cargo.toml", format!("no package {package} in the workspace"))
        })?;
        let files = Rc::new(self.parse(package, folder)?);
        self.parsed.borrow_mut().insert(package.to_owned(), Rc::clone(&files));
        Ok(files)
    }

    fn parse(&self, package: &str, folder: &Path) -> Result<Vec<Rc<Source>>, Problem> {
        let base = self.root.join(folder);
        // A member inside another member's folder has its own name for its files.
        let others: Vec<PathBuf> = self
            .packages
            .values()
            .filter(|other| *other != folder && other.starts_with(folder))
            .map(|other| self.root.join(other))
            .collect();
        let mut paths = Vec::new();
        rust_files(&base, &others, &mut paths)
            .map_err(|e| Problem::of(folder.display().to_string(), e.to_string()))?;
        paths.sort();
        let has_lib = base.join("src/lib.rs").exists();
        let sources = paths
            .iter()
            .map(|path| {
                let inner = path.strip_prefix(&base).unwrap_or(path);
                let shown = slashed(&folder.join(inner));
                let text = fs::read_to_string(path)
                    .map_err(|e| Problem::of(shown.clone(), e.to_string()))?;
                let module = source::module_of(inner, has_lib);
                Source::parse(package, shown, module, &text)
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(with_test_modules(sources).into_iter().map(Rc::new).collect())
    }
}

/// Marks what stands in files of modules that are declared for tests only.
fn with_test_modules(mut sources: Vec<Source>) -> Vec<Source> {
    let declared = |source: &Source| -> Vec<String> {
        let prefix = if source.module.is_empty() {
            String::new()
        } else {
            format!("{}::", source.module)
        };
        let tests = source.items.iter().filter(|i| i.test && i.kind == Kind::Declaration);
        tests
            .filter_map(|i| i.path.strip_prefix(&prefix)?.strip_prefix("mod "))
            .map(|name| format!("{prefix}{name}"))
            .collect()
    };
    let modules: Vec<String> = sources.iter().flat_map(declared).collect();
    for source in &mut sources {
        let within =
            |m: &String| source.module == *m || source.module.starts_with(&format!("{m}::"));
        if modules.iter().any(within) {
            source.test = true;
            source.items.iter_mut().for_each(|i| i.test = true);
        }
    }
    sources
}

/// A path with `/`, as the book writes it.
pub fn slashed(path: &Path) -> String {
    path.iter().map(|p| p.to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// Collects the Rust files below a folder; build output, fixtures and hidden folders are left out.
fn rust_files(
    folder: &Path,
    others: &[PathBuf],
    found: &mut Vec<PathBuf>,
) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name =
            path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() {
            let skipped = matches!(name.as_str(), "target" | "fixtures" | "node_modules")
                || name.starts_with('.')
                || others.contains(&path);
            if !skipped {
                rust_files(&path, others, found)?;
            }
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
    Ok(())
}

fn read_toml(path: &Path, shown: &str) -> Result<toml::Table, Problem> {
    let text = fs::read_to_string(path).map_err(|e| Problem::of(shown, e.to_string()))?;
    text.parse().map_err(|e: toml::de::Error| Problem::of(shown, e.message().to_owned()))
}
