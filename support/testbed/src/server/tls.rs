//! The server's end of TLS: rustls over a blocking socket.
//!
//! Its rules: a handshake goes on in whatever the script does first; what TLS has to say is out
//! before a call returns; the script may take the records themselves, to send them as it likes.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    sync::Arc,
};

use rustls::{
    HandshakeKind, ProtocolVersion, RootCertStore, ServerConfig, ServerConnection,
    crypto::ring,
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    version::{TLS12, TLS13},
};

use crate::certs::{self, Authority, Certificate};

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

impl Version {
    /// Both.
    pub const ALL: [Version; 2] = [Version::Tls12, Version::Tls13];
}

/// How a server speaks TLS.
#[derive(Clone, Debug)]
pub struct ServerTls {
    certificate: Certificate,
    /// The only version, if there is only one.
    version: Option<Version>,
    /// Who vouches for clients, if they need a certificate.
    clients: Option<RootCertStore>,
    alpn: Vec<Vec<u8>>,
    resumption: bool,
    hello_retry: bool,
}

impl Default for ServerTls {
    fn default() -> Self {
        ServerTls {
            certificate: certs::of_loopback().clone(),
            version: None,
            clients: None,
            alpn: vec![b"http/1.1".to_vec()],
            resumption: true,
            hello_retry: false,
        }
    }
}

impl ServerTls {
    /// As the loopback's server, which [`certs::trusting`] trusts, with either version.
    pub fn new() -> Self {
        Self::default()
    }

    /// With this certificate instead.
    #[must_use]
    pub fn certificate(mut self, certificate: Certificate) -> Self {
        self.certificate = certificate;
        self
    }

    /// With this version only.
    #[must_use]
    pub fn version(mut self, version: Version) -> Self {
        self.version = Some(version);
        self
    }

    /// Clients need a certificate that this authority has issued.
    ///
    /// # Panics
    ///
    /// Never: the certificates of authorities are of our own making.
    #[must_use]
    pub fn clients_of(mut self, authority: &Authority) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate().clone()).expect("a certificate of our own");
        self.clients = Some(roots);
        self
    }

    /// With these protocols (RFC 7301) in place of `http/1.1`; none is no extension.
    #[must_use]
    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        self.alpn = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        self
    }

    /// Every handshake is a full one.
    #[must_use]
    pub fn without_resumption(mut self) -> Self {
        self.resumption = false;
        self
    }

    /// The client has to say hello twice, since its first guess of a key is refused (RFC 8446
    /// section 4.1.4).
    #[must_use]
    pub fn hello_retry(mut self) -> Self {
        self.hello_retry = true;
        self
    }

    /// The settings as rustls takes them.
    pub(super) fn build(&self) -> io::Result<Arc<ServerConfig>> {
        let mut provider = ring::default_provider();
        if self.hello_retry {
            // Every client's first guess is another.
            provider.kx_groups = vec![ring::kx_group::SECP384R1];
        }
        let provider = Arc::new(provider);
        let versions = match self.version {
            None => &[&TLS12, &TLS13][..],
            Some(Version::Tls12) => &[&TLS12],
            Some(Version::Tls13) => &[&TLS13],
        };
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .map_err(io::Error::other)?;
        let builder = match &self.clients {
            None => builder.with_no_client_auth(),
            Some(roots) => {
                let roots = Arc::new(roots.clone());
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                builder.with_client_cert_verifier(verifier.build().map_err(io::Error::other)?)
            }
        };
        let own = self.certificate.identity.clone();
        let mut config =
            builder.with_single_cert(own.chain, own.key).map_err(io::Error::other)?;
        config.alpn_protocols = self.alpn.clone();
        if !self.resumption {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Arc::new(config))
    }
}

