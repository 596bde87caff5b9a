//! Whom a client of `https` trusts, and who it says it is (RFC 9110 section 4.3.4, RFC 9525).

use client_core::{ApiClient, Config, Error, ErrorKind, Roots, Tls};

use super::{Gated, client, expect, expect_error, get};
use crate::{
    Connection, Gate, Server,
    certs::{self, Authority, Certificate, Leaf},
    reply,
    server::{End, Options, ServerTls, Version, has_ipv6},
};

fn answer(conn: &mut Connection) -> std::io::Result<()> {
    while conn.next_request()?.is_some() {
        conn.send(reply::ok("x"))?;
    }
    Ok(())
}

fn serving(tls: ServerTls) -> Server {
    Options::new().tls(tls).start(answer).expect("a server")
}

fn with_certificate(certificate: Certificate) -> Server {
    serving(ServerTls::new().certificate(certificate))
}

/// Every name is the loopback's.
fn any_name() -> Config {
    let open = Gate::new();
    open.open();
    Config::new().resolver(Gated(open))
}

/// A call that TLS ends; the message has to say why.
#[track_caller]
fn refused<C: ApiClient>(config: Config, url: &str, why: &str) -> Error {
    let client = client::<C>(config);
    let error = expect_error(&client, get(url));
    assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
    assert!(error.to_string().contains(why), "{why:?} is not in {error}");
    let stats = client.stats();
    assert_eq!((stats.open, stats.connecting, stats.waiting, stats.created), (0, 0, 0, 0));
    error
}

/// A connection belongs to its scheme too: the pool holds both kinds, side by side.
pub fn origins_with_and_without_tls_share_a_pool<C: ApiClient>() {
    let (plain, secure) =
        (Options::new().start(answer).expect("a server"), serving(ServerTls::new()));
    let client = client::<C>(Config::new());
    for reused in [false, true] {
        for url in [plain.url("/"), secure.url("/")] {
            assert_eq!(expect(&client, get(&url)).exchange.reused, reused, "{url}");
        }
    }
    assert_eq!((client.stats().created, client.stats().idle), (2, 2));
    assert_eq!((plain.log().accepted, secure.log().accepted), (1, 1));
}

/// One host and port under two schemes are two origins (RFC 6454 section 4): a request for `http`
/// never goes over the TLS connection that is there.
pub fn the_scheme_is_part_of_the_origin<C: ApiClient>() {
    let server = serving(ServerTls::new());
    let client = client::<C>(Config::new());
    expect(&client, get(&server.url("/")));
    let plain = server.url("/").replace("https:", "http:");
    let error = expect_error(&client, get(&plain));
    assert!([ErrorKind::Protocol, ErrorKind::ClosedEarly].contains(&error.kind()), "{error}");
    assert_eq!(server.log().received, 1);
    assert!(expect(&client, get(&server.url("/"))).exchange.reused);
}

/// `Tls::roots`.
pub fn roots_of_the_users_are_trusted<C: ApiClient>() {
    let authority = Authority::new("the user's");
    let server = with_certificate(authority.issue(&Leaf::server(["localhost"])));
    let config = Config::new().tls(Tls::new().roots(authority.roots()));
    expect(&client::<C>(config), get(&server.url_as("localhost", "/")));
}

/// Given roots replace the system's, and whoever they do not vouch for is refused, by an alert
/// that says so (RFC 8446 section 6.2).
pub fn an_unknown_issuer_is_refused<C: ApiClient>() {
    let stranger = Authority::new("a stranger");
    let server = with_certificate(stranger.issue(&Leaf::server(["localhost"])));
    refused::<C>(Config::new(), &server.url_as("localhost", "/"), "UnknownIssuer");
    server.wait_closed(1);
    let log = server.finish();
    assert!(matches!(log.end(0), Some(End::Tls(why)) if why.contains("UnknownCA")), "{log}");
}

/// An authority of the same name is another one: the signature counts.
pub fn an_issuer_that_only_has_the_name_is_refused<C: ApiClient>() {
    let stranger = Authority::new("testbed");
    let server = with_certificate(stranger.issue(&Leaf::server(["localhost"])));
    refused::<C>(Config::new(), &server.url_as("localhost", "/"), "certificate");
}

