//! Trusted roots and the client's certificate: the settings of TLS, without I/O.
//!
//! Its rules:
//! - the crypto provider is named, never looked up: two providers in one program make the lookup
//!   panic;
//! - the system's roots are read once, when the first `https` request is accepted, so that a
//!   client of `http` origins never reads them;
//! - a session is resumed where the server allows it (RFC 8446 section 2.2): the settings are
//!   shared by all connections of a client, and rustls keeps the tickets in them.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, DnsName, PrivateKeyDer, ServerName, pem::PemObject},
};

use crate::{Error, Origin, Scheme};

/// The settings of TLS: the `tls` field of [`Config`](crate::Config).
///
/// ```
/// use client_core::{Config, Tls};
///
/// let config = Config::new().tls(Tls::new()); // the system's roots, no certificate
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Tls {
    /// Certificate authorities that may sign a server's certificate. Default [`Roots::System`].
    pub roots: Roots,
    /// The client's certificate, for servers that ask for one. Default: none.
    pub identity: Option<Identity>,
}

/// The certificate authorities that are trusted.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Roots {
    /// The system's, or those in the file that the variable `SSL_CERT_FILE` names.
    #[default]
    System,
    /// These, and no others.
    Only(Vec<CertificateDer<'static>>),
}

/// A certificate with its chain, and the key to it.
pub struct Identity {
    /// The client's certificate first, then each one's issuer.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key of the first.
    pub key: PrivateKeyDer<'static>,
}

impl Tls {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces the system's roots.
    #[must_use]
    pub fn roots(mut self, roots: Roots) -> Self {
        self.roots = roots;
        self
    }

    /// Gives the client a certificate.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// The settings for rustls: TLS 1.2 and 1.3, HTTP/1.1 as the one protocol (RFC 7301).
    ///
    /// # Errors
    ///
    /// [`Error::Tls`] if there is no root at all, or if key and certificate do not fit.
    fn build(&self) -> Result<Arc<ClientConfig>, Error> {
        let builder = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(Error::tls)?
            .with_root_certificates(self.roots.store()?);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let Identity { chain, key } = identity.clone();
                builder.with_client_auth_cert(chain, key).map_err(Error::tls)?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl Roots {
    /// The certificates in a text in PEM form, such as a file of `--cacert` (RFC 7468).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidRequest`] if the text is malformed or has no certificate.
    pub fn from_pem(pem: &[u8]) -> Result<Self, Error> {
        Ok(Roots::Only(certificates(pem)?))
    }

    fn store(&self) -> Result<RootCertStore, Error> {
        let mut store = RootCertStore::empty();
        match self {
            Roots::Only(certificates) => {
                for certificate in certificates {
                    store.add(certificate.clone()).map_err(Error::tls)?;
                }
            }
            Roots::System => {
                let found = rustls_native_certs::load_native_certs();
                // Systems have old ones that cannot be parsed: they are skipped.
                store.add_parsable_certificates(found.certs);
                if store.is_empty()
                    && let Some(error) = found.errors.into_iter().next()
                {
                    let message = "expected root certificates of the system".into();
                    return Err(Error::Tls { message, source: Some(Arc::new(error)) });
                }
            }
        }
        if store.is_empty() {
            let message = "expected at least one root certificate".into();
            return Err(Error::Tls { message, source: None });
        }
        Ok(store)
    }
}

impl Identity {
    /// The chain and the private key, each in PEM form (RFC 7468); both may be one text.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidRequest`] if one is malformed or missing.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, Error> {
        let chain = certificates(chain)?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| Error::invalid(format!("expected a private key: {error}")))?;
        Ok(Identity { chain, key })
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Identity { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

impl fmt::Debug for Identity {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("chain", &self.chain.len()).finish_non_exhaustive()
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(Error::invalid("expected a PEM certificate")),
        Ok(found) => Ok(found),
        Err(error) => Err(Error::invalid(format!("expected PEM certificates: {error}"))),
    }
}

/// The settings of a client in the form that rustls takes, made when they are first needed.
#[derive(Debug)]
pub struct TlsClient {
    settings: Tls,
    built: OnceLock<Result<Arc<ClientConfig>, Error>>,
}

impl TlsClient {
    /// Nothing is read yet.
    pub fn new(settings: Tls) -> Self {
        TlsClient { settings, built: OnceLock::new() }
    }

    /// Checks at acceptance what connecting will need. The first call for an `https` origin may
    /// read files, so it is made by the caller, and not by an event loop.
    ///
    /// # Errors
    ///
    /// Those of [`config`](Self::config) and [`server_name`].
    pub fn check(&self, origin: &Origin) -> Result<(), Error> {
        if origin.scheme() == Scheme::Https {
            server_name(origin)?;
            self.config()?;
        }
        Ok(())
    }

    /// What every connection of the client shares, its sessions included.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`] if there is no root at all, or if key and certificate do not fit.
    pub fn config(&self) -> Result<Arc<ClientConfig>, Error> {
        self.built.get_or_init(|| self.settings.build()).clone()
    }
}

/// How streams for `https` origins are secured: by rustls, or by the user's `TlsConnector`.
pub enum TlsSetup<T: ?Sized> {
    /// By rustls.
    Rustls(TlsClient),
    /// By what the user replaced it with.
    Replaced(Arc<T>),
}

impl<T: ?Sized> TlsSetup<T> {
    /// `connector` replaces rustls.
    pub fn new(settings: Tls, connector: Option<Arc<T>>) -> Self {
        match connector {
            Some(connector) => TlsSetup::Replaced(connector),
            None => TlsSetup::Rustls(TlsClient::new(settings)),
        }
    }

    /// Checks at acceptance what connecting will need.
    ///
    /// # Errors
    ///
    /// [`TlsClient::check`]'s.
    pub fn check(&self, origin: &Origin) -> Result<(), Error> {
        match self {
            TlsSetup::Rustls(client) => client.check(origin),
            TlsSetup::Replaced(_) => Ok(()),
        }
    }
}

impl<T: ?Sized> fmt::Debug for TlsSetup<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TlsSetup::Rustls(_) => "Rustls",
            TlsSetup::Replaced(_) => "Replaced",
        })
    }
}