/// What a handshake has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsLog {
    /// The version.
    pub version: Version,
    /// Whether a session was resumed (RFC 8446 section 2.2), so that no certificate was sent.
    pub resumed: bool,
    /// The name that the client asked for (RFC 6066 section 3).
    pub server_name: Option<String>,
    /// The protocol that was agreed on (RFC 7301).
    pub alpn: Option<String>,
    /// Whether the client has shown a certificate.
    pub client_certificate: bool,
    /// Whether the client has said that it sends no more (RFC 8446 section 6.1).
    pub close_notify: bool,
}

/// TLS over the socket of one connection.
pub(super) struct Tls {
    session: ServerConnection,
    /// The client has said that it sends no more.
    ended: bool,
    /// Whether the handshake was over, and whether the client had ended, when the log was told.
    told: (bool, bool),
    /// Records are sent byte by byte, each after the client has read the one before.
    pub(super) chopped: bool,
}

impl Tls {
    pub(super) fn new(config: Arc<ServerConfig>) -> io::Result<Self> {
        let session = ServerConnection::new(config).map_err(io::Error::other)?;
        Ok(Tls { session, ended: false, told: (false, false), chopped: false })
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    /// The records that are to be sent.
    pub(super) fn take_records(&mut self) -> io::Result<Vec<u8>> {
        let mut records = Vec::new();
        while self.session.wants_write() {
            self.session.write_tls(&mut records)?;
        }
        Ok(records)
    }

    /// Waits for records of the client. `false` is the end of the socket.
    ///
    /// # Errors
    ///
    /// Those of the socket; `InvalidData` with the [`rustls::Error`] if it was TLS that failed, and
    /// then the alert that says so is to be sent.
    pub(super) fn receive(&mut self, mut socket: &TcpStream) -> io::Result<bool> {
        let read = self.session.read_tls(&mut socket)?;
        self.process()?;
        Ok(read > 0)
    }

    /// What was decrypted, if there is something: no bytes are the client's end.
    pub(super) fn decrypted(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.session.reader().read(buffer) {
            Ok(length) => Ok(Some(length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Some(0)),
            Err(error) => Err(error),
        }
    }

    /// The records that carry these bytes.
    pub(super) fn seal(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut records = self.take_records()?;
        let mut left = bytes;
        while !left.is_empty() {
            let taken = self.session.writer().write(left)?;
            left = &left[taken..];
            records.extend(self.take_records()?);
        }
        Ok(records)
    }

    pub(super) fn end(&mut self) {
        self.session.send_close_notify();
    }

    pub(super) fn update_keys(&mut self) -> io::Result<()> {
        self.session.refresh_traffic_keys().map_err(io::Error::other)
    }

    /// Makes the session fail as if the client had sent this, so that an alert is to be sent.
    pub(super) fn fail(&mut self) -> io::Result<()> {
        /// A record of application data that no key fits.
        const BROKEN: [u8; 29] = [
            23, 3, 3, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            0, 0,
        ];
        self.session.read_tls(&mut &BROKEN[..])?;
        match self.process() {
            Err(_) => Ok(()),
            Ok(()) => Err(io::Error::other("expected the broken record to be refused")),
        }
    }

    fn process(&mut self) -> io::Result<()> {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        self.ended = self.session.process_new_packets().map_err(invalid)?.peer_has_closed();
        Ok(())
    }

    /// What the log does not know yet.
    pub(super) fn news(&mut self) -> Option<TlsLog> {
        let now = (!self.is_handshaking(), self.ended);
        if !now.0 || std::mem::replace(&mut self.told, now) == now {
            return None;
        }
        let version = match self.session.protocol_version()? {
            ProtocolVersion::TLSv1_2 => Version::Tls12,
            _ => Version::Tls13,
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some(TlsLog {
            version,
            resumed: self.session.handshake_kind() == Some(HandshakeKind::Resumed),
            server_name: self.session.server_name().map(str::to_owned),
            alpn: self.session.alpn_protocol().map(text),
            client_certificate: self.session.peer_certificates().is_some(),
            close_notify: self.ended,
        })
    }
}
