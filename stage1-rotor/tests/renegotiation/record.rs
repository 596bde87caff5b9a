//! What the client records of operations that wait for what is not their own: the event
//! `blocked_on`, with its fields `direction` and `why`.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, Once, PoisonError},
};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    util::SubscriberInitExt,
};

/// The events of this process. A client's loop has a thread of its own, and so there is one
/// collection for all threads, and one test at a time that looks into it.
static EVENTS: Mutex<Vec<Blocked>> = Mutex::new(Vec::new());
static USED: Mutex<()> = Mutex::new(());

pub(crate) struct Record {
    _one_at_a_time: MutexGuard<'static, ()>,
}

/// Writes the events down.
struct Writer;

#[derive(Default)]
struct Blocked {
    what: String,
    direction: String,
    why: String,
}

impl Record {
    /// An empty record, of all that happens as long as it lives.
    pub(crate) fn start() -> Self {
        static WRITER: Once = Once::new();
        WRITER.call_once(|| tracing_subscriber::registry().with(Writer).init());
        let one_at_a_time = USED.lock().unwrap_or_else(PoisonError::into_inner);
        events().clear();
        Record { _one_at_a_time: one_at_a_time }
    }

    /// Whether an operation of this direction has waited for this.
    pub(crate) fn has(&self, direction: &str, why: &str) -> bool {
        events().iter().any(|event| event.direction == direction && event.why == why)
    }
}

fn events() -> MutexGuard<'static, Vec<Blocked>> {
    EVENTS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: Subscriber> Layer<S> for Writer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut blocked = Blocked::default();
        event.record(&mut blocked);
        if blocked.what == "blocked_on" {
            events().push(blocked);
        }
    }
}

impl Visit for Blocked {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "what" => self.what = value.to_owned(),
            "direction" => self.direction = value.to_owned(),
            "why" => self.why = value.to_owned(),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}