/// The name that the server's certificate must have (RFC 9110 section 4.3.4): the host, without the
/// last dot of an absolute name (RFC 6066 section 3).
///
/// # Errors
///
/// [`Error::InvalidRequest`] if the host is neither an address nor a DNS name.
pub fn server_name(origin: &Origin) -> Result<ServerName<'static>, Error> {
    if let Some(address) = origin.address() {
        return Ok(ServerName::IpAddress(address.into()));
    }
    let host = origin.host();
    let name = host.strip_suffix('.').unwrap_or(host);
    DnsName::try_from(name.to_owned())
        .map(ServerName::DnsName)
        .map_err(|error| Error::invalid(format!("expected a host that TLS can name: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(url: &str) -> Origin {
        Origin::of(&url.parse().unwrap()).unwrap()
    }

    #[test]
    fn what_is_no_certificate_is_said_to_be_none() {
        for pem in [&b""[..], b"hello", b"-----BEGIN CERTIFICATE-----\nnot base64\n"] {
            let error = Roots::from_pem(pem).unwrap_err();
            assert!(matches!(error, Error::InvalidRequest(_)), "{error}");
        }
        assert!(matches!(Identity::from_pem(b"", b""), Err(Error::InvalidRequest(_))));
    }

    #[test]
    fn an_http_origin_reads_no_roots() {
        let tls = TlsClient::new(Tls::new().roots(Roots::Only(Vec::new())));
        tls.check(&origin("http://host/")).unwrap();
        assert!(tls.built.get().is_none());
        assert!(matches!(tls.check(&origin("https://host/")), Err(Error::Tls { .. })));
    }

    #[test]
    fn the_name_is_the_host_without_brackets_and_last_dot() {
        for (url, name) in [
            ("https://Example.com.:8443/", "example.com"),
            ("https://[::1]:8443/", "::1"),
            ("https://127.0.0.1/", "127.0.0.1"),
        ] {
            assert!(server_name(&origin(url)).unwrap().to_str().eq_ignore_ascii_case(name));
        }
        assert!(server_name(&origin("https://a!b/")).is_err());
    }
}
