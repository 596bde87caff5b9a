//! The client as state machines on rotor 0.6.3 and mio 0.5, as it was done in 2016.
