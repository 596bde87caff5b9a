//! Callers that share a client, on the executor that its users would take.
//!
//! Each caller makes one call after the other until none is left, as a worker of a real program
//! does: what is measured has no set-up for each call but the call's own.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use futures::{TryStreamExt, executor, stream::FuturesUnordered};
use http::Response;
use http_body_util::BodyExt;
use tokio::{runtime, task::JoinSet};

use super::{Check, Load, Subject};
use crate::Failure;

/// Makes single calls.
pub(super) trait Caller: Clone + Send + 'static {
    /// One call, whose answer is verified.
    fn call(&self) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Runs the callers.
pub(super) trait Executor {
    /// Runs all of them, until the last has ended.
    fn run<F>(&mut self, callers: impl Iterator<Item = F>) -> Result<(), Failure>
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static;
}

/// A client, its callers, and what runs them.
pub(super) struct Crew<C, E> {
    /// Dropped first: it may need the executor to end.
    caller: C,
    executor: E,
    callers: usize,
}

impl<C: Caller, E: Executor> Crew<C, E> {
    pub(super) fn new(caller: C, executor: E, load: &Load) -> Self {
        Crew { caller, executor, callers: load.callers }
    }
}

impl<C: Caller, E: Executor> Subject for Crew<C, E> {
    fn run(&mut self, calls: u64) -> Result<(), Failure> {
        let left = Arc::new(AtomicU64::new(calls));
        let callers = (0..self.callers).map(|_| until_none(self.caller.clone(), left.clone()));
        self.executor.run(callers)
    }
}

async fn until_none<C: Caller>(caller: C, left: Arc<AtomicU64>) -> Result<(), Failure> {
    let one_less = |left: u64| left.checked_sub(1);
    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
        caller.call().await?;
    }
    Ok(())
}

/// An answer as an `http` message, read and verified.
pub(super) async fn verify<B>(
    response: Response<B>,
    mut check: Check<'_>,
) -> Result<(), Failure>
where
    B: BodyExt<Data = Bytes, Error: Into<Failure>> + Unpin,
{
    let (head, mut body) = response.into_parts();
    while let Some(frame) = body.frame().await {
        if let Some(piece) = frame.map_err(Into::into)?.data_ref() {
            check.update(piece);
        }
    }
    check.end(head.status)
}

/// The executor for clients that have a thread of their own: the smallest there is, on the
/// caller's thread.
pub(super) struct Plain;

impl Executor for Plain {
    fn run<F>(&mut self, callers: impl Iterator<Item = F>) -> Result<(), Failure>
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        executor::block_on(all(callers))
    }
}

/// Stage 2's loop on the caller's thread.
impl Executor for stage2_mio::Driver {
    fn run<F>(&mut self, callers: impl Iterator<Item = F>) -> Result<(), Failure>
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.block_on(all(callers))?
    }
}

async fn all<F>(callers: impl Iterator<Item = F>) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    callers.collect::<FuturesUnordered<F>>().try_collect().await
}

/// A task for each caller, in the runtime that the client lives in.
impl Executor for runtime::Runtime {
    fn run<F>(&mut self, callers: impl Iterator<Item = F>) -> Result<(), Failure>
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.block_on(async {
            let mut tasks: JoinSet<_> = callers.collect();
            while let Some(ended) = tasks.join_next().await {
                ended??;
            }
            Ok(())
        })
    }
}

/// A runtime on the caller's thread.
pub(super) fn current_thread() -> Result<runtime::Runtime, Failure> {
    Ok(runtime::Builder::new_current_thread().enable_all().build()?)
}
