//! The races that a pool has to win, without sockets and without time.

use super::*;
/// A pool whose requests are their tickets, and whose connections are made at once.
struct Fixture {
    pool: Pool<Ticket>,
    /// Gives out keys for connections.
    sockets: Slab<()>,
    tickets: Ticket,
    /// Chains that were begun, oldest first.
    chains: Vec<(Key, Ticket)>,
    /// Idle connections that were evicted.
    evicted: Vec<Key>,
    /// The origins of idle connections, to close them.
    idle: HashMap<Key, (Key, IdleSince)>,
}

impl Fixture {
    fn new(config: Config) -> Self {
        Fixture {
            pool: Pool::new(&config),
            sockets: Slab::new(),
            tickets: 0,
            chains: Vec::new(),
            evicted: Vec::new(),
            idle: HashMap::new(),
        }
    }

    fn origin(&mut self, url: &str) -> Key {
        self.pool.origin(&Origin::of(&url.parse().unwrap()).unwrap())
    }

    /// One more request for this origin; its ticket, if it has to wait.
    fn request(&mut self, url: &str) -> Result<Ticket, Option<Key>> {
        let origin = self.origin(url);
        if let Some(connection) = self.pool.checkout(origin) {
            return Err(Some(connection));
        }
        self.tickets += 1;
        let waits = self.pool.wait(origin, self.tickets, self.tickets);
        self.settle();
        waits.map(|()| self.tickets).map_err(|_| None)
    }

    fn settle(&mut self) {
        while let Some(step) = self.pool.next_step() {
            match step {
                Step::Connect(origin, ticket) => self.chains.push((origin, ticket)),
                Step::Evict(connection) => {
                    let (origin, since) = self.idle.remove(&connection).unwrap();
                    self.evicted.push(connection);
                    self.pool.closed(origin, Some(since), CloseReason::Evicted);
                }
            }
        }
    }

    /// The oldest chain makes a connection, which serves whom the pool says.
    fn connect(&mut self) -> (Key, Option<Ticket>) {
        let (origin, ticket) = self.chains.remove(0);
        let connection = self.sockets.insert(());
        match self.pool.connected(origin, ticket) {
            Some(ticket) => (connection, Some(ticket)),
            None => (connection, self.checkin(origin, connection)),
        }
    }

    /// A connection becomes free; whom it serves next.
    fn checkin(&mut self, origin: Key, connection: Key) -> Option<Ticket> {
        let served = match self.pool.checkin(origin, connection) {
            Checkin::Serve(ticket) => Some(ticket),
            Checkin::Idle(since) => {
                self.idle.insert(connection, (origin, since));
                None
            }
            Checkin::Close(reason) => {
                self.pool.closed(origin, None, reason);
                None
            }
        };
        self.settle();
        served
    }
}

fn one() -> Config {
    Config::new().max_per_origin(1)
}

#[test]
fn waiters_are_served_first_come_first_served() {
    let mut f = Fixture::new(one());
    let tickets: Vec<_> = (0..4).map(|_| f.request("http://a").unwrap()).collect();
    let origin = f.origin("http://a");
    let (connection, first) = f.connect();
    let rest = (0..3).map(|_| f.checkin(origin, connection));
    let served: Vec<_> = std::iter::once(first).chain(rest).flatten().collect();
    assert_eq!(served, tickets);
    assert!(f.chains.is_empty());
}

#[test]
fn a_cancelled_waiter_is_skipped() {
    let mut f = Fixture::new(one());
    let tickets: Vec<_> = (0..3).map(|_| f.request("http://a").unwrap()).collect();
    let origin = f.origin("http://a");
    let (connection, _) = f.connect();
    assert_eq!(f.pool.cancel(origin, tickets[1]), Some(tickets[1]));
    assert_eq!(f.pool.cancel(origin, tickets[1]), None);
    assert_eq!(f.checkin(origin, connection), Some(tickets[2]));
    assert_eq!(f.pool.stats().waiting, 0);
}

#[test]
fn a_freed_connection_goes_to_the_oldest_waiter_though_one_is_made_for_it() {
    let mut f = Fixture::new(Config::new().max_per_origin(2));
    f.request("http://a").unwrap();
    let origin = f.origin("http://a");
    let (connection, _) = f.connect();
    let second = f.request("http://a").unwrap();
    let third = f.request("http://a").unwrap();
    assert_eq!(f.checkin(origin, connection), Some(second));
    // The connection that was made for the second serves the third.
    assert_eq!(f.connect().1, Some(third));
}

#[test]
fn a_connection_whose_waiter_was_served_becomes_idle() {
    let mut f = Fixture::new(Config::new().max_per_origin(2));
    f.request("http://a").unwrap();
    let origin = f.origin("http://a");
    let (connection, _) = f.connect();
    f.request("http://a").unwrap();
    assert!(f.checkin(origin, connection).is_some());
    assert_eq!(f.connect().1, None);
    assert_eq!((f.pool.stats().idle, f.pool.stats().in_use), (1, 1));
}

