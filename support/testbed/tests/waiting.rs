//! Dead ends, gates, bounds, and what the system counts. In a process of its own, with one test
//! that counts, since threads of other tests would be counted too.

use std::{
    io::{ErrorKind, Read},
    net::{Ipv4Addr, Ipv6Addr, TcpStream},
    thread,
    time::Duration,
};

use testbed::{
    Gate, Server,
    dead_ends::{Blackhole, Refusing, Silent, blackhole_works},
    run,
    server::has_ipv6,
};

#[test]
fn a_server_leaves_no_thread_and_no_descriptor() {
    let Some(threads) = run::thread_count() else {
        skip("only Linux counts threads");
        return;
    };
    let names = || run::thread_names().unwrap_or_default();
    let ours = || names().iter().filter(|name| name.starts_with("testbed-")).count();
    assert_eq!(ours(), 0);
    let before = sockets();
    let server = Server::start(|conn| conn.wait_closed());
    let clients: Vec<_> = (0..20).map(|_| TcpStream::connect(server.addr()).unwrap()).collect();
    server.wait_accepted(20);
    // A thread gives itself its name, a moment after it starts.
    run::eventually("an acceptor and twenty scripts", || ours() == 21);
    assert!(threads >= 1 && run::fd_count().unwrap() >= 41);
    drop(server);
    drop(clients);
    run::eventually("no thread of the server", || ours() == 0);
    run::eventually("no socket of the server", || sockets() <= before);
}

/// Says why a test does nothing, which it may do on other systems only.
fn skip(why: &str) {
    if cfg!(target_os = "linux") {
        panic!("{why}, but this is Linux");
    }
    eprintln!("skipped: {why}");
}

/// Sockets of this process.
fn sockets() -> usize {
    let Ok(list) = std::fs::read_dir("/proc/self/fd") else { return 0 };
    let links = list.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("socket:")).count()
}

#[test]
fn memory_is_told_where_the_system_tells_it() {
    let pair = (run::rss_bytes(), run::peak_rss_bytes());
    match pair {
        (Some(now), Some(peak)) => assert!(now > 100_000 && peak >= now / 2),
        _ => skip("only Linux tells"),
    }
}

#[test]
fn a_gate_lets_through_who_waits_and_who_comes_later() {
    let gate = Gate::new();
    let waiting = thread::spawn({
        let gate = gate.clone();
        move || gate.wait()
    });
    let awaiting = thread::spawn({
        let gate = gate.clone();
        move || run::block_on(gate)
    });
    assert!(!gate.is_open());
    gate.open();
    waiting.join().unwrap();
    awaiting.join().unwrap();
    gate.wait();
}

#[test]
fn a_case_that_panics_passes_its_panic_on() {
    let case = std::panic::catch_unwind(|| run::bounded("a case", || panic!("by intent")));
    assert_eq!(*case.unwrap_err().downcast::<&str>().unwrap(), "by intent");
    run::bounded("another", || ());
}

#[test]
fn dead_ends_refuse_or_stay_silent() {
    let families =
        [Some(Ipv4Addr::LOCALHOST.into()), has_ipv6().then(|| Ipv6Addr::LOCALHOST.into())];
    for ip in families.into_iter().flatten() {
        let refusing = Refusing::on(ip).unwrap();
        let error = TcpStream::connect(refusing.addr()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);

        let silent = Silent::on(ip).unwrap();
        let mut socket = TcpStream::connect(silent.addr()).unwrap();
        socket.set_nonblocking(true).unwrap();
        assert_eq!(socket.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
}

#[test]
fn a_black_hole_answers_nobody() {
    if !blackhole_works() {
        skip("a full backlog does not stay silent on this platform");
        return;
    }
    let hole = Blackhole::on(Ipv4Addr::LOCALHOST.into()).unwrap();
    for _ in 0..3 {
        let error = TcpStream::connect_timeout(&hole.addr(), Duration::from_millis(50));
        assert_eq!(error.unwrap_err().kind(), ErrorKind::TimedOut);
    }
}
