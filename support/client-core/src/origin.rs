//! The key of the pool: scheme, host and port (RFC 9110 section 4.3.1).

use std::{
    fmt,
    hash::{Hash, Hasher},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use http::{Uri, uri::Authority};

use crate::{Error, Name};

/// The two schemes that the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain TCP.
    Http,
    /// TLS over TCP.
    Https,
}

/// Where a request goes. Two URLs share connections if, and only if, their origins are equal.
///
/// Comparison ignores the case of the host, and `http://host` equals `http://host:80`. A clone
/// increments a reference count and allocates nothing.
///
/// The authority is read once, in [`Origin::of`]. The `host` field, the name for the resolver, the
/// address to connect to and the name that TLS checks are all parts of that one reading, so a
/// caller that has checked [`Origin::host`] has checked the host that is called.
#[derive(Clone, Debug)]
pub struct Origin {
    scheme: Scheme,
    // As the caller wrote it, since the `host` field repeats it (RFC 9110 section 7.2).
    authority: Authority,
    // Read several times per request, so they are looked for in the text only once.
    host_length: usize,
    port: u16,
}

impl Origin {
    /// The origin of an absolute URL.
    ///
    /// The host is an IPv6 address in brackets, an IPv4 address of four decimal numbers, or a name
    /// (RFC 3986 section 3.2.2). An address is never looked up as a name.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidRequest`] if the URL has no host, a scheme other than `http` and `https`,
    /// port 0 or no number as its port, or user information (RFC 9110 section 4.2.4: a way to
    /// disguise the host; credentials belong into the `authorization` field). Also if brackets hold
    /// anything but an IPv6 address, such as one with a zone (RFC 9844: zones are no part of a URL);
    /// if anything but a port follows the host; if a label of the host is empty; and if the host
    /// ends in a number and is no IPv4 address: `127.1`, `0x7f.0.0.1` and `2130706433` are names to
    /// one reader and 127.0.0.1 to another.
    pub fn of(uri: &Uri) -> Result<Self, Error> {
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            Some(other) => {
                return Err(Error::invalid(format!("expected http or https, found {other}")));
            }
            None => return Err(Error::invalid("expected a URL such as http://host/path")),
        };
        let authority = uri.authority().ok_or_else(|| Error::invalid("the URL has no host"))?;
        let text = authority.as_str();
        if text.bytes().any(|byte| byte == b'@') {
            return Err(Error::invalid("expected no user or password in the URL"));
        }
        let (host, digits) = split(text)?;
        check_host(host)?;
        let port = match digits {
            None | Some("") => scheme.port(),
            Some(digits) => number(digits)?,
        };
        let authority = match digits {
            // RFC 9110 section 4.2.3: these mean the same as the usual way to write them.
            Some("") => usual(host)?,
            Some(digits) if digits.starts_with('0') => usual(&format!("{host}:{port}"))?,
            _ => authority.clone(),
        };
        Ok(Origin { scheme, authority, host_length: host.len(), port })
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        let host = &self.authority.as_str()[..self.host_length];
        host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host)
    }

    /// The address, if the host is one: then there is no name to look up.
    pub fn address(&self) -> Option<IpAddr> {
        self.host().parse().ok()
    }

    /// The port, or the scheme's own.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The host and port as a resolver takes them.
    pub fn name(&self) -> Name {
        Name::new(self.host(), self.port())
    }

    /// What stands in the `host` field.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }
}

impl Scheme {
    /// The port of a URL that names none (RFC 9110 sections 4.2.1 and 4.2.2).
    fn port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

// What follows are loops over bytes: a host is too short for a faster search to pay.

/// The host, with its brackets if it has any, and the text after the colon that follows it.
fn split(authority: &str) -> Result<(&str, Option<&str>), Error> {
    let mut bytes = authority.bytes();
    let end = match authority.starts_with('[') {
        true => bytes.position(|byte| byte == b']').map(|last| last + 1),
        false => bytes.position(|byte| byte == b':'),
    };
    let (host, rest) = authority.split_at(end.unwrap_or(authority.len()));
    match rest.strip_prefix(':') {
        None if !rest.is_empty() => {
            Err(Error::invalid(format!("expected only a port after {host}, found {rest}")))
        }
        digits => Ok((host, digits)),
    }
}

/// A host is an address, or a name that no resolver takes for one.
fn check_host(host: &str) -> Result<(), Error> {
    let expected = |what| Err(Error::invalid(format!("expected {what}, found {host}")));
    if let Some(literal) = host.strip_prefix('[') {
        let literal = literal.strip_suffix(']').unwrap_or(literal);
        return match literal.parse::<Ipv6Addr>() {
            Ok(_) => Ok(()),
            Err(_) if literal.contains('%') => expected("an IPv6 address without a zone"),
            Err(_) => expected("an IPv6 address in the brackets"),
        };
    }
    if host.is_empty() {
        return Err(Error::invalid("the URL has no host"));
    }
    let labels = host.strip_suffix('.').unwrap_or(host).as_bytes();
    let mut last = 0; // Where the label begins.
    for (at, byte) in labels.iter().enumerate() {
        match byte {
            b'[' | b']' => return expected("no brackets within a host"),
            b'.' if at == last => return expected("a host without empty labels"),
            b'.' => last = at + 1,
            _ => {}
        }
    }
    if last == labels.len() {
        return expected("a host without empty labels");
    }
    if is_number(&labels[last..]) && host.parse::<Ipv4Addr>().is_err() {
        return expected("an IPv4 address of four decimal numbers");
    }
    Ok(())
}

/// Whether the last label of a host is a number, as in no name (RFC 3696 section 2,
/// whatwg/url#560). The system's resolver takes such a host for an address in one of the forms of
/// RFC 3986 section 7.4.
fn is_number(label: &[u8]) -> bool {
    match label {
        [b'0', b'x' | b'X', digits @ ..] => digits.iter().all(u8::is_ascii_hexdigit),
        digits => digits.iter().all(u8::is_ascii_digit),
    }
}

/// A port from 1 to 65535. `u16::from_str` alone would allow a plus sign.
fn number(digits: &str) -> Result<u16, Error> {
    let port = digits.bytes().try_fold(0_u16, |port, byte| match byte {
        b'0'..=b'9' => port.checked_mul(10)?.checked_add(u16::from(byte - b'0')),
        _ => None,
    });
    port.filter(|port| *port != 0).ok_or_else(|| {
        Error::invalid(format!("expected a port from 1 to 65535, found {digits}"))
    })
}

fn usual(authority: &str) -> Result<Authority, Error> {
    authority.parse().map_err(|error| Error::invalid(format!("expected a host: {error}")))
}

impl PartialEq for Origin {
    fn eq(&self, other: &Self) -> bool {
        let (host, others) = (self.host(), other.host());
        self.scheme == other.scheme
            && self.port == other.port
            // Mostly the same bytes, which compare much faster.
            && (host == others || host.eq_ignore_ascii_case(others))
    }
}

impl Eq for Origin {}

impl Hash for Origin {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.scheme.hash(state);
        self.port.hash(state);
        // In pieces, since a hasher takes sixteen bytes at once nearly as fast as one.
        for piece in self.host().as_bytes().chunks(16) {
            let mut lower = [0; 16];
            lower[..piece.len()].copy_from_slice(piece);
            lower.make_ascii_lowercase();
            state.write(&lower);
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", &self.authority.as_str()[..self.host_length], self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(url: &str) -> Result<Origin, Error> {
        Origin::of(&url.parse().unwrap())
    }

