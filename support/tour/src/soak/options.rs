//! The options of `soak`.

use std::{collections::hash_map::RandomState, hash::BuildHasher};

/// What is to be soaked, and for how long.
pub(crate) struct Options {
    /// Calls of each stage.
    pub(super) requests: u64,
    /// No call begins after so much time.
    pub(super) seconds: Option<u64>,
    /// One stage only.
    stage: Option<u64>,
    pub(super) seed: u64,
}

impl Options {
    /// The rest of the command line.
    ///
    /// # Errors
    ///
    /// For an option that is not one of its own, and a value that is no number.
    pub(crate) fn parse(args: &mut lexopt::Parser) -> Result<Self, lexopt::Error> {
        use lexopt::prelude::*;

        // The standard library's hash keys are random.
        let seed = RandomState::new().hash_one(()) % 1_000_000;
        let mut options = Options { requests: 100_000, seconds: None, stage: None, seed };
        while let Some(arg) = args.next()? {
            match arg {
                Long("requests") => options.requests = args.value()?.parse()?,
                Long("seconds") => options.seconds = Some(args.value()?.parse()?),
                Long("seed") => options.seed = args.value()?.parse()?,
                Long("stage") => match args.value()?.parse()? {
                    stage @ 1..=3 => options.stage = Some(stage),
                    other => {
                        return Err(format!("expected stage 1, 2 or 3, found {other}").into());
                    }
                },
                other => return Err(other.unexpected()),
            }
        }
        Ok(options)
    }

    pub(super) fn has_stage(&self, stage: u64) -> bool {
        self.stage.is_none_or(|only| only == stage)
    }
}
