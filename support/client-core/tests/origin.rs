//! The host that a caller checks is the host that is called: what [`Origin`] makes of an authority
//! is compared with a second reader, which goes by the grammar of RFC 3986 and shares no line with it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use client_core::{ErrorKind, Origin, Outgoing, tls::server_name};
use http::{Request, Uri};
use http_body_util::Full;
use proptest::prelude::*;

/// An authority, as the grammar has it.
#[derive(Debug, PartialEq)]
struct Read {
    /// Without brackets.
    host: String,
    address: Option<IpAddr>,
    port: Option<u16>,
}

/// `authority` of RFC 3986 section 3.2, from the end: first a port is taken off, and what is left is
/// a host or nothing. `None`: it is none that may be called.
fn read(authority: &str) -> Option<Read> {
    let digits = authority.bytes().rev().take_while(u8::is_ascii_digit).count();
    let (front, digits) = authority.split_at(authority.len() - digits);
    let (host, port) = match front.strip_suffix(':') {
        Some(host) => (host, digits),
        None => (authority, ""),
    };
    let port = match digits.trim_start_matches('0') {
        _ if port.is_empty() => None,
        "" => return None,
        digits if digits.len() <= 5 => Some(digits.parse().ok()?),
        _ => return None,
    };
    let (host, address) = if let Some(literal) = host.strip_prefix('[') {
        let literal = literal.strip_suffix(']')?;
        (literal, Some(IpAddr::V6(ipv6(literal)?)))
    } else if host.contains([':', '[', ']', '@', '%']) || host.is_empty() {
        return None;
    } else {
        let mut labels: Vec<&str> = host.split('.').collect();
        labels.pop_if(|last| last.is_empty());
        if labels.is_empty() || labels.contains(&"") {
            return None;
        }
        let last = labels.last().copied().unwrap_or("").to_ascii_lowercase();
        let hexadecimal = last.strip_prefix("0x").is_some_and(|digits| is_of(digits, 16));
        let number = hexadecimal || is_of(&last, 10);
        (host, if number { Some(IpAddr::V4(ipv4(host)?)) } else { None })
    };
    Some(Read { host: host.to_owned(), address, port })
}

fn is_of(digits: &str, radix: u32) -> bool {
    digits.chars().all(|digit| digit.is_digit(radix))
}

/// `IPv4address` of RFC 3986 section 3.2.2: four numbers without surplus zeros.
fn ipv4(text: &str) -> Option<Ipv4Addr> {
    let numbers: Vec<&str> = text.split('.').collect();
    let mut octets = [0; 4];
    if numbers.len() != 4 {
        return None;
    }
    for (octet, number) in octets.iter_mut().zip(numbers) {
        let value = (0..=255_u8).find(|value| value.to_string() == number)?;
        *octet = value;
    }
    Some(octets.into())
}

/// `IPv6address` of the same section: eight groups, of which `::` stands for one or more.
fn ipv6(text: &str) -> Option<Ipv6Addr> {
    let groups = |text: &str, last: bool| -> Option<Vec<u16>> {
        let mut groups = Vec::new();
        let parts: Vec<&str> =
            if text.is_empty() { Vec::new() } else { text.split(':').collect() };
        for (index, part) in parts.iter().enumerate() {
            if last && index + 1 == parts.len() && part.contains('.') {
                let [a, b, c, d] = ipv4(part)?.octets().map(u16::from);
                groups.extend([a << 8 | b, c << 8 | d]);
            } else if (1..=4).contains(&part.len()) && is_of(part, 16) {
                groups.push(u16::from_str_radix(part, 16).ok()?);
            } else {
                return None;
            }
        }
        Some(groups)
    };
    let mut all = match text.split_once("::") {
        None => groups(text, true)?,
        Some((before, after)) => {
            let (mut before, after) = (groups(before, false)?, groups(after, true)?);
            let zeros = 8_usize.checked_sub(before.len() + after.len()).filter(|n| *n > 0)?;
            before.extend(std::iter::repeat_n(0, zeros));
            before.extend(after);
            before
        }
    };
    let last = all.len() == 8;
    all.resize(8, 0);
    let all: [u16; 8] = all.try_into().ok()?;
    last.then(|| all.into())
}

