//! The comparison: `cargo bench`, or `cargo bench -- --quick`.
//!
//! A group of measurements answers one question, the three stages beside their peers and the
//! floors; its number is how many callers there are at once. Criterion's report has a plot for each
//! group, under `criterion/` in cargo's target folder.
//!
//! Its rules: the server is a process of its own, and where the system allows it both sides have
//! their own processors (`machine`): the server all but one, a client, with every thread that it
//! makes, that one; every subject has the same server, limits and paths, is warm, and has each of its
//! answers verified (`subjects`); for each number of callers the subjects take turns right after
//! one another, so that a mood of the machine meets all of them.
//!
//! The same program is the server, and what the counters run (`program`).

#![forbid(unsafe_code)]

mod machine;
mod program;
mod replay;
mod server;
mod subjects;

use std::{
    env,
    net::SocketAddr,
    process::ExitCode,
    time::{Duration, Instant},
};

use criterion::{Bencher, BenchmarkId, Criterion, SamplingMode, Throughput};

use self::{
    machine::{Side, pin, unpin},
    server::Server,
    subjects::{ALL, Entry, Load},
};

/// What ends a comparison: a subject that failed, or the system.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The length of a large body.
const MIB: usize = 1 << 20;

/// Connections of a pool that is small for its callers.
const SMALL_POOL: usize = 8;

/// A question.
struct Group {
    name: &'static str,
    load: fn(SocketAddr, usize) -> Load,
    /// How many callers at once.
    callers: &'static [usize],
    /// What one call brings, for the rate; `None` if its time alone is of interest.
    call: Option<Throughput>,
}

const GROUPS: &[Group] = &[
    Group {
        name: "small answers",
        load: Load::small,
        callers: &[1, 16, 64, 256],
        call: Some(Throughput::Elements(1)),
    },
    Group { name: "latency of one call", load: Load::small, callers: &[1], call: None },
    Group {
        name: "1 MiB bodies",
        load: |addr, callers| Load::bytes(addr, MIB, callers),
        callers: &[1, 8],
        call: Some(Throughput::Bytes(MIB as u64)),
    },
    Group {
        name: "1 MiB bodies, chunked",
        load: |addr, callers| Load::chunked(addr, MIB, callers),
        callers: &[1, 8],
        call: Some(Throughput::Bytes(MIB as u64)),
    },
    Group {
        name: "cold connections",
        load: Load::cold,
        callers: &[1, 16],
        call: Some(Throughput::Elements(1)),
    },
    Group {
        name: "many callers, 8 connections",
        load: |addr, callers| Load::small(addr, callers).on_connections(SMALL_POOL),
        callers: &[64, 256],
        call: Some(Throughput::Elements(1)),
    },
];

fn main() -> ExitCode {
    let result = program::asked().and_then(|part| match part {
        Some(part) => part.run(),
        None => compare(),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare() -> Result<(), Failure> {
    if !pin(Side::Client) {
        eprintln!("compare: this system does not pin: client and server share its processors");
    }
    unpin();
    let server = Server::start()?;
    let mut criterion = settings(env::args().any(|arg| arg == "--quick")).configure_from_args();
    for group in GROUPS {
        group.measure(&mut criterion, server.addr);
    }
    criterion.final_summary();
    Ok(())
}

/// How long criterion measures: minutes for all groups, of which a fifth is its own calculations.
fn settings(quick: bool) -> Criterion {
    let (milliseconds, resamples) = if quick { (300, 1_000) } else { (1_500, 20_000) };
    Criterion::default()
        .sample_size(20)
        .nresamples(resamples)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_millis(milliseconds))
}

impl Group {
    fn measure(&self, criterion: &mut Criterion, addr: SocketAddr) {
        let mut group = criterion.benchmark_group(self.name);
        group.sampling_mode(SamplingMode::Flat);
        for &callers in self.callers {
            // An iteration is a call by each caller, so that all work in the shortest one too.
            match self.call {
                Some(Throughput::Bytes(bytes)) => {
                    group.throughput(Throughput::Bytes(bytes * callers as u64));
                }
                Some(_) => {
                    group.throughput(Throughput::Elements(callers as u64));
                }
                None => {}
            }
            let load = (self.load)(addr, callers);
            for entry in ALL.iter().filter(|entry| (entry.fits)(&load)) {
                let id = BenchmarkId::new(entry.name, callers);
                group
                    .bench_with_input(id, &load, |bencher, load| measure(bencher, entry, load));
            }
        }
        group.finish();
    }
}

/// Starts a subject, which the filter of the command line has chosen, and measures it.
fn measure(bencher: &mut Bencher<'_>, entry: &Entry, load: &Load) {
    // Only here, since criterion's own threads may use the whole machine.
    pin(Side::Client);
    let mut subject = succeeded(entry, entry.start(load));
    bencher.iter_custom(|iterations| {
        let begun = Instant::now();
        succeeded(entry, subject.run(iterations * load.callers as u64));
        begun.elapsed()
    });
    unpin();
}

/// What came of a call.
///
/// # Panics
///
/// If it failed: then there is nothing to compare.
fn succeeded<T>(entry: &Entry, result: Result<T, Failure>) -> T {
    result.unwrap_or_else(|error| panic!("{}: {error}", entry.name))
}
