//! The pool and its callers, under every interleaving (loom).
//!
//! Client, job, pool and a slot's task are the client's own files. Below them stand parts of this
//! file: connections without a socket, and threads of loom's in place of a runtime. The pool's
//! lock is loom's. tokio's channels are tokio's own; each of their steps is taken as one, before
//! which any other thread may run. A thread that would wait for ever ends the test.

#[path = "../src/client.rs"]
#[allow(dead_code, unreachable_pub)] // what is public there is not here
mod client;
#[path = "../src/job.rs"]
#[allow(dead_code)]
mod job;
#[path = "../src/pool.rs"]
mod pool;
#[path = "../src/serving.rs"]
mod serving;

use std::{
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use bytes::Bytes;
use client_core::{Body, Config, Error, ErrorKind, PoolStats, RuntimeChoice};
use http::{Request, Response};
use http_body_util::Full;
use loom::{model::Builder, thread};

use self::{
    client::Client,
    parts::{Outcome, Parts, World},
};

// ===== what stands below the files of the client =====

mod sync {
    use std::{
        pin::Pin,
        task::{Context, Poll},
    };

    pub(crate) use loom::sync::{Mutex, MutexGuard};
    use tokio_util::task::task_tracker::{TaskTrackerToken, TrackedFuture};

    use super::Steps;

    /// tokio's, and a step of the model before each of its own.
    pub(crate) struct Notify {
        inner: tokio::sync::Notify,
        steps: Steps,
    }

    impl Notify {
        pub(crate) fn new() -> Self {
            Notify { inner: tokio::sync::Notify::new(), steps: Steps::new() }
        }

        pub(crate) fn notified(&self) -> impl Future<Output = ()> {
            self.steps.step();
            self.inner.notified()
        }

        pub(crate) fn notify_waiters(&self) {
            self.steps.step();
            self.inner.notify_waiters();
        }
    }

    /// tokio's, and a step of the model before each of its own.
    #[derive(Clone)]
    pub(crate) struct TaskTracker {
        inner: tokio_util::task::TaskTracker,
        steps: Steps,
    }

    impl TaskTracker {
        pub(crate) fn new() -> Self {
            TaskTracker { inner: tokio_util::task::TaskTracker::new(), steps: Steps::new() }
        }

        pub(crate) fn token(&self) -> TaskTrackerToken {
            self.steps.step();
            self.inner.token()
        }

        pub(crate) fn track_future<F: Future>(&self, future: F) -> TrackedFuture<F> {
            self.steps.step();
            self.inner.track_future(future)
        }

        pub(crate) fn close(&self) {
            self.steps.step();
            self.inner.close();
        }

        pub(crate) async fn wait(&self) {
            self.steps.step();
            self.inner.wait().await;
        }
    }

    /// tokio's, and a step of the model before each of its own, drops included.
    pub(crate) mod oneshot {
        use tokio::sync::oneshot as inner;

        use super::*;

        pub(crate) struct Sender<T> {
            steps: Steps,
            inner: inner::Sender<T>,
        }

        pub(crate) struct Receiver<T> {
            steps: Steps,
            inner: inner::Receiver<T>,
        }

        pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
            let (sender, receiver) = inner::channel();
            let steps = Steps::new();
            let sender = Sender { steps: steps.clone(), inner: sender };
            (sender, Receiver { steps, inner: receiver })
        }

        impl<T> Sender<T> {
            pub(crate) fn send(self, value: T) -> Result<(), T> {
                self.steps.step();
                self.inner.send(value)
            }

            pub(crate) fn is_closed(&self) -> bool {
                self.steps.step();
                self.inner.is_closed()
            }

            pub(crate) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
                self.steps.step();
                self.inner.poll_closed(cx)
            }
        }

        impl<T> Receiver<T> {
            pub(crate) fn close(&mut self) {
                self.steps.step();
                self.inner.close();
            }

            /// For the tests of the pool's policy.
            pub(crate) fn try_recv(&mut self) -> Result<T, inner::error::TryRecvError> {
                self.inner.try_recv()
            }
        }

        impl<T> Future for Receiver<T> {
            type Output = Result<T, inner::error::RecvError>;

            fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
                self.steps.step();
                Pin::new(&mut self.inner).poll(cx)
            }
        }
    }
}

mod runtime {
    use client_core::{Error, RuntimeChoice};
    use loom::{
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        thread::{self, JoinHandle},
    };

    use super::{block_on, sync::TaskTracker};

