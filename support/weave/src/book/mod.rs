//! The book as mdBook builds it: the preprocessor, the build, and what makes a warning an error.

pub mod build;
pub mod markup;
pub mod preprocess;
pub mod warnings;
pub mod whole;

pub use build::{Report, build};
