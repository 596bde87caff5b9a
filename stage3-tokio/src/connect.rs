//! From an origin to a stream: names, addresses, the race between them, TCP, TLS.
//!
//! Its rules (RFC 8305): one address more is tried every [`ATTEMPT_DELAY`], or as soon as an
//! earlier one has failed; the first that connects wins, and the others are closed before it is
//! used; one limit of time covers it all, TLS included.

use std::{io, net::SocketAddr, sync::Arc};

use client_core::{
    ATTEMPT_DELAY, AttemptError, Config, Error, Lookups, Origin, Scheme, TimeoutPhase,
    interleave, io_model,
};
use futures::{StreamExt, stream::FuturesUnordered};
use tokio::{
    net::TcpStream,
    select,
    time::{sleep, timeout},
};

use crate::{
    parts::{Dial, Parts, guarded},
    resolver,
    runtime::Handle,
    tls::Security,
    transport::Stream,
};

/// What connections are made with, besides the settings.
pub(crate) struct Dialer {
    resolver: Lookups,
    dial: Option<Arc<dyn Dial>>,
    pub(crate) security: Security,
}

impl Dialer {
    pub(crate) fn new(config: &Config, parts: Parts, runtime: Handle) -> Self {
        Dialer {
            resolver: resolver::new(config, runtime),
            dial: parts.dial,
            security: Security::new(config.tls.clone(), parts.secure),
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
    dialer: &Dialer,
) -> Result<Stream, Error> {
    let connected = async {
        let stream = match &dialer.dial {
            Some(dial) => dialled(origin, &**dial).await?,
            None => Stream::Tcp(tcp(origin, config, &dialer.resolver).await?),
        };
        match origin.scheme() {
            Scheme::Http => Ok(stream),
            Scheme::Https => dialer.security.secure(origin, stream).await,
        }
    };
    timeout(config.connect_timeout, connected)
        .await
        .unwrap_or_else(|_| Err(Error::timeout(TimeoutPhase::Connect, config)))
}

/// By the user's part.
async fn dialled(origin: &Origin, dial: &dyn Dial) -> Result<Stream, Error> {
    io_model!(connect, why = "dial");
    let opened = guarded(|| dial.dial(origin)).await;
    opened.map(Stream::Other).map_err(|e| Error::io("opening a stream to the origin", e))
}

/// By name, addresses and race.
async fn tcp(origin: &Origin, config: &Config, resolver: &Lookups) -> Result<TcpStream, Error> {
    let name = origin.name();
    if name.as_address().is_none() {
        io_model!(resolve, name = name.as_str());
    }
    let found = resolver.resolve(name).await.map_err(|e| Error::resolve(origin.host(), e))?;
    let found = interleave(found);
    let addresses = found.into_iter().map(|ip| SocketAddr::new(ip, origin.port())).collect();
    let open = |address| async move {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(config.tcp_nodelay)?;
        Ok(stream)
    };
    race(addresses, open).await.map_err(|attempts| Error::connect(origin, attempts))
}

/// The first stream to one of the addresses, or what each of them answered, in their order.
async fn race<T, F: Future<Output = io::Result<T>>>(
    addresses: Vec<SocketAddr>,
    open: impl Fn(SocketAddr) -> F,
) -> Result<T, Vec<AttemptError>> {
    let mut failed = Vec::new();
    let mut running = FuturesUnordered::new();
    let mut rest = addresses.iter().copied().enumerate();
    loop {
        if let Some((index, address)) = rest.next() {
            io_model!(connect, address = %address);
            let attempt = open(address);
            running.push(async move { (index, address, attempt.await) });
        }
        select! {
            biased;
            Some((index, address, result)) = running.next() => match result {
                Ok(stream) => return Ok(stream),
                Err(error) => failed.push((index, AttemptError::new(address, error))),
            },
            () = sleep(ATTEMPT_DELAY), if rest.len() > 0 => {}
            else => {
                failed.sort_by_key(|(index, _)| *index);
                return Err(failed.into_iter().map(|(_, error)| error).collect());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::Instant;

    use super::*;

    fn addresses(count: u16) -> Vec<SocketAddr> {
        (1..=count).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect()
    }

    fn refused() -> io::Result<u16> {
        Err(io::ErrorKind::ConnectionRefused.into())
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_address_is_tried_when_the_delay_is_over() {
        let start = Instant::now();
        let won = race(addresses(3), |address| async move {
            if address.port() < 3 { pending().await } else { Ok(address.port()) }
        });
        assert_eq!(won.await.unwrap(), 3);
        assert_eq!(start.elapsed(), 2 * ATTEMPT_DELAY);
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_address_is_tried_as_soon_as_one_has_failed() {
        let start = Instant::now();
        let won = race(addresses(3), |address| async move {
            if address.port() < 3 { refused() } else { Ok(address.port()) }
        });
        assert_eq!(won.await.unwrap(), 3);
        assert!(start.elapsed().is_zero());
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_address_may_still_win() {
        let won = race(addresses(2), |address| async move {
            if address.port() == 2 {
                pending().await
            } else {
                sleep(2 * ATTEMPT_DELAY).await;
                Ok(address.port())
            }
        });
        assert_eq!(won.await.unwrap(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn if_all_fail_each_is_named_in_the_order_of_the_attempts() {
        let lost = race(addresses(3), |address| async move {
            sleep(ATTEMPT_DELAY * 2 * u32::from(4 - address.port())).await;
            refused()
        });
        let named: Vec<_> = lost.await.unwrap_err().iter().map(|a| a.address.port()).collect();
        assert_eq!(named, [1, 2, 3]);
    }
}
