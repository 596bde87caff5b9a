//! Connecting: from an origin to a stream. Resolves the name, opens TCP, adds TLS.
//!
//! Its rules:
//! - the addresses of a name race as RFC 8305 says ([`HappyEyeballs`]). The first candidate that
//!   connects wins, and the others are closed before its stream is used;
//! - one limit of time covers all of it, TLS included.

use std::{io, net::SocketAddr, sync::Arc};

use client_core::{
    AttemptError, Config, Error, HappyEyeballs, Lookups, Origin, Scheme, TimeoutPhase,
    io_model, tls::TlsSetup,
};
use futures::{StreamExt, stream::FuturesUnordered};
use tokio::{
    net::TcpStream,
    select,
    time::{Instant, timeout},
};

use crate::{
    connector::{Connector, Connectors},
    resolver,
    runtime::Handle,
    timer::Timer,
    tls,
    tls_connector::TlsConnector,
    transport::{Stream, catch_open},
};

/// What connections are made with, besides the settings.
pub(crate) struct ConnectSetup {
    resolver: Lookups,
    connector: Option<Arc<dyn Connector>>,
    pub(crate) tls: TlsSetup<dyn TlsConnector>,
}

impl ConnectSetup {
    pub(crate) fn new(config: &Config, connectors: Connectors, runtime: Handle) -> Self {
        ConnectSetup {
            resolver: resolver::new(config, runtime),
            connector: connectors.connector,
            tls: TlsSetup::new(config.tls.clone(), connectors.tls_connector),
        }
    }
}

/// Connects to an origin.
///
/// # Cancel safety
///
/// Dropping it closes the sockets of all candidates. A lookup that is under way ends by itself.
pub(crate) async fn connect(
    origin: &Origin,
    config: &Config,
    setup: &ConnectSetup,
) -> Result<Stream, Error> {
    let connected = async {
        let stream = match &setup.connector {
            Some(connector) => by_connector(origin, &**connector).await?,
            None => Stream::Tcp(tcp(origin, config, &setup.resolver).await?),
        };
        match origin.scheme() {
            Scheme::Http => Ok(stream),
            Scheme::Https => tls::connect(&setup.tls, origin, stream).await,
        }
    };
    timeout(config.connect_timeout, connected)
        .await
        .unwrap_or_else(|_| Err(Error::timeout(TimeoutPhase::Connect, config)))
}

/// By the user's connector.
async fn by_connector(origin: &Origin, connector: &dyn Connector) -> Result<Stream, Error> {
    io_model!(connect, why = "connector");
    let opened = catch_open(|| connector.connect(origin)).await;
    opened.map(Stream::Other).map_err(|e| Error::io("opening a stream to the origin", e))
}

/// Resolves the name, then opens a TCP stream to one of its addresses.
async fn tcp(origin: &Origin, config: &Config, lookups: &Lookups) -> Result<TcpStream, Error> {
    let name = origin.name();
    if name.as_address().is_none() {
        io_model!(resolve, name = name.as_str());
    }
    let found = lookups.resolve(name).await?;
    let open = |candidate| async move {
        let stream = TcpStream::connect(candidate).await?;
        stream.set_nodelay(config.tcp_nodelay)?;
        Ok(stream)
    };
    let candidates = HappyEyeballs::new(found, origin.port(), Instant::now());
    race(candidates, open).await.map_err(|failures| Error::connect(origin, failures))
}

/// The first stream that is open, or why each of the candidates failed. [`HappyEyeballs`] decides
/// when a candidate is tried. Returning drops the attempts that are still under way.
async fn race<T, F: Future<Output = io::Result<T>>>(
    mut candidates: HappyEyeballs<Instant>,
    open: impl Fn(SocketAddr) -> F,
) -> Result<T, Vec<AttemptError>> {
    let (mut attempts, mut timer) = (FuturesUnordered::new(), Timer::default());
    while !candidates.is_lost() {
        if let Some(candidate) = candidates.start_next(Instant::now()) {
            io_model!(connect, address = %candidate);
            let attempt = open(candidate);
            attempts.push(async move {
                attempt.await.map_err(|error| AttemptError::new(candidate, error))
            });
        }
        select! {
            biased;
            Some(result) = attempts.next() => match result {
                Ok(stream) => return Ok(stream),
                Err(failure) => candidates.failed(failure, Instant::now()),
            },
            () = timer.until(candidates.due()) => {}
        }
    }
    Err(candidates.take_failures())
}

#[cfg(test)]
mod tests {
    use std::{future::pending, net::IpAddr};

    use client_core::ATTEMPT_DELAY;
    use tokio::time::sleep;

    use super::*;

    /// A race between 127.0.0.1, 127.0.0.2 and so on.
    fn candidates(count: u8) -> HappyEyeballs<Instant> {
        let addresses = (1..=count).map(|last| IpAddr::from([127, 0, 0, last])).collect();
        HappyEyeballs::new(addresses, 80, Instant::now())
    }

    fn last(candidate: SocketAddr) -> u8 {
        match candidate.ip() {
            IpAddr::V4(ip) => ip.octets()[3],
            IpAddr::V6(_) => unreachable!("the candidates are those of `candidates`"),
        }
    }

    fn refused() -> io::Result<u8> {
        Err(io::ErrorKind::ConnectionRefused.into())
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_address_is_tried_when_the_delay_is_over() {
        let start = Instant::now();
        let won = race(candidates(3), |candidate| async move {
            if last(candidate) < 3 { pending().await } else { Ok(last(candidate)) }
        });
        assert_eq!(won.await.unwrap(), 3);
        assert_eq!(start.elapsed(), 2 * ATTEMPT_DELAY);
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_address_is_tried_as_soon_as_one_has_failed() {
        let start = Instant::now();
        let won = race(candidates(3), |candidate| async move {
            if last(candidate) < 3 { refused() } else { Ok(last(candidate)) }
        });
        assert_eq!(won.await.unwrap(), 3);
        assert!(start.elapsed().is_zero());
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_address_may_still_win() {
        let won = race(candidates(2), |candidate| async move {
            if last(candidate) == 2 {
                pending().await
            } else {
                sleep(2 * ATTEMPT_DELAY).await;
                Ok(last(candidate))
            }
        });
        assert_eq!(won.await.unwrap(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn if_all_fail_each_is_named_in_the_order_of_the_attempts() {
        let lost = race(candidates(3), |candidate| async move {
            sleep(ATTEMPT_DELAY * 2 * u32::from(4 - last(candidate))).await;
            refused()
        });
        let named: Vec<_> = lost.await.unwrap_err().iter().map(|a| last(a.address)).collect();
        assert_eq!(named, [1, 2, 3]);
    }
}
