//! A hundred thousand requests over a server that fails in every way that a script can: each
//! answered once, by its own answer, and nothing left behind.
//!
//! Its rules: what is asked and what the server does follows from the seed and the request's number
//! ([`plan`]), so a run can be done again; each response is a function of its request's number, so
//! that no other's can pass for it; the server counts how often it received which request; a run
//! that stands still ends with what is known of it.

mod call;
mod census;
mod options;
mod plan;
mod server;
mod tally;

use std::{
    error::Error,
    io::{self, Write},
    sync::{Arc, mpsc::RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use client_core::{ApiClient, Config};
use futures::{StreamExt, executor::block_on, stream};
use testbed::certs;

pub(crate) use self::options::Options;
use self::{
    call::Caller,
    census::Census,
    plan::Seed,
    server::{Loopback, Server},
    tally::Tally,
};

type Failure = Box<dyn Error>;

/// Threads that call, each with its share of the calls.
const CALLERS: u64 = 4;
/// Calls at once, in each of those threads: many more than there are connections.
const AT_ONCE: usize = 64;
/// Connections in all, and to one origin.
const CONNECTIONS: usize = 64;
const PER_ORIGIN: usize = 48;
/// The longest time in which no call ends at all.
const STANDSTILL: Duration = Duration::from_secs(40);
/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(5);

/// Soaks the stages that the options name.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    if cfg!(debug_assertions) {
        say("A debug build: its times and its memory say nothing.")?;
    }
    #[cfg(unix)]
    if options.has_stage(1) {
        soak::<stage1_rotor::Client>(options)?;
    }
    if options.has_stage(2) {
        soak::<stage2_mio::Client>(options)?;
    }
    if options.has_stage(3) {
        soak::<stage3_tokio::Client>(options)?;
    }
    Ok(())
}

fn soak<C: ApiClient>(options: &Options) -> Result<(), Failure> {
    let (seed, requests) = (Seed(options.seed), options.requests);
    say(format!("{}: {requests} requests, --seed {}", C::STAGE, options.seed))?;
    let server = Server::start(seed, requests)?;
    let census = Census::take();
    let tally = Arc::new(Tally::default());
    let client = C::new(config())?;
    let begun = Instant::now();
    call_all(&client, options, &server, &tally)?;
    let took = begun.elapsed();
    block_on(client.close());
    let stats = client.stats();
    drop(client);
    let left = census.compare(&server);
    let memory = tally.memory_at_end();
    say(tally.report(took, &server, &stats, memory))?;
    left?;
    tally.verdict(&server, &stats, memory)?;
    server.finish();
    Ok(())
}

fn config() -> Config {
    Config::new()
        .max_per_origin(PER_ORIGIN)
        .max_total(CONNECTIONS)
        .max_idle_per_origin(PER_ORIGIN)
        .head_timeout(plan::SILENCE)
        .total_timeout(STANDSTILL)
        .body_window(16 * 1024)
        .tls(certs::trusting())
        .resolver(Loopback)
}

/// Makes all calls, on threads of their own, and shows how far they are.
fn call_all<C: ApiClient>(
    client: &C,
    options: &Options,
    server: &Server,
    tally: &Arc<Tally>,
) -> Result<(), Failure> {
    let until = options.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let (ended, end) = std::sync::mpsc::channel::<()>();
    let threads: Vec<_> = (0..CALLERS)
        .map(|first| {
            let caller = Caller::new(client.clone(), server, tally.clone());
            let (ended, requests) = (ended.clone(), options.requests);
            thread::spawn(move || {
                let _ended = ended; // dropped at the end of this thread, however it ends
                let ids = (first..requests).step_by(CALLERS as usize);
                let ids =
                    ids.take_while(move |_| until.is_none_or(|until| Instant::now() < until));
                let calls = stream::iter(ids).map(|id| caller.call(id));
                block_on(calls.buffer_unordered(AT_ONCE).for_each(async |()| {}));
            })
        })
        .collect();
    drop(ended);
    let (mut before, mut moved) = (0, Instant::now());
    while end.recv_timeout(PROGRESS) == Err(RecvTimeoutError::Timeout) {
        let done = tally.done();
        say(format!("  {done} of {} done; {}", options.requests, client.stats()))?;
        if done > before {
            (before, moved) = (done, Instant::now());
        } else if moved.elapsed() > STANDSTILL {
            return Err(format!("no call ended for {STANDSTILL:?}, at {done}").into());
        }
    }
    for thread in threads {
        thread.join().map_err(|_| "a thread of the callers panicked")?;
    }
    Ok(())
}

fn say(text: impl std::fmt::Display) -> Result<(), Failure> {
    Ok(writeln!(io::stdout(), "{text}")?)
}
