//! `--resolve HOST:PORT:ADDR[,ADDR]`: addresses that are known beforehand.

use std::{
    io,
    net::{IpAddr, ToSocketAddrs},
    thread,
};

use client_core::{Name, Resolver, Resolving};
use futures::channel::oneshot;

/// Answers for the names that were given, and asks the system for all others.
#[derive(Debug, Default)]
pub(super) struct Pins(Vec<(String, u16, Vec<IpAddr>)>);

impl Pins {
    /// Takes one more `HOST:PORT:ADDR[,ADDR]`.
    ///
    /// # Errors
    ///
    /// A message that says what was expected.
    pub(super) fn add(&mut self, text: &str) -> Result<(), String> {
        let wrong = |why: &str| {
            format!("expected HOST:PORT:ADDR[,ADDR] after --resolve, found {text:?}: {why}")
        };
        let parts: Vec<_> = text.splitn(3, ':').collect();
        let [host, port, addresses] = parts[..] else {
            return Err(wrong("something is missing"));
        };
        if host.is_empty() || host.starts_with('[') || host.parse::<IpAddr>().is_ok() {
            return Err(wrong("HOST is to be a name; an address is never looked up"));
        }
        // `u16::from_str` would allow a plus sign.
        let digits = Some(port).filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
        let port = digits.and_then(|port| port.parse().ok()).filter(|port| *port > 0);
        let port = port.ok_or_else(|| wrong("PORT is to be a number from 1 to 65535"))?;
        let addresses = addresses.split(',').map(address).collect::<Option<_>>();
        let addresses = addresses.ok_or_else(|| wrong("each ADDR is to be an IP address"))?;
        self.0.push((host.to_owned(), port, addresses));
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Resolver for Pins {
    fn resolve(&self, name: Name) -> Resolving {
        let mut pins = self.0.iter();
        let pinned = pins.find(|(host, port, _)| {
            host.eq_ignore_ascii_case(name.as_str()) && *port == name.port()
        });
        match pinned {
            Some((_, _, addresses)) => Box::pin(std::future::ready(Ok(addresses.clone()))),
            None => Box::pin(ask_the_system(name)),
        }
    }
}

/// Blocks a thread of its own, and not the client's.
pub(crate) async fn ask_the_system(name: Name) -> io::Result<Vec<IpAddr>> {
    let (answer, answered) = oneshot::channel();
    thread::Builder::new().name("resolve".into()).spawn(move || {
        let addresses = (name.as_str(), name.port()).to_socket_addrs();
        // Nobody waits any more if the call has timed out.
        let _ = answer.send(addresses.map(|all| all.map(|address| address.ip()).collect()));
    })?;
    answered.await.unwrap_or_else(|_| Err(io::Error::other("the resolver's thread has ended")))
}

/// An IPv4 address, or an IPv6 address with or without its brackets.
fn address(text: &str) -> Option<IpAddr> {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    match inner {
        Some(inner) => inner.parse().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;

    fn pins(text: &str) -> Result<Pins, String> {
        let mut pins = Pins::default();
        pins.add(text).map(|()| pins)
    }

    #[test]
    fn addresses_come_with_and_without_brackets() {
        let pins = pins("Host:81:[::1],127.0.0.1,::2").unwrap();
        let expected: Vec<IpAddr> =
            ["::1", "127.0.0.1", "::2"].map(|a| a.parse().unwrap()).to_vec();
        assert_eq!(block_on(pins.resolve(Name::new("hOST", 81))).unwrap(), expected);
    }

    #[test]
    fn another_port_of_the_host_is_not_pinned() {
        let pins = pins("localhost:81:192.0.2.1").unwrap();
        let addresses = block_on(pins.resolve(Name::new("localhost", 82))).unwrap();
        assert!(addresses.iter().all(IpAddr::is_loopback), "{addresses:?}");
    }

    #[test]
    fn what_is_no_pin_is_refused() {
        for text in [
            "",
            "h",
            "h:80",
            "h:80:",
            "h:0:::1",
            "h:x:::1",
            "h:+80:::1",
            ":80:::1",
            "h:80:[127.0.0.1]",
            "h:80:::1,",
            "[::1]:80:::1",
            "10.0.0.1:80:::1",
        ] {
            assert!(
                pins(text).is_err_and(|message| message.contains("HOST:PORT:ADDR")),
                "{text}"
            );
        }
    }
}
