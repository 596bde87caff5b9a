//! Whom we compare: the three stages, the peers, and the floors under all of them.
//!
//! Each subject does the same: so many calls, at most so many at once, on at most so many
//! connections, from callers on one thread. Its rules: every response is verified, status and
//! each byte of the body; a subject that cannot do what is asked says so, and is left out; what
//! a subject starts ends when it is dropped.

mod crew;
mod floors;
mod load;
mod peers;
mod stages;

pub(crate) use load::{Check, Load};

use crate::Failure;

/// One side of the comparison, warm and ready.
pub(crate) trait Subject {
    /// Makes exactly so many calls.
    ///
    /// # Errors
    ///
    /// The first call's that fails, or whose response is not what was expected.
    fn run(&mut self, calls: u64) -> Result<(), Failure>;
}

/// How a subject is started.
type Start = fn(&Load) -> Result<Box<dyn Subject>, Failure>;

/// A subject that can be started.
pub(crate) struct Entry {
    /// How reports call it.
    pub(crate) name: &'static str,
    start: Start,
    /// Whether it can do what is asked.
    pub(crate) fits: fn(&Load) -> bool,
}

/// All of them, in the order of reports.
pub(crate) const ALL: &[Entry] = &[
    #[cfg(unix)]
    Entry { name: "stage1-rotor", start: stages::stage1, fits: always },
    Entry { name: "stage2-mio", start: stages::stage2, fits: always },
    Entry { name: "stage2-mio caller's thread", start: stages::stage2_driven, fits: always },
    Entry { name: "stage3-tokio", start: stages::stage3, fits: always },
    Entry { name: "stage3-tokio own thread", start: stages::stage3_apart, fits: always },
    Entry { name: "hyper-util", start: peers::hyper, fits: always },
    Entry { name: "reqwest", start: peers::reqwest, fits: always },
    Entry { name: "floor: blocking socket", start: floors::blocking, fits: one_caller },
    Entry { name: "floor: bare mio loop", start: floors::bare, fits: Load::has_length },
];

fn always(_: &Load) -> bool {
    true
}

/// A blocking socket serves one caller at a time.
fn one_caller(load: &Load) -> bool {
    load.callers == 1 && load.has_length()
}

impl Entry {
    /// The subject of this name.
    pub(crate) fn named(name: &str) -> Option<&'static Entry> {
        ALL.iter().find(|entry| entry.name == name)
    }

    /// The subject, warm: with all its connections made, and used more than once.
    ///
    /// # Errors
    ///
    /// What making it, or its first calls, fails with.
    pub(crate) fn start(&self, load: &Load) -> Result<Box<dyn Subject>, Failure> {
        let mut subject = (self.start)(load)?;
        subject.run(load.warm_up())?;
        Ok(subject)
    }
}
