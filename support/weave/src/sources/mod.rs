//! The sources that the book shows: crates, their files, and the items in them.
//!
//! Everything is read as text and parsed; no crate of the workspace is compiled or linked for it.
//! A crate is known by its package name, a file by its module path, an item by the path at which
//! Rust code would name it, as far as that is possible (see [`item`]).

pub mod find;
pub mod item;
pub mod lex;
pub mod nearest;
pub mod source;
pub mod tree;

pub use find::Target;
pub use item::{Item, Kind, Lines};
pub use source::Source;
pub use tree::Tree;
