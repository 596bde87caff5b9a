//! Running out of file descriptors. Not in the list of all cases: it has to be the only test of its
//! binary, since it runs that binary again, with a limit of the process.

use std::{cell::RefCell, env, io, process::Command};

use client_core::{
    ApiClient, CloseReason, Config, Error, ErrorKind, Name, Resolver, Resolving,
};
use futures::FutureExt;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{client, expect, get};
use crate::{
    reply,
    run::{block_on, eventually},
    server::Options,
};

/// Says to the process with the limit where the server is.
const PORT: &str = "TESTBED_DESCRIPTORS_PORT";

/// Descriptors of that process.
const LIMIT: u64 = 64;

/// More than that.
const HOSTS: usize = 100;

/// Idle connections are given up for a descriptor, the least recently used one first, so that a
/// client can go on to any number of hosts one after another, also to one whose name takes a
/// descriptor to look up. If there is none to give up, the error says that descriptors ran out, and
/// the next call works when there is one again (cloudflare/cloudflared#118, golang/go#18753).
///
/// # Panics
///
/// If it is not so.
pub fn running_out_of_descriptors_is_no_wall<C: ApiClient>() {
    if let Ok(port) = env::var(PORT) {
        return with_few_descriptors::<C>(port.parse().expect("a port"));
    }
    let every_address = Options::new().on([([0, 0, 0, 0], 0).into()]);
    let server = every_address.start(|conn| {
        while let Some(request) = conn.next_request()? {
            if request.target() == "/hold" {
                return conn.wait_closed();
            }
            conn.send(reply::ok("x"))?;
        }
        Ok(())
    });
    let server = server.expect("a server");
    let status = Command::new(env::current_exe().expect("this program"))
        .args(env::args_os().skip(1))
        .env(PORT, server.port().to_string())
        .status()
        .expect("this program once more");
    assert!(status.success(), "{status}");
}

fn with_few_descriptors<C: ApiClient>(port: u16) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let few = Rlimit { current: Some(LIMIT), maximum };
    setrlimit(Resource::Nofile, few).expect("a lower limit");
    let url = |host: usize, path| format!("http://host-{host}.invalid:{port}{path}");
    let client = client::<C>(Config::new().max_total(10 * HOSTS).resolver(Loopback));

    for host in 0..HOSTS {
        expect(&client, get(&url(host, "/")));
    }
    let stats = client.stats();
    assert_eq!((stats.created, stats.in_use, stats.connecting), (HOSTS as u64, 0, 0));
    assert_eq!(stats.closed(CloseReason::Evicted), stats.closed_in_all());
    assert!((1..LIMIT as usize).contains(&stats.open), "{stats}");

    // Busy connections are not given up, so these run into the limit.
    let mut held = Vec::new();
    let error = (HOSTS..2 * HOSTS).find_map(|host| {
        let call = RefCell::new(Box::pin(client.request(get(&url(host, "/hold")))));
        let (before, answer) = (held.len(), RefCell::new(None));
        eventually("a connection or an error", || {
            *answer.borrow_mut() = call.borrow_mut().as_mut().now_or_never();
            answer.borrow().is_some() || client.stats().in_use > before
        });
        held.push(call);
        answer.into_inner().map(|answer| answer.expect_err("no response to `/hold`"))
    });
    let error = error.expect("an error before there are more connections than descriptors");
    assert!(is_out_of_descriptors(&error), "{error:?}");
    assert_eq!((error.kind(), client.stats().connecting), (ErrorKind::Io, 0));
    assert!(held.len() > LIMIT as usize / 2, "{} connections", held.len());

    held.clear();
    eventually("free descriptors", || client.stats().in_use == 0);
    expect(&client, get(&url(0, "/")));

    block_on(client.close());
    // Elsewhere the loopback has one address.
    if cfg!(target_os = "linux") {
        a_name_is_looked_up_at_the_limit::<C>(port);
    }
}

/// Looking a name up takes a descriptor too, and the system calls a name unknown if there is none.
fn a_name_is_looked_up_at_the_limit<C: ApiClient>(port: u16) {
    let client = client::<C>(Config::new().max_total(10 * HOSTS));
    for host in 1..=HOSTS {
        expect(&client, get(&format!("http://127.0.0.{host}:{port}/")));
    }
    expect(&client, get(&format!("http://localhost:{port}/")));
    let stats = client.stats();
    assert_eq!((stats.created, stats.connecting), (HOSTS as u64 + 1, 0), "{stats}");
}

fn is_out_of_descriptors(error: &Error) -> bool {
    let Error::Io { source, .. } = error else { return false };
    let source = source.downcast_ref::<io::Error>();
    // EMFILE, the same number on Linux, macOS and the BSDs.
    source.and_then(io::Error::raw_os_error) == Some(24)
}

/// Every name is the loopback's.
struct Loopback;

impl Resolver for Loopback {
    fn resolve(&self, _: Name) -> Resolving {
        Box::pin(async { Ok(vec![[127, 0, 0, 1].into()]) })
    }
}
