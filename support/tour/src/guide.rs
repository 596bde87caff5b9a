//! The whole tour, for a first look.

use std::error::Error;

use crate::{
    args::Serving, book, claim::Claim, compare, pages, parts::Parts, run, screen::say,
};

type Failure = Box<dyn Error>;

/// Runs the stages, compares them, builds the book and serves it.
///
/// # Errors
///
/// The names of the parts that failed; another tour that serves this folder's book already.
pub(crate) fn all(serving: Option<Serving>) -> Result<(), Failure> {
    let claim = match serving {
        Some(_) => Some(Claim::to_serve(&book::root()?)?),
        None => None,
    };
    let mut parts = Parts::default();
    parts.attempt("the stages", run::stages)?;
    say("")?;
    parts.attempt("the comparison", compare::all)?;
    say("")?;
    parts.attempt("the book", book::build)?;
    match serving.zip(claim) {
        Some((serving, claim)) => pages::serve(serving, claim, &parts),
        None => parts.verdict(),
    }
}
