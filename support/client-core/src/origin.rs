//! The key of the pool: scheme, host and port (RFC 9110 section 4.3.1).

use std::{
    fmt,
    hash::{Hash, Hasher},
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

/// Whom to talk to. Two URLs share connections if, and only if, their origins are equal.
///
/// Comparison ignores the case of the host, and `http://host` equals `http://host:80`. A clone
/// counts a reference and allocates nothing.
#[derive(Clone, Debug)]
pub struct Origin {
    scheme: Scheme,
    // As the caller wrote it, since the `host` field repeats it (RFC 9110 section 7.2).
    authority: Authority,
    // Both are asked for several times per request, and looked for in the text only once.
    host_length: usize,
    port: u16,
}

impl Origin {
    /// The origin of an absolute URL.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidRequest`] if the URL has no host, a scheme other than `http` and `https`,
    /// port 0 or no number as its port, or user information (RFC 9110 section 4.2.4: a way to
    /// disguise the host; credentials belong into the `authorization` field).
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
        let host_length = authority.host().len();
        if host_length == 0 {
            return Err(Error::invalid("the URL has no host"));
        }
        if authority.as_str().contains('@') {
            return Err(Error::invalid("expected no user or password in the URL"));
        }
        let port = match (authority.as_str().len() > host_length, scheme) {
            (false, Scheme::Http) => 80,
            (false, Scheme::Https) => 443,
            (true, _) => authority
                .port_u16()
                .filter(|port| *port != 0)
                .ok_or_else(|| Error::invalid("expected a port from 1 to 65535"))?,
        };
        Ok(Origin { scheme, authority: authority.clone(), host_length, port })
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
            "http://host:/",
        ] {
            assert!(matches!(origin(url), Err(Error::InvalidRequest(_))), "{url}");
        }
    }
}
