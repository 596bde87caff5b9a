//! Connecting that ends as the world says.

use std::{convert::Infallible, future::pending, sync::Arc};

use client_core::{Config, Error, Origin, tls::TlsSetup};

use super::{
    connector::{Connectors, Outcome, World},
    runtime::Handle,
    transport::Stream,
};

pub(crate) struct ConnectSetup {
    connector: Option<Arc<World>>,
    pub(crate) tls: TlsSetup<Infallible>,
}

impl ConnectSetup {
    pub(crate) fn new(config: &Config, connectors: Connectors, _: Handle) -> Self {
        let tls = TlsSetup::new(config.tls.clone(), None);
        ConnectSetup { connector: connectors.connector, tls }
    }
}

pub(crate) async fn connect(
    origin: &Origin,
    _: &Config,
    setup: &ConnectSetup,
) -> Result<Stream, Error> {
    let world = setup.connector.clone().expect("a world");
    let outcome = world.outcomes.lock().unwrap().pop_front();
    match outcome.unwrap_or(Outcome::Connects) {
        Outcome::Connects => Ok(Stream(world)),
        Outcome::Fails => {
            let attempts = Arc::new([]);
            Err(Error::Connect { origin: origin.to_string().into(), attempts })
        }
        Outcome::Hangs => pending().await,
    }
}
