//! The book's tool.
//!
//! The book pastes nothing: listings, steps between two stages, counts, constants, measured
//! figures and outputs of commands are taken, at each build, from the sources and from recorded
//! runs. A chapter names what it wants by a directive (`{{#item stage1-rotor::pool::Pool}}`); what
//! does not exist stops the build with the chapter's file and line.
//!
//! - [`sources`] finds items in the workspace's sources, which are read as text.
//! - [`expand`] replaces the directives of a chapter, [`render`] writes the HTML.
//! - [`commands`] runs and records the commands that the book tells its reader to run.
//! - [`trace`] reads the recordings of the three stages that the tour makes.
//! - [`ledger`] classes every item of the stages and counts; [`done_by`] says who does a deleted item's
//!   work today, looked up by [`upstream`] in the locked sources.
//! - [`checks`] goes over the built pages, [`rules`] over the stages' code.
//! - [`book`] is the mdBook preprocessor, and the build as a library call.
//!
//! The reference of the directives is in this package's README.

#![forbid(unsafe_code)]

pub mod book;
pub mod checks;
pub mod cli;
pub mod commands;
pub mod directive;
pub mod done_by;
pub mod expand;
pub mod ledger;
pub mod problem;
pub mod process;
pub mod render;
pub mod results;
pub mod rules;
pub mod sources;
pub mod trace;
pub mod upstream;

pub use book::{Report, build};
pub use problem::{Problem, Problems};
pub use upstream::Tell;