/// RFC 9525 section 6: the certificate has to name the host of the URL, not just any.
pub fn a_certificate_for_another_name_is_refused<C: ApiClient>() {
    let leaf = Leaf::server(["elsewhere.invalid"]);
    let server = with_certificate(certs::authority().issue(&leaf));
    let error =
        refused::<C>(Config::new(), &server.url_as("localhost", "/"), "not valid for name");
    assert!(error.to_string().contains("localhost"), "{error}");
}

/// RFC 5280 section 4.1.2.5.
pub fn an_expired_certificate_is_refused<C: ApiClient>() {
    let leaf = Leaf::server(["localhost"]).expired();
    let server = with_certificate(certs::authority().issue(&leaf));
    refused::<C>(Config::new(), &server.url_as("localhost", "/"), "expired");
}

/// Likewise.
pub fn a_certificate_that_is_not_valid_yet_is_refused<C: ApiClient>() {
    let leaf = Leaf::server(["localhost"]).not_yet_valid();
    let server = with_certificate(certs::authority().issue(&leaf));
    refused::<C>(Config::new(), &server.url_as("localhost", "/"), "not valid yet");
}

/// RFC 5280 section 4.2.1.12: a client's certificate is no server's.
pub fn a_certificate_for_clients_is_refused<C: ApiClient>() {
    let server = with_certificate(certs::authority().issue(&Leaf::client("localhost")));
    refused::<C>(Config::new(), &server.url_as("localhost", "/"), "certificate");
}

/// RFC 9525 section 6.3: a wildcard stands for one label, the first.
pub fn a_wildcard_stands_for_one_label<C: ApiClient>() {
    let leaf = Leaf::server(["*.example.invalid"]);
    let server = with_certificate(certs::authority().issue(&leaf));
    expect(&client::<C>(any_name()), get(&server.url_as("a.example.invalid", "/")));
    for name in ["example.invalid", "a.b.example.invalid"] {
        refused::<C>(any_name(), &server.url_as(name, "/"), "not valid for name");
    }
}

/// RFC 9110 section 4.3.4: an address in a URL has to be in the certificate as an address.
pub fn an_address_has_to_be_certified_as_one<C: ApiClient>() {
    let own = with_certificate(certs::authority().issue(&Leaf::server(["127.0.0.1"])));
    expect(&client::<C>(Config::new()), get(&own.url("/")));
    let named = with_certificate(certs::authority().issue(&Leaf::server(["localhost"])));
    refused::<C>(Config::new(), &named.url("/"), "not valid for name");
}

/// The same for an IPv6 address in its brackets.
pub fn an_ipv6_address_may_be_certified<C: ApiClient>() {
    if !has_ipv6() {
        return eprintln!("skipped: this machine has no IPv6 loopback");
    }
    let options = Options::new().ipv6().tls(ServerTls::new());
    let server = options.start(answer).expect("a server");
    expect(&client::<C>(Config::new()), get(&server.url("/")));
}

/// RFC 4343: names have no case.
pub fn a_certified_name_has_no_case<C: ApiClient>() {
    let server = serving(ServerTls::new());
    expect(&client::<C>(any_name()), get(&server.url_as("LocalHost", "/")));
}

/// RFC 6066 section 3: the last dot of an absolute name is not part of what the certificate names
/// (curl 7.82 and others met servers that would not have it).
pub fn the_last_dot_of_a_name_is_not_certified<C: ApiClient>() {
    let server = serving(ServerTls::new());
    expect(&client::<C>(any_name()), get(&server.url_as("localhost.", "/")));
    assert_eq!(
        server.log().tls(0).and_then(|tls| tls.server_name.as_deref()),
        Some("localhost")
    );
}

/// Without a root nobody can be trusted: an error, at once, and no connection.
pub fn no_roots_are_an_error<C: ApiClient>() {
    let server = serving(ServerTls::new());
    let config = Config::new().tls(Tls::new().roots(Roots::Only(Vec::new())));
    refused::<C>(config, &server.url("/"), "root");
    assert_eq!(server.log().accepted, 0);
}

/// A client without roots for `https` still serves `http`.
pub fn no_roots_are_no_error_without_tls<C: ApiClient>() {
    let server = Options::new().start(answer).expect("a server");
    let config = Config::new().tls(Tls::new().roots(Roots::Only(Vec::new())));
    expect(&client::<C>(config), get(&server.url("/")));
}

