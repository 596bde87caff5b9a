//! The client on a hand-written event loop over raw mio 1.x.
