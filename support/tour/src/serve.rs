//! The testbed's server alone.

use std::{error::Error, thread};

use testbed::api;

/// Serves until the process is interrupted.
pub(crate) fn until_interrupted(port: u16) -> Result<(), Box<dyn Error>> {
    let server = api::start_on(port)
        .map_err(|error| format!("expected port {port} of the loopback to be free: {error}"))?;
    println!("Serving {} until interrupted (Ctrl-C).", server.url("/quotes/7"));
    loop {
        thread::park();
    }
}
