//! Parts of which one may fail without hiding what the others did.

use std::{
    error::Error,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::screen::{self, Bad};

type Failure = Box<dyn Error>;

/// Which parts failed.
#[derive(Default)]
pub(crate) struct Parts(Vec<String>);

impl Parts {
    /// Does a part. A failure, and a panic, is told now and counted for later.
    ///
    /// # Errors
    ///
    /// Only if nobody reads any more.
    pub(crate) fn attempt(
        &mut self,
        name: &str,
        part: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let why = match catch_unwind(AssertUnwindSafe(part)) {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) if is_broken_pipe(&*error) => return Err(error),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it panicked, see above".to_owned(),
        };
        // Some messages name the part themselves.
        let told = if why.starts_with(name) { why } else { format!("{name}: {why}") };
        screen::report(Bad(told));
        self.0.push(name.to_owned());
        Ok(())
    }

    /// Whether any part failed.
    pub(crate) fn have_failed(&self) -> bool {
        !self.0.is_empty()
    }

    /// What came of all of them.
    ///
    /// # Errors
    ///
    /// The names of those that failed.
    pub(crate) fn verdict(&self) -> Result<(), Failure> {
        match self.0.as_slice() {
            [] => Ok(()),
            failed => Err(format!("failed, as told above: {}", failed.join(", ")).into()),
        }
    }
}

/// Whether the one who reads what is printed has gone.
pub(crate) fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_after_a_failed_one_are_done_and_the_verdict_names_it() {
        let mut parts = Parts::default();
        let mut done = 0;
        for (name, fine) in [("one", true), ("two", false), ("three", true)] {
            let part = || {
                done += 1;
                if fine { Ok(()) } else { Err("no".into()) }
            };
            parts.attempt(name, part).expect("somebody reads");
        }
        assert_eq!(done, 3);
        let verdict = parts.verdict().unwrap_err().to_string();
        assert!(verdict.ends_with(": two"), "{verdict}");
    }

    #[test]
    fn a_panic_is_a_failure_and_a_closed_pipe_is_the_end() {
        let mut parts = Parts::default();
        assert!(parts.attempt("one", || panic!("on purpose")).is_ok());
        assert!(parts.have_failed());
        let closed = || Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
        assert!(parts.attempt("two", closed).is_err());
    }
}
