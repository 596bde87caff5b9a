//! The tape: the events of target `io_model`, as the clients say them, in the order in which they
//! come.
//!
//! Its rules: there is one tape in a process, since the clients' threads know of no other
//! subscriber than the process's; an event is kept with the name of its thread and the crate that
//! said it, so that what is left of one client never gets into the recording of another.

use std::{
    error::Error,
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use testbed::BOUND;
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    subscriber::{Interest, set_global_default},
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    registry,
};

/// What stands on the tape.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    /// The script has come to a new part of the exchange, of this title.
    Part(&'static str),
    /// A client has said something.
    Said(Said),
}

/// One event, as it was said.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    /// The word of the vocabulary.
    pub(super) what: String,
    /// The other fields, in the order of the source.
    pub(super) fields: Vec<(&'static str, String)>,
    /// The name of the thread; empty if it has none.
    pub(super) thread: String,
    /// The crate, as it is called in paths: `stage1_rotor`.
    pub(super) source: String,
}

/// Clones are the same tape.
#[derive(Clone, Default)]
pub(super) struct Tape(Arc<Shared>);

#[derive(Default)]
struct Shared {
    entries: Mutex<Vec<Entry>>,
    came: Condvar,
}

impl Tape {
    /// Starts to listen, for the rest of the process's life.
    ///
    /// # Errors
    ///
    /// If somebody listens already.
    pub(super) fn install() -> Result<Self, Box<dyn Error>> {
        let tape = Tape::default();
        set_global_default(registry().with(tape.clone()))?;
        Ok(tape)
    }

    /// A new part of the exchange begins.
    pub(super) fn part(&self, title: &'static str) {
        self.lock().push(Entry::Part(title));
    }

    /// Blocks until the tape has so many events of this kind.
    ///
    /// # Errors
    ///
    /// If they do not come within [`BOUND`].
    pub(super) fn wait_for(&self, what: &str, count: usize) -> Result<(), Box<dyn Error>> {
        let of_kind = |entry: &&Entry| matches!(entry, Entry::Said(said) if said.what == what);
        let missing = |entries: &mut Vec<Entry>| entries.iter().filter(of_kind).count() < count;
        let wait = self.0.came.wait_timeout_while(self.lock(), BOUND, missing);
        match wait.unwrap_or_else(PoisonError::into_inner).1.timed_out() {
            true => Err(format!("waited {BOUND:?} for `{what}`, {count} of them").into()),
            false => Ok(()),
        }
    }

    /// What this stage has said since the last time, with the parts; what others said is dropped.
    pub(super) fn take(&self, stage: &str) -> Vec<Entry> {
        let source = stage.replace('-', "_");
        let mut entries = std::mem::take(&mut *self.lock());
        entries.retain(|entry| match entry {
            Entry::Part(_) => true,
            // What the stages share speaks for the stage that calls it; the others are closed.
            Entry::Said(said) => [&*source, "client_core"].contains(&&*said.source),
        });
        entries
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wanted(metadata: &Metadata<'_>) -> bool {
    metadata.target() == "io_model" && *metadata.level() == Level::TRACE
}

impl<S: Subscriber> Layer<S> for Tape {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if wanted(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        wanted(metadata)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let source = event.metadata().module_path().unwrap_or_default();
        let mut said = Said {
            thread: thread::current().name().unwrap_or_default().to_owned(),
            source: source.split("::").next().unwrap_or_default().to_owned(),
            ..Said::default()
        };
        event.record(&mut said);
        self.lock().push(Entry::Said(said));
        self.0.came.notify_all();
    }
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "what" => value.clone_into(&mut self.what),
            name => self.fields.push((name, value.to_owned())),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.fields.push((field.name(), format!("{value:?}")));
    }
}
