//! What the client records of operations that wait for what is not their own: the event
//! `blocked_on`, with its fields `direction` and `why`.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    subscriber::DefaultGuard,
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    util::SubscriberInitExt,
};

#[derive(Clone, Default)]
pub(crate) struct Record(Arc<Mutex<Vec<Blocked>>>);

#[derive(Default)]
struct Blocked {
    what: String,
    direction: String,
    why: String,
}

impl Record {
    /// Of what happens on this thread, as long as the guard lives.
    pub(crate) fn start() -> (Self, DefaultGuard) {
        let record = Record::default();
        let guard = tracing_subscriber::registry().with(record.clone()).set_default();
        (record, guard)
    }

    /// Whether an operation of this direction has waited for this.
    pub(crate) fn has(&self, direction: &str, why: &str) -> bool {
        let events = self.0.lock().unwrap();
        events.iter().any(|event| event.direction == direction && event.why == why)
    }
}

impl<S: Subscriber> Layer<S> for Record {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut blocked = Blocked::default();
        event.record(&mut blocked);
        if blocked.what == "blocked_on" {
            self.0.lock().unwrap().push(blocked);
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