    #[test]
    fn default_ports_and_case_do_not_make_another_origin() {
        assert_eq!(
            origin("http://Example.com/a").unwrap(),
            origin("http://example.COM:80").unwrap()
        );
        assert_ne!(
            origin("http://example.com").unwrap(),
            origin("https://example.com").unwrap()
        );
        assert_ne!(
            origin("http://example.com").unwrap(),
            origin("http://example.com:81").unwrap()
        );
    }

    #[test]
    fn an_ipv6_host_loses_its_brackets_for_the_resolver_only() {
        let origin = origin("http://[::1]:8080/").unwrap();
        assert_eq!((origin.host(), origin.port()), ("::1", 8080));
        assert_eq!(origin.to_string(), "[::1]:8080");
    }

    #[test]
    fn what_cannot_be_an_origin_is_refused() {
        for url in [
            "/path",
            "ftp://host/",
            "http://me:secret@host/",
            "http://host:0/",
            "http://host:00/",
            "http://host:+80/",
            "http://host:-80/",
            "http://host:0x50/",
            "http://host:65536/",
            "http://host:100000000000000000000/",
            "http://:80/",
            "http://[::1].evil.example/",
            "http://[::1].evil.example:80/",
            "http://[::1]80/",
            "http://[::1]x:80/",
            "http://[127.0.0.1]/",
            "http://[localhost]/",
            "http://[]/",
            "http://[::1%25lo]/",
            "http://[fe80::1%25eth0]:80/",
            "http://[v1.a:b]/",
            "http://[1::2::3]/",
            "http://[::127.0.0.1.1]/",
            "http://a[::1]/",
            "http://a[b]c/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0X7F000001/",
            "http://0x/",
            "http://0177.0.0.1/",
            "http://127.0.0.01/",
            "http://127.0.0.1./",
            "http://127.0.0.256/",
            "http://1.2.3.4.5/",
            "http://name.1/",
            "http://./",
            "http://.a/",
            "http://a..b/",
            "http://a../",
        ] {
            assert!(matches!(origin(url), Err(Error::InvalidRequest(_))), "{url}");
        }
    }

    #[test]
    fn an_odd_way_to_write_the_port_is_not_repeated() {
        for (url, port, host) in [
            ("http://Host:/", 80, "Host"),
            ("https://host:", 443, "host"),
            ("http://[::1]:/", 80, "[::1]"),
            ("http://host:00080/", 80, "host:80"),
            ("http://host:80/", 80, "host:80"),
            ("https://host:443/", 443, "host:443"),
        ] {
            let origin = origin(url).unwrap();
            assert_eq!((origin.port(), origin.authority().as_str()), (port, host), "{url}");
        }
    }

    #[test]
    fn an_address_is_no_name() {
        for (url, address) in [
            ("http://127.0.0.1/", Some("127.0.0.1")),
            ("http://[::FFFF:127.0.0.1]:1/", Some("::ffff:127.0.0.1")),
            ("http://[0:0::1]/", Some("::1")),
            ("http://localhost/", None),
            ("http://a.b./", None),
            ("http://1a/", None),
            ("http://0xg/", None),
            ("http://a_b.c~d!e/", None),
            ("http://127.0.0.1.example/", None),
        ] {
            let expected = address.map(|address| address.parse().unwrap());
            let origin = origin(url).unwrap();
            assert_eq!((origin.address(), origin.name().as_address()), (expected, expected));
        }
    }
}