    /// Each task is a thread. After the end of a runtime of the client's own it is dropped instead.
    pub(crate) struct Handle {
        ended: Arc<AtomicBool>,
    }

    impl Handle {
        pub(crate) fn spawn<F>(&self, future: F) -> JoinHandle<()>
        where
            F: Future + Send + 'static,
        {
            if self.ended.load(Ordering::SeqCst) {
                drop(future);
                return thread::spawn(|| {});
            }
            thread::spawn(move || drop(block_on(future)))
        }
    }

    /// No call has a limit of time here, so none is made.
    pub(crate) struct AbortOnDropHandle<T> {
        _handle: JoinHandle<T>,
    }

    impl<T> AbortOnDropHandle<T> {
        pub(crate) fn new(_handle: JoinHandle<T>) -> Self {
            AbortOnDropHandle { _handle }
        }
    }

    pub(crate) fn choose(choice: RuntimeChoice, tasks: &TaskTracker) -> Result<Handle, Error> {
        let ended = Arc::new(AtomicBool::new(false));
        if choice == RuntimeChoice::Own {
            let (end, tasks) = (ended.clone(), tasks.clone());
            thread::spawn(move || {
                block_on(tasks.wait());
                end.store(true, Ordering::SeqCst);
            });
        }
        Ok(Handle { ended })
    }
}

mod timer {
    use std::time::Duration;

    use tokio::time::Instant;

    /// Nothing here ends by time.
    pub(crate) fn after(_: Duration) -> Instant {
        Instant::now()
    }
}

mod tls {
    use std::convert::Infallible;

    use client_core::{Error, Origin};

    pub(crate) struct Security;

    impl Security {
        pub(crate) fn new(_: client_core::Tls, _: Option<Infallible>) -> Self {
            Security
        }

        pub(crate) fn check(&self, _: &Origin) -> Result<(), Error> {
            Ok(())
        }
    }
}

mod parts {
    use std::{collections::VecDeque, convert::Infallible, sync::Arc, task::Waker};

    use loom::sync::Mutex;

    /// What comes of a connect.
    #[derive(Clone, Copy)]
    pub(crate) enum Outcome {
        Connects,
        Fails,
        /// It does not end by itself.
        Hangs,
    }

    #[derive(Default)]
    pub(crate) struct Parts {
        pub(crate) dial: Option<Arc<World>>,
        pub(crate) secure: Option<Infallible>,
    }

    impl Parts {
        pub(crate) fn new() -> Self {
            Self::default()
        }
    }

    /// The other side.
    pub(crate) struct World {
        /// What comes of the next connects; all others succeed.
        pub(crate) outcomes: Mutex<VecDeque<Outcome>>,
        /// The end of the first connection.
        pub(crate) end: Mutex<End>,
    }

    #[derive(Default)]
    pub(crate) struct End {
        pub(crate) has_come: bool,
        pub(crate) waker: Option<Waker>,
    }

    impl World {
        pub(crate) fn new(outcomes: &[Outcome]) -> Arc<Self> {
            let outcomes = Mutex::new(outcomes.iter().copied().collect());
            Arc::new(World { outcomes, end: Mutex::default() })
        }

