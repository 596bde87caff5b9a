//! From a name to its addresses.
//!
//! Its rules: a name that is an address asks nobody; the system's resolver blocks, so it runs on
//! the runtime's threads for that; a resolver of the user that panics fails one request and not
//! the client.

use std::{io, net::IpAddr, panic::AssertUnwindSafe};

use client_core::{Config, Error, Name, Origin, interleave, io_model};
use futures::FutureExt;

/// The addresses of an origin, in the order in which to try them.
pub(crate) async fn resolve(origin: &Origin, config: &Config) -> Result<Vec<IpAddr>, Error> {
    let name = origin.name();
    if let Some(address) = name.as_address() {
        return Ok(vec![address]);
    }
    io_model!(resolve, name = name.as_str());
    let asked = async {
        match &config.resolver {
            Some(resolver) => resolver.resolve(name.clone()).await,
            None => system(&name).await,
        }
    };
    let answer = AssertUnwindSafe(asked).catch_unwind().await;
    match answer.unwrap_or_else(|_| Err(io::Error::other("the resolver panicked"))) {
        Ok(found) if found.is_empty() => {
            let none = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            Err(Error::resolve(name.as_str(), none))
        }
        Ok(found) => Ok(interleave(found)),
        Err(error) => Err(Error::resolve(name.as_str(), error)),
    }
}

async fn system(name: &Name) -> io::Result<Vec<IpAddr>> {
    let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
    Ok(found.map(|address| address.ip()).collect())
}
