//! The testbed's server alone.

use std::{env, error::Error, fs, thread};

use testbed::{api, certs};

use crate::interrupt;

/// Serves until the process is interrupted.
pub(crate) fn until_interrupted(port: u16, tls: bool) -> Result<(), Box<dyn Error>> {
    let server = api::start_on(port, tls)
        .map_err(|error| format!("expected port {port} of the loopback to be free: {error}"))?;
    if tls {
        say_how_to_trust(&server.url_as("localhost", "/quotes/7"))?;
    }
    interrupt::only_serving(false);
    println!("Serving {} until interrupted (Ctrl-C).", server.url("/quotes/7"));
    loop {
        thread::park();
    }
}

/// Nobody trusts a certificate that was made a moment ago, unless told to.
fn say_how_to_trust(url: &str) -> Result<(), Box<dyn Error>> {
    let file = env::temp_dir().join("testbed-ca.pem");
    let file = file.display();
    fs::write(file.to_string(), certs::authority().pem())
        .map_err(|error| format!("expected to be able to write {file}: {error}"))?;
    println!(
        "Its authority's certificate is in {file}, anew at each start:\n  \
         cargo run --release --example stage1-fetch -- --cacert {file} {url}"
    );
    Ok(())
}
