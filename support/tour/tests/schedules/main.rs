//! Same events, same decisions: generated schedules, played to each of the three clients.
//!
//! A schedule is a pool with its limits, and one event after the other: requests, what the server
//! does with each, ends and resets of connections, callers who give up, the client's close. The
//! server does nothing by itself, and each event comes to rest before the next. What a user or a
//! server can see is compared after each event, with the other clients and with a prediction from
//! the shared rules ([`model`]): which connection serves which request, what is opened and closed
//! and why, retries, the pool's statistics, the pieces of each body, how each call ends.
//!
//! Where the I/O models cannot be alike has names ([`exceptions`]).
//!
//! The environment: `SCHEDULES` is how many are played, `SCHEDULES_FROM` the first seed.

#![cfg(unix)]

mod exceptions;
mod fixed;
mod model;
mod names;
mod play;
mod random;
mod report;
mod schedule;
mod seen;
mod server;

use std::{
    collections::BTreeMap,
    env,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use client_core::{ApiClient, CloseReason};

use self::{
    exceptions::Exception,
    model::Script,
    play::{Departure, play},
    schedule::Schedule,
    server::Server,
};

/// Schedules, unless the environment says otherwise.
const SCHEDULES: u64 = 300;

/// The most origins of a schedule.
const ORIGINS: usize = 3;

/// How long a client may take after an act. One that has not come to the prediction by then does
/// not come to it.
const BOUND: Duration = Duration::from_secs(20);

/// The same for a schedule of which a longer version has failed.
const SHORT: Duration = Duration::from_millis(500);

/// How long a schedule that fails is made smaller.
const SHRINKING: Duration = Duration::from_secs(60);

/// What was played.
#[derive(Debug, Default)]
struct Sums {
    schedules: u64,
    acts: usize,
    left_out: BTreeMap<Exception, usize>,
    /// What the pools counted, by its word.
    counts: BTreeMap<&'static str, u64>,
}

/// For each stage, where it has departed from the prediction.
type Departures = Vec<(&'static str, Option<Box<Departure>>)>;

#[test]
fn the_three_clients_decide_the_same() {
    let number = from_environment("SCHEDULES").unwrap_or(SCHEDULES);
    let first = from_environment("SCHEDULES_FROM").unwrap_or(0);
    let (next, failed) = (AtomicU64::new(first), AtomicBool::new(false));
    let (sums, failure) = (Mutex::new(Sums::default()), Mutex::new(None));
    let begun = Instant::now();
    let worker = || {
        let mut server = Server::start(ORIGINS).expect("a server");
        while !failed.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + number {
                return;
            }
            let schedule = Schedule::of(seed);
            let script = Script::of(&schedule);
            let departures = compare(&script, &mut server, BOUND);
            if departures.iter().any(|(_, departure)| departure.is_some()) {
                failed.store(true, Ordering::Relaxed);
                let report = report::smallest(&schedule, &mut server, departures);
                let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
                *failure = Some(format!("seed {seed}: {report}"));
                return;
            }
            sums.lock().unwrap_or_else(PoisonError::into_inner).add(&script);
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, Into::into).min(4) {
            scope.spawn(worker);
        }
    });
    let sums = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!(
        "{} schedules of {} acts, each played to three clients, in {:.1?}; {:?}; left out: {:?}",
        sums.schedules,
        sums.acts,
        begun.elapsed(),
        sums.counts,
        sums.left_out,
    );
    if let Some(failure) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        panic!("{failure}");
    }
    assert_eq!(sums.schedules, number);
    // Limits of time are an exception. All else that a pool counts has happened.
    let not_played =
        [CloseReason::IdleExpired, CloseReason::Timeout, CloseReason::ProtocolError];
    let not_played = not_played.map(CloseReason::as_str);
    for (word, count) in sums.counts.iter().filter(|(word, _)| !not_played.contains(word)) {
        assert!(*count > 0 || number < SCHEDULES, "expected {word} in so many schedules");
    }
}

impl Sums {
    fn add(&mut self, script: &Script) {
        self.schedules += 1;
        self.acts += script.steps.len();
        for exception in &script.left_out {
            *self.left_out.entry(*exception).or_default() += 1;
        }
        let stats = &script.end().stats;
        let reasons = CloseReason::ALL.map(|reason| (reason.as_str(), stats.closed(reason)));
        let counts =
            [("created", stats.created), ("reused", stats.reused), ("retried", stats.retried)];
        for (word, count) in counts.into_iter().chain(reasons) {
            *self.counts.entry(word).or_default() += count;
        }
    }
}

/// Plays a script to each client.
fn compare(script: &Script, server: &mut Server, bound: Duration) -> Departures {
    fn one<C: ApiClient>(
        script: &Script,
        server: &mut Server,
        bound: Duration,
    ) -> (&'static str, Option<Box<Departure>>) {
        let departure = play::<C>(script, server, bound).err();
        if departure.is_some() {
            // Connections of this client may wait at the old one.
            *server = Server::start(ORIGINS).expect("a server");
        }
        (C::STAGE, departure)
    }

    vec![
        one::<stage1_rotor::Client>(script, server, bound),
        one::<stage2_mio::Client>(script, server, bound),
        one::<stage3_tokio::Client>(script, server, bound),
    ]
}

fn from_environment(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("expected a number in {name}, not {value}")))
}

#[test]
fn the_book_names_each_exception() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../book/src/proof.md");
    let page = std::fs::read_to_string(page).expect("the page");
    for exception in Exception::ALL {
        let name = exception.name();
        assert!(page.contains(&format!("**{name}**")), "{name} is not on the page");
    }
}
