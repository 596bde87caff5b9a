//! The book tool.
fn main() {}
