//! A small comparison of the three stages, in this process, without a further build.
//!
//! Its rules: the stages take turns right after one another, so that a mood of the machine meets all
//! of them; each answer is verified; what it cannot say is said.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use bytes::Bytes;
use client_core::{ApiClient, Config};
use futures::{executor::block_on, future::try_join_all};
use http::StatusCode;
use testbed::{Server, api};

use crate::{
    run,
    screen::{self, Strong, say},
};

type Failure = Box<dyn Error>;

/// The numbers of callers, who all call at once.
const CALLERS: [usize; 2] = [1, 64];

/// How many turns each stage has, with each number of callers.
const ROUNDS: usize = 5;

/// How long a turn takes.
const TURN: Duration = Duration::from_millis(60);

/// A stage: its name, and a turn of it that gives calls per second.
struct Subject {
    name: &'static str,
    turn: Box<dyn Fn(usize) -> Result<f64, Failure>>,
}

/// Lets the stages take turns, and prints their rates.
///
/// # Errors
///
/// A call that failed, or an answer that is not the right one.
pub(crate) fn all() -> Result<(), Failure> {
    let server = api::start_on(0, false)?;
    let subjects = [
        #[cfg(unix)]
        subject::<stage1_rotor::Client>(&server)?,
        subject::<stage2_mio::Client>(&server)?,
        subject::<stage3_tokio::Client>(&server)?,
    ];
    let rates = screen::during("Comparing the stages", || measure(&subjects))?;
    say(format_args!(
        "{}, calls per second; the median of {ROUNDS} turns",
        Strong("Side by side")
    ))?;
    run::say_if_debug()?;
    say(format_args!("  {:<16}{:>12}{:>14}", "", "one caller", "64 callers"))?;
    for (subject, [one, many]) in subjects.iter().zip(rates) {
        say(format_args!("  {:<16}{one:>12.0}{many:>14.0}", subject.name))?;
    }
    say(
        "  Client and server share this process and its processors: a first look. For figures,\n  \
         with hyper-util and reqwest beside them and into your copy of the book:\n  \
         cargo run --release -- bench --quick",
    )
}

fn measure(subjects: &[Subject]) -> Result<Vec<[f64; 2]>, Failure> {
    let mut rates = vec![[const { Vec::new() }; 2]; subjects.len()];
    for round in 1..=ROUNDS {
        for (n, callers) in CALLERS.into_iter().enumerate() {
            for (subject, rates) in subjects.iter().zip(&mut rates) {
                screen::tell(&format!("turn {round} of {ROUNDS}, {}", subject.name));
                rates[n].push((subject.turn)(callers)?);
            }
        }
    }
    Ok(rates.into_iter().map(|rates| rates.map(median)).collect())
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn subject<C: ApiClient>(server: &Server) -> Result<Subject, Failure> {
    let most = CALLERS[1];
    let client = C::new(Config::new().max_per_origin(most).max_idle_per_origin(most))?;
    let url = server.url("/quotes/7");
    // What the others are compared with. It makes the first connection too.
    let (_, expected, _) = block_on(run::fetch(&client, &url))?;
    let turn = move |callers| turn(&client, &url, &expected, callers);
    Ok(Subject { name: C::STAGE, turn: Box::new(turn) })
}

/// Calls for as long as a turn takes, and gives the rate.
fn turn<C: ApiClient>(
    client: &C,
    url: &str,
    expected: &Bytes,
    callers: usize,
) -> Result<f64, Failure> {
    let begun = Instant::now();
    let caller = || async {
        let mut calls = 0;
        while begun.elapsed() < TURN {
            let (status, body, _) = run::fetch(client, url).await?;
            if status != StatusCode::OK || body != *expected {
                return Err(Failure::from(format!("{status} and {} bytes", body.len())));
            }
            calls += 1;
        }
        Ok(calls)
    };
    let calls: Vec<i32> = block_on(try_join_all((0..callers).map(|_| caller())))?;
    Ok(f64::from(calls.iter().sum::<i32>()) / begun.elapsed().as_secs_f64())
}
