//! The words for what an I/O model makes one write.

/// A concept, what it is, and how the thread of 2016 called it.
#[derive(Debug)]
pub struct Concept {
    /// The word that the book and the ledger use.
    pub name: &'static str,
    /// What it is.
    pub meaning: &'static str,
    /// The thread's words, where it had any.
    pub thread: &'static str,
}

const fn concept(name: &'static str, meaning: &'static str, thread: &'static str) -> Concept {
    Concept { name, meaning, thread }
}

/// All concepts, in the order in which the book lists them.
pub const CONCEPTS: [Concept; 12] = [
    concept(
        "interest",
        "telling the event loop which socket is to be watched for what, and remembering readiness that has not been used up",
        "event loop interest registering",
    ),
    concept(
        "wakeup",
        "getting the loop, or a task, to run again from elsewhere",
        "socket wakeup",
    ),
    concept(
        "blocked-on",
        "the record of which operation is waiting for which readiness",
        "what io operation blocked",
    ),
    concept("framing", "bytes to messages and back", "message framing"),
    concept(
        "chaining",
        "going from one step to the next: resolve, connect, handshake, exchange",
        "chaining together several async operations",
    ),
    concept("resolving", "running name resolution off the loop", "DNS"),
    concept("timers", "deadlines and their bookkeeping", ""),
    concept(
        "dispatch",
        "tokens, slabs, composing machines, routing an event to its owner",
        "composing in a single loop",
    ),
    concept("pooling", "checkout, waiters, idle, limits", "connection pool"),
    concept("backpressure", "a slow reader or writer stops its peer, and nothing else", ""),
    concept("cancellation", "a caller that gives up", ""),
    concept(
        "surface",
        "what the user sees: handle, config, errors",
        "abstracted away from users",
    ),
];

/// A concept's place in the list.
pub fn index(name: &str) -> Option<usize> {
    CONCEPTS.iter().position(|c| c.name == name)
}
