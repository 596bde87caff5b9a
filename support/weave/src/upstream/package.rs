//! One locked package: its files, its lines of code, its page on docs.rs.

use std::fs;
use std::path::{Path, PathBuf};

use crate::problem::Problem;
use crate::sources::source::module_of;
use crate::sources::tree::slashed;
use crate::sources::{Lines, Source, lex};

/// A package in the version that the lock file names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its manifest, wherever cargo keeps it.
    pub manifest: PathBuf,
    /// The root file of its library.
    pub lib: Option<PathBuf>,
    /// The library's name as Rust code writes it.
    pub lib_name: String,
    /// Whether it is a member of the workspace.
    pub is_member: bool,
}

impl Package {
    fn folder(&self) -> &Path {
        self.manifest.parent().unwrap_or(Path::new(""))
    }

    /// The folder of its library, which holds `lib.rs`.
    fn src(&self) -> PathBuf {
        let lib = self.lib.as_deref().and_then(Path::parent);
        lib.map_or_else(|| self.folder().join("src"), Path::to_owned)
    }

    /// All Rust files of its library's folder, in order.
    ///
    /// # Errors
    /// The disk's.
    pub fn files(&self) -> Result<Vec<PathBuf>, Problem> {
        let mut files = Vec::new();
        collect(&self.src(), &mut files).map_err(|e| {
            let folder = self.src();
            let (name, version) = (&self.name, &self.version);
            Problem::of(slashed(&folder), format!("the sources of {name} {version}: {e}"))
        })?;
        files.sort();
        Ok(files)
    }

    /// A file's path as the book writes it.
    pub fn shown(&self, path: &Path) -> String {
        slashed(path.strip_prefix(self.folder()).unwrap_or(path))
    }

    /// Lines of code of its library's folder, by the ledger's rule.
    ///
    /// # Errors
    /// The disk's.
    pub fn code_lines(&self) -> Result<usize, Problem> {
        let mut sum = 0;
        for path in self.files()? {
            let bytes =
                fs::read(&path).map_err(|e| Problem::of(slashed(&path), e.to_string()))?;
            sum += lex::count_code(&String::from_utf8_lossy(&bytes));
        }
        Ok(sum)
    }

    /// Parses one of its files.
    ///
    /// # Errors
    /// A file that is no Rust.
    pub fn parse(&self, path: &Path, text: &str) -> Result<Source, Problem> {
        let inner = path.strip_prefix(self.src()).unwrap_or(path);
        let module = module_of(&Path::new("src").join(inner), true);
        Source::parse(&self.name, self.shown(path), module, text)
    }

    /// The page of some lines in the documentation of this version.
    pub fn page(&self, source: &Source, lines: Lines) -> String {
        let src = self.shown(&self.src());
        let file = source.path.strip_prefix(&format!("{src}/")).unwrap_or(&source.path);
        format!(
            "https://docs.rs/{}/{}/src/{}/{file}.html#{}-{}",
            self.name, self.version, self.lib_name, lines.first, lines.last
        )
    }
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, found)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    Ok(())
}
