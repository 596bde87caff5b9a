//! The three clients do the same: generated conversations, held with each of them in turn.
//!
//! A conversation is a few requests over a pool of one connection, and for each of them what the
//! server does: any well-formed response, cut into pieces anywhere; or one with a byte changed, cut
//! off, followed by what nobody asked for, or by an end of the connection in good order or not.
//! What is seen of it has to be equal: what the caller got, head, body, trailers or kind of error,
//! over which connection; what the server received; what the pool counts, and why it closed
//! connections. Where a response is well-formed, it has to be the one that was sent.
//!
//! Its rules: each piece is sent after the one before was read, and each exchange begins after the
//! client has noticed how the last one ended, so that nothing depends on who is faster. That is
//! known on Linux only; elsewhere nothing is left out but the comparison of what depends on it.
//!
//! `PROPTEST_CASES` sets how many conversations there are.

#![cfg(unix)]

mod act;
mod reply;
mod request;
mod stage;
mod talk;

use std::{
    cell::Cell,
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use proptest::test_runner::{
    Config, FileFailurePersistence, TestCaseError, TestError, TestRunner,
};
use testbed::server::over_tls;

use self::{
    stage::{Seen, Theatre},
    talk::Talk,
};

/// Conversations, unless the environment says otherwise.
const TALKS: u32 = 150;

/// What has failed before: tried first.
const REGRESSIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/agree/regressions.txt");

#[test]
fn the_three_clients_agree() {
    agree(TALKS, Theatre::open());
}

#[test]
fn the_three_clients_agree_over_tls() {
    agree(TALKS / 3, over_tls(Theatre::open));
}

fn agree(talks: u32, theatre: Theatre) {
    let begun = Instant::now();
    let (held, exchanges) = (Cell::new(0), Cell::new(0));
    let result = TestRunner::new(config(talks)).run(&talk::any(), |talk| {
        held.set(held.get() + 1);
        exchanges.set(exchanges.get() + talk.exchanges.len());
        compare(&theatre, &talk)
    });
    println!(
        "{} exchanges in {} conversations, each held with three clients, in {:.1?}",
        exchanges.get(),
        held.get(),
        begun.elapsed()
    );
    match result {
        Ok(()) => theatre.close(),
        Err(TestError::Fail(why, talk)) => panic!("{why}\nin {talk:?}"),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

fn compare(theatre: &Theatre, talk: &Talk) -> Result<(), TestCaseError> {
    let held = catch_unwind(AssertUnwindSafe(|| {
        (
            theatre.hold::<stage1_rotor::Client>(talk),
            theatre.hold::<stage2_mio::Client>(talk),
            theatre.hold::<stage3_tokio::Client>(talk),
        )
    }));
    let (first, second, third) = held.map_err(|panic| TestCaseError::fail(words(&*panic)))?;
    same("stages 1 and 2", &first, &second)?;
    same("stages 2 and 3", &second, &third)?;
    talk.check(&third.answers).map_err(TestCaseError::fail)
}

fn config(talks: u32) -> Config {
    let default = Config::default();
    Config {
        cases: env::var_os("PROPTEST_CASES").map_or(talks, |_| default.cases),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(REGRESSIONS))),
        // A client that hangs does so for the bound of every try.
        max_shrink_time: 60_000,
        ..default
    }
}

/// # Errors
///
/// With what differs.
fn same(who: &str, one: &Seen, other: &Seen) -> Result<(), TestCaseError> {
    if one == other {
        return Ok(());
    }
    let (one, other) = (format!("{one:#?}"), format!("{other:#?}"));
    let lines = one.lines().zip(other.lines()).filter(|(one, other)| one != other);
    let lines: Vec<_> = lines.map(|(one, other)| format!("{one}  |{other}")).take(20).collect();
    Err(TestCaseError::fail(format!("{who} differ:\n{}", lines.join("\n"))))
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panicked").to_owned()
}
