//! Heap allocations per call, counted by the allocator of this program: `cargo bench --bench counters`.
//!
//! These are the same on every machine and in every mood of it. They are counted in a program of
//! their own, since counting costs time; callers and everything that a client does on other
//! threads are included. System calls and instructions are counted from outside, by
//! `cargo run --release -- bench`.

#![forbid(unsafe_code)]

#[expect(dead_code, reason = "the counters need one of the two sides")]
mod machine;
mod replay;
mod server;
#[expect(dead_code, reason = "the counters ask for small answers only")]
mod subjects;

use std::{alloc::System, env, process::ExitCode};

use serde_json::json;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use self::{
    server::Server,
    subjects::{ALL, Entry, Load},
};

/// What ends a count: a subject that failed, or the system.
type Failure = Box<dyn std::error::Error + Send + Sync>;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Callers at once.
const CALLERS: usize = 16;

/// Calls that are counted: enough that what happens now and then disappears.
const CALLS: u64 = 20_000;

/// What a call takes from the heap.
struct Count {
    allocations: f64,
    bytes: f64,
}

fn main() -> ExitCode {
    let args: Vec<_> = env::args().skip(1).collect();
    let done = match args.first().map(String::as_str) {
        Some(server::SERVE) => server::serve(),
        Some("--json") => as_json(),
        // The name of a measurement, which only criterion has.
        _ if args.iter().any(|arg| !arg.starts_with('-')) => Ok(()),
        _ => as_table(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("counters: {error}");
            ExitCode::FAILURE
        }
    }
}

fn count(entry: &Entry, load: &Load) -> Result<Count, Failure> {
    let mut subject = entry.start(load)?;
    let region = Region::new(ALLOCATOR);
    subject.run(CALLS)?;
    let change = region.change();
    let per_call = |count: usize| count as f64 / CALLS as f64;
    Ok(Count {
        allocations: per_call(change.allocations + change.reallocations),
        bytes: per_call(change.bytes_allocated),
    })
}

/// Those that can serve so many callers, each with its count.
fn counts() -> Result<Vec<(&'static str, Count)>, Failure> {
    let server = Server::start()?;
    let load = Load::small(server.addr, CALLERS);
    let fit = ALL.iter().filter(|entry| (entry.fits)(&load));
    fit.map(|entry| Ok((entry.name, count(entry, &load)?))).collect()
}

fn as_json() -> Result<(), Failure> {
    let counts = counts()?;
    let rows: Vec<_> = counts
        .iter()
        .map(|(name, count)| {
            json!({ "subject": name, "allocations": count.allocations, "bytes": count.bytes })
        })
        .collect();
    println!("{}", json!({ "callers": CALLERS, "calls": CALLS, "subjects": rows }));
    Ok(())
}

fn as_table() -> Result<(), Failure> {
    println!("heap, per small call with {CALLERS} callers");
    for (name, count) in counts()? {
        println!(
            "{name:<28} {:>6.2} allocations {:>9.1} bytes",
            count.allocations, count.bytes
        );
    }
    Ok(())
}