        /// Ends the first connection.
        pub(crate) fn end_first(&self) {
            let mut end = self.end.lock().unwrap();
            end.has_come = true;
            let waker = end.waker.take();
            drop(end);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

mod transport {
    use std::sync::Arc;

    use super::parts::World;

    pub(crate) trait Transport {
        fn world(&self) -> &World;
    }

    pub(crate) struct Stream(pub(crate) Arc<World>);

    impl Transport for Stream {
        fn world(&self) -> &World {
            &self.0
        }
    }
}

mod connect {
    use std::{future::pending, sync::Arc};

    use client_core::{Config, Error, Origin};

    use super::{
        parts::{Outcome, World},
        tls::Security,
        transport::Stream,
    };

    pub(crate) struct Links {
        pub(crate) dial: Option<Arc<World>>,
        pub(crate) security: Security,
    }

    pub(crate) async fn connect(
        origin: &Origin,
        _: &Config,
        links: &Links,
    ) -> Result<Stream, Error> {
        let world = links.dial.clone().expect("a world");
        let outcome = world.outcomes.lock().unwrap().pop_front();
        match outcome.unwrap_or(Outcome::Connects) {
            Outcome::Connects => Ok(Stream(world)),
            Outcome::Fails => {
                let attempts = Arc::new([]);
                Err(Error::Connect { origin: origin.to_string().into(), attempts })
            }
            Outcome::Hangs => pending().await,
        }
    }
}

mod connection {
    use std::{
        sync::Arc,
        task::{Context, Poll},
        time::Duration,
    };

    use client_core::{
        CloseReason, Config, Error, Exchange, TimeoutPhase,
        decode::{BodyLength, Head},
    };
    use tokio::time::Instant;

    use super::{job::Job, transport::Transport};

    /// A connection that answers at once, if it has not ended.
    pub(crate) struct Connection<T> {
        stream: T,
        number: u64,
        exchanges: u64,
    }

    pub(crate) struct End {
        result: Result<(), Error>,
        pub(crate) close: Option<CloseReason>,
        pub(crate) retry: bool,
    }

    impl End {
        fn failed(close: CloseReason, retry: bool) -> Self {
            let error = Error::ClosedEarly { expected: "a response", source: None };
            End { result: Err(error), close: Some(close), retry }
        }

        pub(crate) fn stale(reason: CloseReason) -> Self {
            End::failed(reason, true)
        }

        pub(crate) fn tell(self, job: Box<Job>) {
            match self.result {
                Ok(()) => job.finish(None),
                Err(error) => job.fail(error),
            }
        }
    }

    impl<T: Transport> Connection<T> {
        pub(crate) fn new(stream: T, number: u64, _: Arc<Config>) -> Self {
            Connection { stream, number, exchanges: 0 }
        }

        pub(crate) fn is_used(&self) -> bool {
            self.exchanges > 0
        }

        pub(crate) fn ended_meanwhile(&mut self) -> Option<CloseReason> {
            let ended = self.number == 1 && self.stream.world().end.lock().unwrap().has_come;
            ended.then_some(CloseReason::PeerClosed)
        }

        pub(crate) fn rest(&mut self) -> Duration {
            Duration::ZERO
        }

        pub(crate) fn poll_idle(
            &mut self,
            cx: &mut Context<'_>,
            _: Instant,
        ) -> Poll<CloseReason> {
            if self.number != 1 {
                return Poll::Pending;
            }
            let mut end = self.stream.world().end.lock().unwrap();
            if end.has_come {
                return Poll::Ready(CloseReason::PeerClosed);
            }
            end.waker = Some(cx.waker().clone());
            Poll::Pending
        }

        pub(crate) async fn exchange(&mut self, job: &mut Job) -> End {
            let reused = self.is_used();
            let attempts = job.exchange.attempts + 1;
            self.exchanges += 1;
            job.exchange = Exchange { connection: self.number, reused, attempts };
            if let Some(reason) = self.ended_meanwhile() {
                return End::failed(reason, reused && attempts == 1);
            }
            if job.is_cancelled() {
                return End::failed(CloseReason::Cancelled, false);
            }
            job.head(Head {
                status: http::StatusCode::OK,
                version: http::Version::HTTP_11,
                headers: http::HeaderMap::new(),
                length: BodyLength::Exact(0),
            });
            End { result: Ok(()), close: None, retry: false }
        }

        pub(crate) fn close(self) {}
    }

    pub(crate) fn timed_out(phase: TimeoutPhase, config: &Config) -> Error {
        Error::Timeout { phase, after: config.connect_timeout }
    }
}

// ===== the model checker =====

thread_local! {
    /// Whether loom explores: the tests of the pool's policy, which come along with it, run without.
    static EXPLORING: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Steps on one thing that threads share: loom tries them in every order.
#[derive(Clone)]
struct Steps(Option<loom::sync::Arc<loom::sync::atomic::AtomicUsize>>);

impl Steps {
    fn new() -> Self {
        Steps(EXPLORING.get().then(Default::default))
    }

    fn step(&self) {
        if let Some(steps) = &self.0 {
            steps.fetch_add(1, loom::sync::atomic::Ordering::SeqCst);
        }
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.step();
        }
    }
}

/// What wakes a thread that waits for a future.
struct Bell(loom::sync::Arc<loom::sync::Notify>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let bell = loom::sync::Arc::new(loom::sync::Notify::new());
    let waker = Waker::from(Arc::new(Bell(bell.clone())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        bell.wait();
    }
}

fn explore(model: impl Fn() + Send + Sync + 'static) {
    // A task that waits for a limit makes a timer, though none is ever polled here.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = runtime.enter();
    EXPLORING.set(true);
    let mut builder = Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
    EXPLORING.set(false);
}

// ===== the models =====

/// A client of one connection.
fn client_of_one(world: &Arc<World>) -> Client {
    client_on(RuntimeChoice::Current, world)
}

fn client_on(runtime: RuntimeChoice, world: &Arc<World>) -> Client {
    let parts = Parts { dial: Some(world.clone()), secure: None };
    Client::with_parts(Config::new().max_per_origin(1).runtime(runtime), parts).unwrap()
}

/// A call that has been accepted.
struct Call {
    future: Pin<Box<client::ResponseFuture>>,
    /// What it said at its first poll.
    polled: Poll<Result<Response<Body>, Error>>,
}

impl Call {
    fn result(self) -> Result<Response<Body>, Error> {
        match self.polled {
            Poll::Ready(result) => result,
            Poll::Pending => block_on(self.future),
        }
    }

    /// Which connection answered, and at which attempt.
    fn answer(self) -> (u64, u32) {
        let exchange = self.result().expect("a response").into_body().exchange();
        (exchange.connection, exchange.attempts)
    }
}

fn begin(client: &Client) -> Call {
    let request = Request::get("http://a/").body(Full::<Bytes>::default()).unwrap();
    let mut future = Box::pin(client.request(request));
    let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    Call { future, polled }
}

/// Closes the client, which must end, and leave nothing.
fn end(client: &Client) -> PoolStats {
    block_on(client.close());
    let stats = client.stats();
    assert_eq!((stats.open, stats.connecting, stats.waiting), (0, 0, 0));
    assert_eq!(stats.created, stats.closed_in_all());
    stats
}

#[test]
fn a_freed_connection_passes_over_a_caller_that_gives_up() {
    explore(|| {
        let client = client_of_one(&World::new(&[]));
        let [first, second, third] = [(); 3].map(|()| begin(&client));
        drop(second);
        first.answer();
        third.answer();
        end(&client);
    });
}

#[test]
fn callers_on_two_threads_share_a_connection() {
    explore(|| {
        let client = client_of_one(&World::new(&[]));
        let other = {
            let client = client.clone();
            thread::spawn(move || begin(&client).answer())
        };
        assert_eq!(begin(&client).answer(), (1, 1));
        assert_eq!(other.join().unwrap(), (1, 1));
        let stats = end(&client);
        assert_eq!((stats.created, stats.reused), (1, 1));
    });
}

#[test]
fn an_idle_connection_that_dies_and_a_request_meet_once() {
    explore(|| {
        let world = World::new(&[]);
        let client = client_of_one(&world);
        begin(&client).answer();
        let peer = thread::spawn(move || world.end_first());
        // Before the end, or on another connection: there it waits for it, or is sent again.
        let (connection, attempts) = begin(&client).answer();
        assert!(matches!((connection, attempts), (1, 1) | (2, 1 | 2)));
        peer.join().unwrap();
        let stats = end(&client);
        assert!(stats.retried < connection && u64::from(attempts - 1) <= stats.retried);
    });
}

#[test]
fn a_chain_that_fails_meets_a_caller_that_gives_up() {
    explore(|| {
        let client = client_of_one(&World::new(&[Outcome::Fails]));
        let [first, second] = [(); 2].map(|()| begin(&client));
        drop(first);
        // Whoever the first chain was for by then, this one was never promised it.
        assert_eq!(second.answer(), (1, 1));
        end(&client);
    });
}

#[test]
fn a_request_meets_the_end_of_its_client() {
    for (idle, runtime) in [(false, RuntimeChoice::Own), (true, RuntimeChoice::Current)] {
        explore(move || {
            let client = client_on(runtime, &World::new(&[]));
            if idle {
                begin(&client).answer();
            }
            let other = {
                let client = client.clone();
                thread::spawn(move || match begin(&client) {
                    Call { polled: Poll::Ready(Err(refused)), .. } => {
                        assert_eq!(refused.kind(), ErrorKind::ShutDown);
                    }
                    accepted => _ = accepted.answer(),
                })
            };
            end(&client);
            other.join().unwrap();
            end(&client);
        });
    }
}

#[test]
fn a_chain_ends_with_the_last_caller_of_a_closed_client() {
    explore(|| {
        let client = client_of_one(&World::new(&[Outcome::Hangs]));
        let call = begin(&client);
        let caller = thread::spawn(move || drop(call));
        end(&client);
        caller.join().unwrap();
    });
}
