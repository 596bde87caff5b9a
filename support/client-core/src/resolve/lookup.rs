//! One lookup, and those who wait for it.

use std::{
    error::Error as StdError,
    fmt, io, mem,
    net::IpAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, Waker, ready},
};

use slab::Slab;

use super::{Name, Resolver, Resolving, lock};

/// What a lookup brings, for each asker a clone.
type Answer = Result<Vec<IpAddr>, Arc<io::Error>>;

/// One lookup. Its askers keep it alive, and so does the thread that runs it.
pub(super) struct Lookup {
    host: Arc<str>,
    source: Mutex<Source>,
    /// Apart from the lookup: a user's future keeps a waker of them, and must not keep itself.
    askers: Arc<Askers>,
}

/// Where the answer comes from.
pub(super) enum Source {
    /// The user's resolver, which the first poll asks: outside every lock, since it is foreign code.
    Unasked(Arc<dyn Resolver>, Name),
    Asked(Resolving),
    /// An asker is polling the user's future at this moment.
    Polled,
    /// A thread, or the queue for one.
    Blocking,
    Answered(Answer),
}

/// Where the askers are woken, each at its index.
#[derive(Default)]
struct Askers(Mutex<Slab<Option<Waker>>>);

/// The future of one asker.
pub(super) struct Asker {
    /// `None` once the asker has the answer.
    lookup: Option<Arc<Lookup>>,
    index: usize,
}

/// An error that several askers got.
#[derive(Debug)]
struct Shared(Arc<io::Error>);

// ===== impl Lookup =====

impl Lookup {
    /// A lookup with its first asker.
    pub(super) fn begin(name: &Name, source: Source) -> (Arc<Self>, Asker) {
        let lookup = Arc::new(Lookup {
            host: name.host.clone(),
            source: Mutex::new(source),
            askers: Arc::default(),
        });
        (lookup.clone(), Asker::of(lookup))
    }

    /// The name, for a thread that looks it up.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// The thread has the answer. Only the first answer counts.
    pub(super) fn finish(&self, answer: io::Result<Vec<IpAddr>>) {
        let mut source = lock(&self.source);
        if !matches!(*source, Source::Answered(_)) {
            *source = Source::Answered(check(answer));
            drop(source);
            self.askers.wake_all();
        }
    }

    /// Goes on with the lookup, if that is for the askers to do.
    fn poll(&self) -> Poll<Answer> {
        let mut source = lock(&self.source);
        let taken = match &*source {
            Source::Answered(answer) => return Poll::Ready(answer.clone()),
            Source::Blocking | Source::Polled => return Poll::Pending,
            Source::Unasked(..) | Source::Asked(_) => {
                mem::replace(&mut *source, Source::Polled)
            }
        };
        drop(source);
        let waker = Waker::from(self.askers.clone());
        let next = taken.poll(&mut Context::from_waker(&waker));
        let answer = match &next {
            Source::Answered(answer) => Poll::Ready(answer.clone()),
            _ => Poll::Pending,
        };
        *lock(&self.source) = next;
        answer
    }
}

impl Source {
    /// Asks and polls the user's resolver, which may panic.
    fn poll(self, cx: &mut Context<'_>) -> Source {
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let mut asked = match self {
                Source::Unasked(resolver, name) => resolver.resolve(name),
                Source::Asked(asked) => asked,
                other => return other,
            };
            match asked.as_mut().poll(cx) {
                Poll::Ready(answer) => Source::Answered(check(answer)),
                Poll::Pending => Source::Asked(asked),
            }
        }));
        polled.unwrap_or_else(|_| {
            Source::Answered(Err(Arc::new(io::Error::other("the resolver panicked"))))
        })
    }
}

/// No address at all is an error.
fn check(answer: io::Result<Vec<IpAddr>>) -> Answer {
    match answer {
        Ok(addresses) if addresses.is_empty() => {
            let none = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            Err(Arc::new(none))
        }
        other => other.map_err(Arc::new),
    }
}

// ===== impl Asker =====

impl Asker {
    fn of(lookup: Arc<Lookup>) -> Self {
        let index = lock(&lookup.askers.0).insert(None);
        Asker { lookup: Some(lookup), index }
    }

    /// One more asker. `None` if the lookup is over: its answer belongs to those who asked before.
    pub(super) fn join(lookup: &Arc<Lookup>) -> Option<Self> {
        let over = matches!(*lock(&lookup.source), Source::Answered(_));
        (!over).then(|| Asker::of(lookup.clone()))
    }

    /// Waits no longer. The waker must not outlive the asker: a thread may hold the lookup for
    /// long, and the waker may hold an event loop.
    fn leave(&mut self) -> Option<Arc<Lookup>> {
        let lookup = self.lookup.take()?;
        let waker = lock(&lookup.askers.0).remove(self.index);
        drop(waker);
        Some(lookup)
    }
}

impl Future for Asker {
    type Output = io::Result<Vec<IpAddr>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(lookup) = &self.lookup else { return Poll::Pending };
        lookup.askers.note(self.index, cx.waker());
        let answer = ready!(lookup.poll());
        if let Some(lookup) = self.leave() {
            // The one whose poll brought the answer tells the others.
            lookup.askers.wake_all();
        }
        Poll::Ready(answer.map_err(unshare))
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Askers {
    fn note(&self, index: usize, waker: &Waker) {
        let mut askers = lock(&self.0);
        let before = match &mut askers[index] {
            Some(noted) if noted.will_wake(waker) => return,
            noted => noted.replace(waker.clone()),
        };
        drop(askers);
        drop(before);
    }

    fn wake_all(&self) {
        let wakers: Vec<_> =
            lock(&self.0).iter_mut().filter_map(|(_, waker)| waker.take()).collect();
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// What a user's future wakes.
impl Wake for Askers {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_all();
    }
}

// ===== impl Shared =====

/// The error itself for the last asker; one that says the same for the others. Either has the
/// same kind and the system's code.
fn unshare(error: Arc<io::Error>) -> io::Error {
    match Arc::try_unwrap(error) {
        Ok(error) => error,
        Err(shared) => match shared.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(shared.kind(), Shared(shared)),
        },
    }
}

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Shared {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.get_ref().map(|error| error as _)
    }
}
