use std::{
    sync::{
        Condvar, OnceLock,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Poll, Waker},
    thread,
};

use futures::executor::block_on;

use super::*;

const FOUND: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// EMFILE, which has this number wherever it has one.
const NO_DESCRIPTOR: i32 = 24;

/// A system whose names that begin with `silent` answer when the gate opens.
#[derive(Clone, Default)]
struct Dns(Arc<(Mutex<Seen>, Condvar)>);

#[derive(Default)]
struct Seen {
    open: bool,
    looked_up: Vec<String>,
    over: usize,
}

impl Dns {
    fn look_up(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let (seen, changed) = &*self.0;
        let mut seen = lock(seen);
        seen.looked_up.push(host.into());
        changed.notify_all();
        while host.starts_with("silent") && !seen.open {
            seen = changed.wait(seen).unwrap();
        }
        seen.over += 1;
        changed.notify_all();
        match host {
            "poor" => Err(io::Error::from_raw_os_error(NO_DESCRIPTOR)),
            "unknown" => Err(io::Error::new(io::ErrorKind::NotFound, "no such name")),
            "silent-nothing" => Ok(Vec::new()),
            _ => Ok(vec![FOUND]),
        }
    }

    fn open(&self) {
        lock(&self.0.0).open = true;
        self.0.1.notify_all();
    }

    fn wait(&self, condition: impl Fn(&Seen) -> bool) {
        let mut seen = lock(&self.0.0);
        while !condition(&seen) {
            seen = self.0.1.wait(seen).unwrap();
        }
    }

    fn wait_begun(&self, count: usize) {
        self.wait(|seen| seen.looked_up.len() >= count);
    }

    fn count(&self, host: &str) -> usize {
        lock(&self.0.0).looked_up.iter().filter(|name| *name == host).count()
    }
}

/// The system's resolver over this DNS, on threads.
fn system(dns: &Dns) -> Lookups {
    over(dns, |work| thread::Builder::new().spawn(work).map(drop))
}

fn over(dns: &Dns, start: impl Fn(Work) -> io::Result<()> + Send + Sync + 'static) -> Lookups {
    let dns = dns.clone();
    Lookups { resolver: None, workers: Workers::new(start, move |host| dns.look_up(host)) }
}

/// A user's resolver.
fn users(resolver: impl Resolver + 'static) -> Lookups {
    Lookups::new(&Config::new().resolver(resolver), |_| panic!("no thread is needed"))
}

fn name(host: &str) -> Name {
    Name::new(host, 80)
}

/// What the resolver said.
fn cause(error: &Error) -> &io::Error {
    match error {
        Error::Resolve { source, .. } | Error::Io { source, .. } => {
            source.downcast_ref().expect("an error of the resolver")
        }
        other => panic!("expected an error of a lookup, got {other}"),
    }
}