#[test]
fn the_most_recently_used_idle_connection_is_taken_first() {
    let mut f = Fixture::new(Config::new());
    f.request("http://a").unwrap();
    f.request("http://a").unwrap();
    let origin = f.origin("http://a");
    let (first, _) = f.connect();
    let (second, _) = f.connect();
    f.checkin(origin, second);
    f.checkin(origin, first);
    assert_eq!(f.request("http://a"), Err(Some(first)));
    assert_eq!(f.request("http://a"), Err(Some(second)));
}

#[test]
fn an_idle_connection_of_another_origin_is_evicted_before_anybody_waits() {
    let mut f = Fixture::new(Config::new().max_total(2));
    let [oldest, _] = ["http://a", "http://b"].map(|url| {
        f.request(url).unwrap();
        let origin = f.origin(url);
        let (connection, _) = f.connect();
        f.checkin(origin, connection);
        connection
    });
    f.request("http://c").unwrap();
    assert_eq!((f.evicted.as_slice(), f.chains.len()), ([oldest].as_slice(), 1));
    assert_eq!(f.pool.stats().closed(CloseReason::Evicted), 1);
}

#[test]
fn an_origin_below_its_share_gets_the_freed_slot() {
    let mut f = Fixture::new(Config::new().max_total(2));
    f.request("http://hog").unwrap();
    f.request("http://hog").unwrap();
    f.request("http://hog").unwrap();
    let hog = f.origin("http://hog");
    let (connection, _) = f.connect();
    f.connect();
    let modest = f.request("http://modest").unwrap();
    assert_eq!(f.checkin(hog, connection), None);
    assert_eq!(f.chains.iter().map(|(_, ticket)| *ticket).collect::<Vec<_>>(), [modest]);
}

#[test]
fn an_origin_at_its_share_keeps_its_freed_connection() {
    let mut f = Fixture::new(Config::new().max_total(2));
    f.request("http://a").unwrap();
    f.request("http://b").unwrap();
    let a = f.origin("http://a");
    let (connection, _) = f.connect();
    f.connect();
    f.request("http://b").unwrap();
    let own = f.request("http://a").unwrap();
    assert_eq!(f.checkin(a, connection), Some(own));
}

#[test]
fn with_more_origins_than_slots_the_oldest_waiter_wins() {
    let mut f = Fixture::new(Config::new().max_total(1));
    f.request("http://a").unwrap();
    let a = f.origin("http://a");
    let (connection, _) = f.connect();
    let older = f.request("http://b").unwrap();
    f.request("http://c").unwrap();
    f.request("http://a").unwrap();
    assert_eq!(f.checkin(a, connection), None);
    assert_eq!(f.connect().1, Some(older));
}

#[test]
fn a_failed_connect_fails_one_waiter_only() {
    let mut f = Fixture::new(one());
    let first = f.request("http://a").unwrap();
    let second = f.request("http://a").unwrap();
    let (origin, ticket) = f.chains.remove(0);
    assert_eq!(f.pool.failed(origin, ticket), Some(first));
    f.settle();
    assert_eq!(f.connect().1, Some(second));
}

#[test]
fn nobody_waits_beyond_the_limit_and_a_free_slot_is_no_wait() {
    let mut f = Fixture::new(one().max_waiting(0));
    let first = f.request("http://a").unwrap();
    assert_eq!(f.request("http://a"), Err(None));
    assert_eq!(f.connect().1, Some(first));
}

#[test]
fn more_idle_connections_than_the_limit_are_closed() {
    let mut f = Fixture::new(Config::new().max_idle_per_origin(1));
    f.request("http://a").unwrap();
    f.request("http://a").unwrap();
    let origin = f.origin("http://a");
    for (connection, _) in [f.connect(), f.connect()] {
        f.checkin(origin, connection);
    }
    let stats = f.pool.stats();
    assert_eq!((stats.idle, stats.closed(CloseReason::IdleLimit)), (1, 1));
}

#[test]
fn a_retry_is_served_by_a_fresh_connection_only() {
    let mut f = Fixture::new(Config::new());
    for _ in 0..2 {
        f.request("http://a").unwrap();
    }
    let origin = f.origin("http://a");
    let ((_stale, retried), (other, _)) = (f.connect(), f.connect());
    let ticket = retried.unwrap();
    f.pool.retry(origin, ticket, ticket, CloseReason::PeerClosed);
    assert_eq!(f.checkin(origin, other), None);
    assert_eq!(f.pool.connected(origin, ticket), Some(ticket));
    assert_eq!((f.pool.stats().retried, f.pool.stats().created), (1, 3));
}

#[test]
fn nothing_is_kept_of_an_origin_that_has_nothing() {
    let mut f = Fixture::new(Config::new());
    let ticket = f.request("http://a").unwrap();
    let (origin, _) = f.chains.remove(0);
    f.pool.failed(origin, ticket);
    assert!(f.pool.keys.is_empty() && f.pool.origins.is_empty());
    assert_eq!(f.pool.demanding, 0);
}
