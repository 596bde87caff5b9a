//! What cargo says of the locked packages.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::cargo::{self, Tell};
use super::package::Package;
use crate::problem::Problem;

/// Packages by cargo's identifier, and who links whom.
#[derive(Debug)]
pub struct Metadata {
    packages: BTreeMap<String, Package>,
    links: BTreeMap<String, Vec<String>>,
    /// Who asks for whom itself, be it for tests and examples only.
    asks: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct Answer {
    packages: Vec<PackageAnswer>,
    workspace_members: BTreeSet<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct PackageAnswer {
    id: String,
    name: String,
    version: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
    src_path: PathBuf,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

impl Metadata {
    /// Asks cargo, which fetches what is missing; the lock file is not changed.
    ///
    /// # Errors
    /// One sentence about all of it.
    pub fn ask(root: &Path, tell: Tell) -> Result<Self, Problem> {
        let answer = cargo::metadata(root, tell)?;
        Self::read(&answer)
            .map_err(|e| Problem::of("Cargo.lock", format!("`cargo metadata` said {e}")))
    }

    fn read(answer: &str) -> serde_json::Result<Self> {
        let answer: Answer = serde_json::from_str(answer)?;
        let members = answer.workspace_members;
        let packages =
            answer.packages.into_iter().map(|p| (p.id.clone(), package(p, &members))).collect();
        let nodes = answer.resolve.nodes;
        let asks = nodes
            .iter()
            .map(|node| (node.id.clone(), node.deps.iter().map(|d| d.pkg.clone()).collect()))
            .collect();
        let links = nodes
            .into_iter()
            .map(|node| {
                (node.id, node.deps.into_iter().filter(is_linked).map(|d| d.pkg).collect())
            })
            .collect();
        Ok(Self { packages, links, asks })
    }

    /// The versions of a package that the lock file names for this platform.
    pub fn versions(&self, name: &str) -> Vec<&str> {
        let named = self.packages.values().filter(|p| p.name == name);
        named.map(|p| p.version.as_str()).collect()
    }

    /// What a member's manifest asks for, for its tests and examples too.
    ///
    /// # Errors
    /// A name that is no member's.
    pub fn direct(&self, member: &str) -> Result<Vec<&Package>, String> {
        let asked = self.asks.get(self.member(member)?).into_iter().flatten();
        Ok(asked.filter_map(|id| self.packages.get(id)).collect())
    }

    fn member(&self, name: &str) -> Result<&String, String> {
        let is_it = |(_, p): &(&String, &Package)| p.is_member && p.name == name;
        let (id, _) = self
            .packages
            .iter()
            .find(is_it)
            .ok_or_else(|| format!("no package `{name}` in the workspace"))?;
        Ok(id)
    }

    /// Everything that a member links, at any depth.
    ///
    /// # Errors
    /// A name that is no member's.
    pub fn dependencies(&self, member: &str) -> Result<Vec<Package>, String> {
        let id = self.member(member)?;
        let mut seen = BTreeSet::new();
        let mut open = vec![id];
        while let Some(next) = open.pop() {
            for linked in self.links.get(next).into_iter().flatten() {
                if seen.insert(linked) {
                    open.push(linked);
                }
            }
        }
        Ok(seen.into_iter().filter_map(|id| self.packages.get(id)).cloned().collect())
    }
}

/// Normal dependencies are linked; those of tests and of build scripts are not.
fn is_linked(dependency: &Dependency) -> bool {
    dependency.dep_kinds.iter().any(|k| k.kind.is_none())
}

fn package(answer: PackageAnswer, members: &BTreeSet<String>) -> Package {
    let is_lib = |t: &&Target| t.kind.iter().any(|k| k.ends_with("lib") || k == "proc-macro");
    let lib = answer.targets.iter().find(is_lib);
    Package {
        lib_name: lib.map_or_else(|| answer.name.clone(), |t| t.name.clone()).replace('-', "_"),
        lib: lib.map(|t| t.src_path.clone()),
        is_member: members.contains(&answer.id),
        name: answer.name,
        version: answer.version,
        manifest: answer.manifest_path,
    }
}