/// RFC 8446 section 4.4.2: a client that has a certificate shows it to a server that asks.
pub fn a_client_shows_its_certificate_if_asked<C: ApiClient>() {
    let identity = certs::authority().issue(&Leaf::client("somebody")).identity;
    let config = Config::new().tls(certs::trusting().identity(identity));
    let client = client::<C>(config);
    for version in Version::ALL {
        let asking = ServerTls::new().version(version).clients_of(certs::authority());
        let not_asking = ServerTls::new().version(version);
        for (tls, shown) in [(asking, true), (not_asking, false)] {
            let server = serving(tls);
            expect(&client, get(&server.url("/")));
            let log = server.log();
            assert_eq!(log.tls(0).map(|tls| tls.client_certificate), Some(shown), "{log}");
        }
    }
}

/// A client that has none is refused: with TLS 1.2 within the handshake, with 1.3 behind it, where
/// the client has sent its request already (RFC 8446 section 4.4.2.4). Go's net/http reports that as
/// a broken pipe at times (golang/go issue 50984); here it is what the server said.
pub fn a_client_without_a_certificate_is_told_so<C: ApiClient>() {
    for version in Version::ALL {
        let server = serving(ServerTls::new().version(version).clients_of(certs::authority()));
        let client = client::<C>(Config::new());
        let error = expect_error(&client, get(&server.url("/")));
        assert_eq!(error.kind(), ErrorKind::Tls, "{version:?}: {error}");
        assert!(error.to_string().contains("alert"), "{version:?}: {error}");
        assert_eq!((client.stats().open, server.log().received), (0, 0));
    }
}

/// A certificate of an authority that the server does not know is none.
pub fn a_clients_certificate_of_a_stranger_is_refused<C: ApiClient>() {
    let identity = Authority::new("a stranger").issue(&Leaf::client("somebody")).identity;
    for version in Version::ALL {
        let server = serving(ServerTls::new().version(version).clients_of(certs::authority()));
        let config = Config::new().tls(certs::trusting().identity(identity.clone()));
        let error = expect_error(&client::<C>(config), get(&server.url("/")));
        assert_eq!(error.kind(), ErrorKind::Tls, "{version:?}: {error}");
        assert_eq!(server.log().received, 0);
    }
}

/// A key that is not the certificate's is noticed before anything is sent.
pub fn a_key_that_does_not_fit_is_an_error<C: ApiClient>() {
    let server = serving(ServerTls::new());
    let mut identity = certs::authority().issue(&Leaf::client("somebody")).identity;
    identity.key = certs::authority().issue(&Leaf::client("somebody")).identity.key;
    refused::<C>(Config::new().tls(certs::trusting().identity(identity)), &server.url("/"), "");
    assert_eq!(server.log().accepted, 0);
}

/// A failed handshake is one caller's (decision 16), and the client is as good as before.
pub fn a_refused_server_harms_no_other<C: ApiClient>() {
    let bad = with_certificate(certs::authority().issue(&Leaf::server(["elsewhere.invalid"])));
    let good = serving(ServerTls::new());
    let client = client::<C>(Config::new().max_total(1));
    for _ in 0..3 {
        assert_eq!(expect_error(&client, get(&bad.url("/"))).kind(), ErrorKind::Tls);
        expect(&client, get(&good.url("/")));
    }
    assert_eq!((bad.log().accepted, bad.log().received, good.log().received), (3, 0, 3));
}

/// The same for those who wait in its queue: each gets an attempt, and an answer of its own.
pub fn every_waiter_of_a_refused_server_is_told<C: ApiClient>() {
    let bad = with_certificate(certs::authority().issue(&Leaf::server(["elsewhere.invalid"])));
    let client = client::<C>(Config::new().max_per_origin(1));
    let calls = (0..3).map(|_| super::fetch(&client, get(&bad.url("/"))));
    for result in crate::run::block_on(futures::future::join_all(calls)) {
        assert_eq!(result.expect_err("a refusal").kind(), ErrorKind::Tls);
    }
    assert_eq!(bad.log().accepted, 3);
}
