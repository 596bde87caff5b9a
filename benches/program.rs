//! The other things that the comparison's program can be asked for, by its first argument.
//!
//! - `serve`: the server (`server`);
//! - `load SUBJECT CALLERS CALLS ADDRESS`: those calls to a server that runs, and nothing else, for a
//!   tool that counts what a process does. The difference of two lengths is free of what starting costs;
//! - `rounds CALLERS ROUNDS MILLISECONDS`: every subject for so long, in turn, so many times over.
//!   Ratios within a round are what can be quoted; the spread between rounds says how well. Prints JSON.

use std::{
    env,
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    Failure,
    machine::{self, Side, pin},
    server::{self, Server},
    subjects::{ALL, Entry, Load, Subject},
};

/// What the first argument asks for.
pub(crate) enum Part {
    Serve,
    Load { subject: &'static Entry, callers: usize, calls: u64, addr: SocketAddr },
    Rounds { callers: usize, rounds: usize, each: Duration },
}

/// What the command line asks for, unless it is criterion's.
///
/// # Errors
///
/// If the arguments of a part are not what it expects.
pub(crate) fn asked() -> Result<Option<Part>, Failure> {
    let args: Vec<_> = env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    Ok(Some(match args[..] {
        [server::SERVE] => Part::Serve,
        ["load", name, callers, calls, addr] => Part::Load {
            subject: Entry::named(name).ok_or_else(|| format!("no subject {name}"))?,
            callers: callers.parse()?,
            calls: calls.parse()?,
            addr: addr.parse()?,
        },
        ["rounds", callers, rounds, each] => Part::Rounds {
            callers: callers.parse()?,
            rounds: rounds.parse()?,
            each: Duration::from_millis(each.parse()?),
        },
        _ => return Ok(None),
    }))
}

impl Part {
    /// Does it.
    ///
    /// # Errors
    ///
    /// The system's, and those of the calls.
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self {
            Part::Serve => server::serve(),
            Part::Load { subject, callers, calls, addr } => {
                pin(Side::Client);
                subject.start(&Load::small(addr, callers))?.run(calls)
            }
            Part::Rounds { callers, rounds, each } => in_turn(callers, rounds, each),
        }
    }
}

/// Every subject in turn, again and again.
fn in_turn(callers: usize, rounds: usize, each: Duration) -> Result<(), Failure> {
    // First the server, which has to find the processors that are not ours.
    let server = Server::start()?;
    let pinned = pin(Side::Client);
    let load = Load::small(server.addr, callers);
    let mut all = Vec::new();
    for entry in ALL.iter().filter(|entry| (entry.fits)(&load)) {
        all.push((entry.name, entry.start(&load)?, Vec::new()));
    }
    for round in 0..rounds {
        // Each round begins with another one, so that nobody always follows the same.
        all.rotate_left(usize::from(round > 0));
        for (_, subject, rates) in &mut all {
            rates.push(rate(&mut **subject, callers as u64, each)?);
        }
    }
    all.sort_by_key(|(name, ..)| ALL.iter().position(|entry| entry.name == *name));
    let rates: Vec<_> =
        all.iter().map(|(name, _, rates)| json!({ "subject": name, "rates": rates })).collect();
    let machine = machine::describe(pinned);
    println!("{}", json!({ "callers": callers, "machine": machine, "subjects": rates }));
    Ok(())
}

/// Calls per second, measured for about as long as is asked for.
fn rate(subject: &mut dyn Subject, callers: u64, about: Duration) -> Result<f64, Failure> {
    let begun = Instant::now();
    let (mut calls, mut piece) = (0, callers * 8);
    loop {
        subject.run(piece)?;
        calls += piece;
        let took = begun.elapsed();
        if took >= about {
            return Ok(calls as f64 / took.as_secs_f64());
        }
        // Long pieces, since callers begin and end with each; and no longer than what is left.
        let left = (about - took).as_secs_f64() / took.as_secs_f64() * calls as f64;
        piece = (left as u64).clamp(callers, calls * 4);
    }
}
