//! What mdBook says while it builds: a warning or an error of it is a problem of ours.

use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::prelude::*;

/// Runs something and gives back what it warned of, through `tracing`, on this thread.
pub fn collect<T>(work: impl FnOnce() -> T) -> (T, Vec<String>) {
    let messages = Messages::default();
    let subscriber = tracing_subscriber::registry().with(messages.clone());
    let result = tracing::subscriber::with_default(subscriber, work);
    let found = messages.0.lock().unwrap_or_else(PoisonError::into_inner).split_off(0);
    (result, found)
}

#[derive(Debug, Clone, Default)]
struct Messages(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber> Layer<S> for Messages {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // Levels are ordered by how much they say: ERROR is the least.
        if *event.metadata().level() <= Level::WARN {
            let mut text = Text(String::new());
            event.record(&mut text);
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(text.0);
        }
    }
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let name = if field.name() == "message" { String::new() } else { format!(" {field}=") };
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{name}{value:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_and_errors_are_kept_and_nothing_else() {
        let ((), found) = collect(|| {
            tracing::info!("fine");
            tracing::warn!(line = 3, "unclosed {}", "tag");
            tracing::error!("broken");
        });
        assert_eq!(found, ["unclosed tag line=3", "broken"]);
    }
}
