//! The client as async functions on tokio 1.x and futures 0.3.
