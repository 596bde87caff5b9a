//! Whole books: a small workspace is written to a folder of its own, and its book built.

#![forbid(unsafe_code)]

mod book;
mod doors;
mod failures;
#[cfg(unix)]
mod fetch;
mod rules;
mod sources;
mod workspace;
