//! Certificate authorities that live as long as the process, and what they issue.
//!
//! Its rules: keys are made anew in each process and are stored nowhere; nobody has reason to
//! trust an authority of ours, so a client has to be told to.

use std::{fmt, sync::LazyLock};

use client_core::{Config, Identity, Roots, Tls};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

/// The names of a server on the loopback, and those that the suite's resolvers know.
const NAMES: [&str; 10] = [
    "localhost",
    "127.0.0.1",
    "127.0.0.2",
    "::1",
    "both.invalid",
    "gated.invalid",
    "nowhere.invalid",
    "once.invalid",
    "pinned.invalid",
    "two.invalid",
];

/// The authority that issues the certificates of this process's servers.
pub fn authority() -> &'static Authority {
    static OURS: LazyLock<Authority> = LazyLock::new(|| Authority::new("testbed"));
    &OURS
}

/// The settings of a client that trusts [`authority`], and nobody else.
pub fn trusting() -> Tls {
    static ROOTS: LazyLock<Roots> = LazyLock::new(|| authority().roots());
    Tls::new().roots(ROOTS.clone())
}

/// [`trusting`] as the settings of a client.
pub fn trusting_config() -> Config {
    Config::new().tls(trusting())
}

/// The certificate of a server on the loopback, issued by [`authority`].
pub fn of_loopback() -> &'static Certificate {
    static LEAF: LazyLock<Certificate> =
        LazyLock::new(|| authority().issue(&Leaf::server(NAMES)));
    &LEAF
}

/// Somebody who vouches for others.
pub struct Authority {
    certificate: CertificateDer<'static>,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// An authority of this name, with a key of its own.
    ///
    /// # Panics
    ///
    /// If the system has no random numbers to give.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("parameters that fit");
        Authority {
            pem: certificate.pem(),
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Its certificate in PEM form, as a file of `--cacert` has it.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Its certificate as the only one that a client trusts.
    pub fn roots(&self) -> Roots {
        Roots::Only(vec![self.certificate.clone()])
    }

    /// Its certificate, as a server trusts it that asks clients for theirs.
    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// A certificate with a new key.
    ///
    /// # Panics
    ///
    /// If a name of the leaf is none.
    pub fn issue(&self, leaf: &Leaf) -> Certificate {
        let key = KeyPair::generate().expect("a key");
        let params = leaf.params();
        let certificate = params.signed_by(&key, &self.issuer).expect("parameters that fit");
        Certificate {
            identity: Identity {
                chain: vec![certificate.der().clone()],
                key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            },
            pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        }
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

/// What is to be certified.
#[derive(Clone, Debug)]
pub struct Leaf {
    names: Vec<String>,
    purpose: ExtendedKeyUsagePurpose,
    /// The first and the last year, if not those of a certificate that is valid now.
    years: Option<(i32, i32)>,
}

impl Leaf {
    /// A server of these names and addresses.
    pub fn server<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        let names = names.into_iter().map(N::into).collect();
        Leaf { names, purpose: ExtendedKeyUsagePurpose::ServerAuth, years: None }
    }

    /// A client of this name.
    pub fn client(name: &str) -> Self {
        let names = vec![name.to_owned()];
        Leaf { names, purpose: ExtendedKeyUsagePurpose::ClientAuth, years: None }
    }

    /// Valid long ago.
    #[must_use]
    pub fn expired(mut self) -> Self {
        self.years = Some((2001, 2002));
        self
    }

    /// Valid in a far future.
    #[must_use]
    pub fn not_yet_valid(mut self) -> Self {
        self.years = Some((3001, 3002));
        self
    }

    fn params(&self) -> CertificateParams {
        let mut params =
            CertificateParams::new(self.names.clone()).expect("names that are some");
        if let Some(name) = self.names.first() {
            params.distinguished_name.push(DnType::CommonName, name.as_str());
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![self.purpose.clone()];
        params.use_authority_key_identifier_extension = true;
        if let Some((first, last)) = self.years {
            params.not_before = date_time_ymd(first, 1, 1);
            params.not_after = date_time_ymd(last, 1, 1);
        }
        params
    }
}

/// A certificate with its key.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// Both, as a client or a server takes them.
    pub identity: Identity,
    /// The certificate in PEM form.
    pub pem: String,
    /// The key in PEM form.
    pub key_pem: String,
}