/// Everything that a stage takes from an origin says the same as the second reader, or it is refused
/// by both.
fn check(scheme: &str, authority: &str) -> Result<bool, TestCaseError> {
    // What `Uri` refuses never comes to the client.
    let Ok(uri) = format!("{scheme}://{authority}/").parse::<Uri>() else { return Ok(false) };
    if uri.authority().map(|read| read.as_str()) != Some(authority) {
        return Ok(false); // A slash in it, or the like.
    }
    let origin = match (Origin::of(&uri), read(authority)) {
        (Ok(origin), Some(expected)) => {
            let default = if scheme == "https" { 443 } else { 80 };
            let found = Read {
                host: origin.host().into(),
                address: origin.address(),
                port: expected.port,
            };
            prop_assert_eq!(&found, &expected);
            prop_assert_eq!(origin.port(), expected.port.unwrap_or(default));
            origin
        }
        (Err(error), None) => {
            prop_assert_eq!(error.kind(), ErrorKind::InvalidRequest);
            return Ok(false);
        }
        (found, expected) => {
            return Err(TestCaseError::fail(format!("{found:?} is not {expected:?}")));
        }
    };
    let (host, address) = (origin.host(), origin.address());
    // The resolver's name.
    let name = origin.name();
    prop_assert_eq!((name.as_str(), name.port()), (host, origin.port()));
    prop_assert_eq!(name.as_address(), address);
    // The certificate's name.
    match server_name(&origin) {
        Ok(name) => {
            let expected = host.strip_suffix('.').unwrap_or(host);
            let expected = address.map_or(expected.to_owned(), |address| address.to_string());
            prop_assert!(name.to_str().eq_ignore_ascii_case(&expected), "{name:?} {expected}");
        }
        Err(_) => prop_assert_eq!(address, None),
    }
    // The `host` field, which the second reader reads again.
    let request = Request::get(uri).body(Full::<Bytes>::default());
    let out = Outgoing::new(request.expect("a request")).expect("a good request");
    let head = String::from_utf8(out.head.to_vec()).expect("text");
    let field = head.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host");
    let expected = Read { host: host.into(), address, port: Some(origin.port()) };
    let read_back = read(field)
        .map(|read_back| Read { port: read_back.port.or(expected.port), ..read_back });
    prop_assert_eq!(read_back, Some(expected));
    Ok(true)
}

fn authority() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "[",
        "]",
        "::",
        ":",
        ".",
        "1",
        "127",
        "0",
        "00",
        "255",
        "256",
        "0x7f",
        "ffff",
        "::1",
        "[::1]",
        "127.0.0.1",
        "localhost",
        "evil.example",
        "x",
        "%25lo",
        "@",
        "+",
        "-",
        "80",
        "65535",
        "65536",
        "v1.",
        ":80",
        "a",
        "_",
        "!",
        "1.2.3.4",
        "fe80::",
        "2130706433",
        "1:2:3:4:5:6:7:8",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:1.2.3.4",
    ]);
    prop_oneof![
        3 => prop::collection::vec(piece.clone(), 1..6).prop_map(|pieces| pieces.concat()),
        // A literal, more or less, and a port, more or less.
        1 => (prop::collection::vec(piece, 1..3), prop::sample::select(vec!["", ":", ":80", "x"]))
            .prop_map(|(pieces, end)| format!("[{}]{end}", pieces.concat())),
        1 => (any::<u128>(), 0..=128_u32, any::<u16>()).prop_map(|(bits, shift, port)| {
            format!("[{}]:{port}", Ipv6Addr::from(bits.checked_shr(shift).unwrap_or(0)))
        }),
        1 => (any::<u32>(), any::<u16>())
            .prop_map(|(bits, port)| format!("{}:{port}", Ipv4Addr::from(bits))),
        1 => "[!-~]{1,12}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(20_000) })]

    #[test]
    fn the_host_that_is_checked_is_the_host_that_is_called(
        authority in authority(),
        secure in any::<bool>(),
    ) {
        check(if secure { "https" } else { "http" }, &authority)?;
    }
}

/// The reports that this is about, and what must go on working (CVE-2024-11168, CVE-2025-0938,
/// CVE-2025-47912).
#[test]
fn some_hosts_are_called_and_some_are_not() {
    for (authority, called) in [
        ("localhost", true),
        ("localhost:", true),
        ("LOCALHOST:65535", true),
        ("a.example.:80", true),
        ("my_service:80", true),
        ("127.0.0.1", true),
        ("[::1]", true),
        ("[::1]:", true),
        ("[::ffff:1.2.3.4]:1", true),
        ("[::1].evil.example", false),
        ("[::1].evil.example:80", false),
        ("[::1]80", false),
        ("[127.0.0.1]", false),
        ("[localhost]", false),
        ("[v1.x]", false),
        ("[fe80::1%25eth0]", false),
        ("host:+8080", false),
        ("host:0", false),
        ("host:65536", false),
        ("0x7f.1", false),
        ("me@host", false),
    ] {
        assert_eq!(check("http", authority).expect("one reading"), called, "{authority}");
        assert!(format!("http://{authority}/").parse::<Uri>().is_ok(), "{authority}");
    }
}