fn is_pending(caller: &mut Lookup) -> bool {
    caller.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

// ===== The system's =====

#[test]
fn silent_names_do_not_stop_another_name() {
    for names in [1, 8, MOST_LOOKUPS - 1] {
        let dns = Dns::default();
        let resolver = system(&dns);
        let silent: Vec<_> =
            (0..70).map(|n| resolver.resolve(name(&format!("silent-{}", n % names)))).collect();
        dns.wait_begun(names);
        assert_eq!(block_on(resolver.resolve(name("other"))).unwrap(), [FOUND]);
        dns.open();
        for caller in silent {
            assert_eq!(block_on(caller).unwrap(), [FOUND]);
        }
        assert_eq!(lock(&dns.0.0).looked_up.len(), names + 1, "one lookup for each name");
    }
}

#[test]
fn one_lookup_serves_all_who_ask_for_a_name() {
    let dns = Dns::default();
    let resolver = system(&dns);
    let names = [name("silent"), name("SILENT"), Name::new("silent", 443)];
    let callers: Vec<_> = names.into_iter().map(|name| resolver.resolve(name)).collect();
    dns.open();
    for caller in callers {
        assert_eq!(block_on(caller).unwrap(), [FOUND]);
    }
    assert_eq!(dns.count("silent"), 1);
    block_on(resolver.resolve(name("silent"))).unwrap();
    assert_eq!(dns.count("silent"), 2, "nothing is kept");
}

#[test]
fn an_answer_is_not_given_to_those_who_ask_after_it() {
    let dns = Dns::default();
    let resolver = system(&dns);
    let early = resolver.resolve(name("known"));
    dns.wait(|seen| seen.over == 1);
    // Whether or not the first caller has taken its answer.
    while !lock(&resolver.workers.shared().state).running.is_empty() {
        thread::yield_now();
    }
    block_on(resolver.resolve(name("known"))).unwrap();
    assert_eq!(dns.count("known"), 2);
    block_on(early).unwrap();
}

/// Otherwise the lookup that runs next would be forgotten, and a third one begun beside it.
#[test]
fn an_answer_that_is_taken_late_does_not_end_the_next_lookup() {
    let dns = Dns::default();
    let resolver = system(&dns);
    let late = resolver.resolve(name("silent"));
    dns.open();
    while !lock(&resolver.workers.shared().state).running.is_empty() {
        thread::yield_now();
    }
    lock(&dns.0.0).open = false;
    let second = resolver.resolve(name("silent"));
    block_on(late).unwrap();
    let third = resolver.resolve(name("silent"));
    dns.open();
    for lookup in [second, third] {
        assert_eq!(block_on(lookup).unwrap(), [FOUND]);
    }
    assert_eq!(dns.count("silent"), 2);
}

#[test]
fn a_lookup_whose_callers_have_gone_is_not_begun() {
    let dns = Dns::default();
    let resolver = system(&dns);
    let silent: Vec<_> =
        (0..MOST_LOOKUPS).map(|n| resolver.resolve(name(&format!("silent-{n}")))).collect();
    dns.wait_begun(MOST_LOOKUPS);
    let mut gone = resolver.resolve(name("gone"));
    let mut waits = resolver.resolve(name("waits"));
    assert!(is_pending(&mut gone) && is_pending(&mut waits));
    drop(gone);
    dns.open();
    assert_eq!(block_on(waits).unwrap(), [FOUND]);
    for caller in silent {
        block_on(caller).unwrap();
    }
    assert_eq!((dns.count("gone"), dns.count("waits")), (0, 1));
}

/// Otherwise callers with little patience would take one thread after the other for one name.
#[test]
fn a_lookup_that_runs_serves_those_who_come_after_its_first_callers_have_gone() {
    let dns = Dns::default();
    let resolver = system(&dns);
    for _ in 0..2 * MOST_LOOKUPS {
        let mut impatient = resolver.resolve(name("silent"));
        dns.wait_begun(1);
        assert!(is_pending(&mut impatient));
    }
    let caller = resolver.resolve(name("silent"));
    dns.open();
    assert_eq!(block_on(caller).unwrap(), [FOUND]);
    assert_eq!(dns.count("silent"), 1);
}

#[test]
fn a_lookup_that_runs_keeps_nothing_of_a_caller_that_has_gone() {
    struct Held;
    impl std::task::Wake for Held {
        fn wake(self: Arc<Self>) {}
    }
    let dns = Dns::default();
    let resolver = system(&dns);
    let held = Arc::new(Held);
    let mut caller = resolver.resolve(name("silent"));
    let waker = Waker::from(held.clone());
    assert!(caller.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    dns.wait_begun(1);
    drop((caller, waker));
    assert_eq!(Arc::strong_count(&held), 1);
    dns.open();
}

#[test]
fn an_error_keeps_its_kind_and_the_systems_code_for_every_caller() {
    let dns = Dns::default();
    let (go, works) = mpsc::channel::<Work>();
    let resolver =
        over(&dns, move |work| go.send(work).map_err(|_| io::ErrorKind::Other.into()));
    let callers = ["poor", "poor", "unknown", "unknown", "silent-nothing"]
        .map(|host| resolver.resolve(name(host)));
    dns.open();
    works.try_iter().for_each(|work| work());
    let errors = callers.map(|caller| block_on(caller).expect_err("an error"));
    for error in &errors[..2] {
        assert!(error.is_out_of_descriptors(), "{error}");
        assert_eq!(cause(error).raw_os_error(), Some(NO_DESCRIPTOR), "{error}");
    }
    for error in &errors[2..4] {
        let cause = cause(error);
        assert_eq!(
            (cause.kind(), &cause.to_string()[..]),
            (io::ErrorKind::NotFound, "no such name")
        );
    }
    assert_eq!(cause(&errors[4]).kind(), io::ErrorKind::NotFound);
}

#[test]
fn workers_end_when_there_is_nothing_to_look_up() {
    let dns = Dns::default();
    let (ended, ends) = mpsc::channel();
    let resolver = over(&dns, move |work| {
        let ended = ended.clone();
        let life = move || {
            work();
            // The test may not wait for it.
            let _ = ended.send(());
        };
        thread::Builder::new().spawn(life).map(drop)
    });
    for host in ["a", "b"] {
        block_on(resolver.resolve(name(host))).unwrap();
        ends.recv().expect("the end of the worker");
        assert_eq!(lock(&resolver.workers.shared().state).workers, 0);
    }
}

#[test]
fn a_thread_that_cannot_be_started_fails_the_lookup_unless_others_run() {
    let dns = Dns::default();
    let refuse = Arc::new(AtomicUsize::new(0));
    let refused = refuse.clone();
    let resolver = over(&dns, move |work| match refused.load(Ordering::Relaxed) {
        0 => thread::Builder::new().spawn(work).map(drop),
        _ => Err(io::Error::from_raw_os_error(NO_DESCRIPTOR)),
    });
    let silent = resolver.resolve(name("silent"));
    dns.wait_begun(1);
    refuse.store(1, Ordering::Relaxed);
    let mut waits = resolver.resolve(name("waits"));
    assert!(is_pending(&mut waits));
    dns.open();
    block_on(silent).unwrap();
    block_on(waits).unwrap();
    while lock(&resolver.workers.shared().state).workers > 0 {
        thread::yield_now();
    }
    let error = block_on(resolver.resolve(name("fails"))).expect_err("no thread");
    assert_eq!(cause(&error).raw_os_error(), Some(NO_DESCRIPTOR));
}

/// The second thread is refused while the first one is about to be.
#[test]
fn no_lookup_waits_for_a_thread_that_cannot_be_started() {
    let resolver = Arc::new(OnceLock::<Lookups>::new());
    let (again, second) = (resolver.clone(), Arc::new(Mutex::new(None)));
    let found = second.clone();
    let start = move |_| {
        if lock(&found).is_none() {
            *lock(&found) = Some(Box::pin(future::pending()) as Lookup);
            let lookup = again.get().expect("it is set").resolve(name("second"));
            *lock(&found) = Some(lookup);
        }
        Err(io::Error::from_raw_os_error(NO_DESCRIPTOR))
    };
    let resolver = resolver.get_or_init(|| over(&Dns::default(), start));
    let first = resolver.resolve(name("first"));
    let second = lock(&second).take().expect("it was asked");
    for lookup in [first, second] {
        assert!(block_on(lookup).expect_err("no thread").is_out_of_descriptors());
    }
}

#[test]
fn work_that_is_dropped_takes_no_workers_slot() {
    let dns = Dns::default();
    let resolver = over(&dns, |work| {
        drop(work);
        Ok(())
    });
    let _callers: Vec<_> =
        (0..2 * MOST_LOOKUPS).map(|n| resolver.resolve(name(&n.to_string()))).collect();
    assert_eq!(lock(&resolver.workers.shared().state).workers, 0);
}

// ===== The user's =====

type Found = io::Result<Vec<IpAddr>>;

/// A resolver whose answers the test gives.
#[derive(Clone, Default)]
struct Scripted {
    asked: Arc<Mutex<Vec<Name>>>,
    answers: Arc<Mutex<Vec<Option<Found>>>>,
    wakers: Arc<Mutex<Vec<Waker>>>,
    dropped: Arc<AtomicUsize>,
}

struct Pending(usize, Scripted);

impl Scripted {
    fn answer(&self, index: usize, answer: Found) {
        lock(&self.answers)[index] = Some(answer);
        let wakers = std::mem::take(&mut *lock(&self.wakers));
        wakers.into_iter().for_each(Waker::wake);
    }

    fn asked(&self) -> usize {
        lock(&self.asked).len()
    }
}

impl Resolver for Scripted {
    fn resolve(&self, name: Name) -> Resolving {
        lock(&self.asked).push(name);
        lock(&self.answers).push(None);
        Box::pin(Pending(self.asked() - 1, self.clone()))
    }
}

impl Future for Pending {
    type Output = io::Result<Vec<IpAddr>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        lock(&self.1.wakers).push(cx.waker().clone());
        match lock(&self.1.answers)[self.0].take() {
            Some(answer) => Poll::Ready(answer),
            None => Poll::Pending,
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.1.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_users_resolver_is_asked_once_for_each_name_and_port() {
    let script = Scripted::default();
    let resolver = users(script.clone());
    let mut callers = [name("a"), name("A"), Name::new("a", 443)].map(|n| resolver.resolve(n));
    assert!(callers.iter_mut().all(is_pending));
    assert_eq!(script.asked(), 2);
    assert_eq!(*lock(&script.asked), [name("a"), Name::new("a", 443)]);
    script.answer(0, Ok(vec![FOUND]));
    let [first, second, third] = callers;
    // Each on a thread of its own, where only a wake can help.
    let waiting = [first, second].map(|caller| thread::spawn(move || block_on(caller)));
    for caller in waiting {
        assert_eq!(caller.join().unwrap().unwrap(), [FOUND]);
    }
    drop(third);
    assert_eq!(script.dropped.load(Ordering::Relaxed), 2);
}

#[test]
fn every_caller_is_woken_whichever_polled_last() {
    let script = Scripted::default();
    let resolver = users(script.clone());
    let (parked, all_parked) = mpsc::channel();
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let mut caller = resolver.resolve(name("a"));
            let parked = parked.clone();
            thread::spawn(move || {
                block_on(std::future::poll_fn(|cx| {
                    let polled = caller.as_mut().poll(cx);
                    // Only the first poll is waited for.
                    let _ = parked.send(());
                    polled
                }))
            })
        })
        .collect();
    (0..4).for_each(|_| all_parked.recv().unwrap());
    script.answer(0, Ok(vec![FOUND]));
    for caller in callers {
        assert_eq!(caller.join().unwrap().unwrap(), [FOUND]);
    }
    assert_eq!(script.asked(), 1);
}

#[test]
fn the_last_caller_that_goes_drops_a_users_lookup() {
    let script = Scripted::default();
    let resolver = users(script.clone());
    let mut callers = [(); 2].map(|()| resolver.resolve(name("a")));
    assert!(callers.iter_mut().all(is_pending));
    let [first, second] = callers;
    drop(first);
    assert_eq!(script.dropped.load(Ordering::Relaxed), 0);
    drop(second);
    assert_eq!(script.dropped.load(Ordering::Relaxed), 1);
    assert!(is_pending(&mut resolver.resolve(name("a"))));
    assert_eq!(script.asked(), 2);
}

#[test]
fn an_error_of_a_users_resolver_can_be_found_by_every_caller() {
    #[derive(Debug)]
    struct Own;
    impl fmt::Display for Own {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("its own error")
        }
    }
    impl std::error::Error for Own {}
    let script = Scripted::default();
    let resolver = users(script.clone());
    let mut callers = [(); 2].map(|()| resolver.resolve(name("a")));
    assert!(callers.iter_mut().all(is_pending));
    script.answer(0, Err(io::Error::new(io::ErrorKind::TimedOut, Own)));
    for caller in callers {
        let error = block_on(caller).expect_err("an error");
        let cause = cause(&error);
        assert_eq!(
            (cause.kind(), &cause.to_string()[..]),
            (io::ErrorKind::TimedOut, "its own error")
        );
        assert!(cause.get_ref().expect("a cause").is::<Own>());
    }
}

#[test]
fn a_panic_fails_every_caller_of_that_lookup_and_no_other() {
    struct Panics;
    impl Resolver for Panics {
        fn resolve(&self, name: Name) -> Resolving {
            assert_ne!(name.as_str(), "now", "a resolver's own bug");
            Box::pin(async move {
                assert_ne!(name.as_str(), "later", "a resolver's own bug");
                Ok(vec![FOUND])
            })
        }
    }
    let resolver = users(Panics);
    for host in ["now", "later"] {
        for caller in [(); 2].map(|()| resolver.resolve(name(host))) {
            let error = block_on(caller).expect_err("a panic");
            assert_eq!(cause(&error).to_string(), "the resolver panicked");
        }
    }
    assert_eq!(block_on(resolver.resolve(name("fine"))).unwrap(), [FOUND]);
}

#[test]
fn an_address_is_not_looked_up() {
    let resolver = users(Scripted::default());
    assert_eq!(block_on(resolver.resolve(name("127.0.0.1"))).unwrap(), [FOUND]);
}

#[test]
fn a_lookup_that_was_dropped_leaves_nothing_behind() {
    let dns = Dns::default();
    let resolver = over(&dns, |_| Ok(()));
    for n in 0..1000 {
        drop(resolver.resolve(name(&n.to_string())));
    }
    assert!(lock(&resolver.workers.shared().state).running.len() <= 1);
    assert!(lock(&resolver.workers.shared().state).waiting.len() <= 1);
}
