//! All orders of all events that a small pool can see, breadth first.
//!
//! A [`World`] is a pool and its surroundings: attempts, connections, and actions that the stage has
//! not finished yet. From the empty world every event leads to another one, until no
//! new ones appear. Each step and each new world is checked. At the end there must be a way from
//! every world to one in which all waiters are served, without a caller that gives up.

mod form;
mod invariants;
mod world;

use std::{collections::HashMap, time::Instant};

use self::{
    form::{Form, orders},
    world::{Bounds, Event, World},
};
use super::Limits;
use crate::Origin;

/// The worlds that were found, and how they follow from one another.
struct Explored {
    bounds: Bounds,
    names: Vec<Origin>,
    orders: Vec<Vec<u8>>,
    /// The number of each world, in the order in which it was found.
    seen: HashMap<Form, usize>,
    /// Where each world was found from, and by which event.
    parents: Vec<Option<(usize, Event)>>,
    /// Worlds without waiters.
    done: Vec<usize>,
    /// Backward: the worlds from which one is reached by events that happen by themselves.
    progress: Vec<Vec<usize>>,
    steps: usize,
    depth: usize,
}

impl Explored {
    /// # Panics
    ///
    /// With the shortest way to a world that is wrong, or from which a waiter waits for ever.
    fn all(bounds: Bounds) -> Self {
        let names = (0..bounds.origins).map(name).collect();
        let orders = orders(bounds.origins);
        let first = World::new(bounds.limits);
        let seen = HashMap::from([(first.form(&orders), 0)]);
        let (parents, done, progress) = (vec![None], vec![0], vec![Vec::new()]);
        let mut explored = Explored {
            bounds,
            names,
            orders,
            seen,
            parents,
            done,
            progress,
            steps: 0,
            depth: 0,
        };
        let mut frontier = vec![(0, first)];
        while !frontier.is_empty() {
            let mut next = Vec::new();
            for (from, world) in frontier {
                explored.go_on(from, &world, &mut next);
            }
            explored.depth += usize::from(!next.is_empty());
            frontier = next;
        }
        explored.check_progress();
        explored
    }

    fn go_on(&mut self, from: usize, world: &World, next: &mut Vec<(usize, World)>) {
        for event in world.events(&self.bounds) {
            let after = match world.after(event, &self.names) {
                Ok(after) => after,
                Err(wrong) => self.fail(&wrong, from, event, world),
            };
            self.steps += 1;
            let fresh = self.parents.len();
            let form = after.form(&self.orders);
            if !self.seen.contains_key(&form) {
                after.check().unwrap_or_else(|wrong| self.fail(&wrong, from, event, &after));
            }
            let to = *self.seen.entry(form).or_insert(fresh);
            if to == fresh {
                self.parents.push(Some((from, event)));
                self.progress.push(Vec::new());
                if after.waiters.is_empty() {
                    self.done.push(to);
                }
                next.push((to, after));
            }
            if world.is_progress(event) {
                self.progress[to].push(from);
            }
        }
    }

    fn fail(&self, wrong: &str, from: usize, event: Event, world: &World) -> ! {
        panic!("{wrong}\n{:#?}\n{:#?}", self.way(from, event), world.pool)
    }

    /// The shortest way to an event.
    fn way(&self, mut at: usize, last: Event) -> Vec<Event> {
        let mut way = vec![last];
        while let Some((from, event)) = self.parents[at] {
            way.push(event);
            at = from;
        }
        way.reverse();
        way
    }

    /// From everywhere there is a way on which all waiters are served.
    fn check_progress(&self) {
        let mut reached = vec![false; self.parents.len()];
        let mut stack = self.done.clone();
        while let Some(at) = stack.pop() {
            if !std::mem::replace(&mut reached[at], true) {
                stack.extend(&self.progress[at]);
            }
        }
        if let Some(stuck) = reached.iter().position(|reached| !reached) {
            let way = self.parents[stuck].map(|(from, event)| self.way(from, event));
            panic!("a waiter waits for ever: {way:#?}");
        }
    }
}

fn name(number: u8) -> Origin {
    let url = format!("http://{}", char::from(b'a' + number));
    Origin::of(&url.parse().unwrap()).unwrap()
}

fn bounds(origins: u8, requests: usize, total: usize, per_origin: usize) -> Bounds {
    let limits = Limits { total, per_origin, idle_per_origin: 1, waiting: requests };
    let (cancel, die, retry, exhaust, close) = (true, true, true, true, true);
    Bounds { origins, requests, limits, cancel, die, retry, exhaust, close }
}

/// Explores each of these pools, says how large it was, and returns the sum of the worlds.
fn explore(pools: &[(&str, Bounds)]) -> usize {
    let mut sum = 0;
    for (name, bounds) in pools {
        let start = Instant::now();
        let explored = Explored::all(*bounds);
        let (states, seconds) = (explored.parents.len(), start.elapsed().as_secs_f64());
        let Explored { steps, depth, .. } = explored;
        println!("{name}: {states} states, {steps} steps, depth {depth}, {seconds:.1} s");
        sum += states;
    }
    println!("{sum} states in all");
    sum
}

#[test]
fn all_orders_of_events_in_small_pools() {
    let states = explore(&[
        ("1 origin, 2 requests, total 1", bounds(1, 2, 1, 1)),
        ("1 origin, 3 requests, total 2", bounds(1, 3, 2, 2)),
        ("2 origins, 2 requests, total 1", bounds(2, 2, 1, 1)),
        ("2 origins, 3 requests, total 2", bounds(2, 3, 2, 2)),
    ]);
    assert!(states >= 10_000);
}

#[test]
#[ignore = "takes long in a debug build"]
fn all_orders_of_events_in_larger_pools() {
    let states = explore(&[
        ("2 origins, 3 requests, total 2, one each", bounds(2, 3, 2, 1)),
        ("3 origins, 3 requests, total 2", bounds(3, 3, 2, 2)),
        ("3 origins, 4 requests, total 2, one each", bounds(3, 4, 2, 1)),
        ("2 origins, 4 requests, total 2", bounds(2, 4, 2, 2)),
        ("2 origins, 3 requests, total 3", bounds(2, 3, 3, 2)),
    ]);
    assert!(states >= 300_000);
}

/// If they did not, the search would take two worlds for one and leave out what follows from the
/// second.
#[test]
fn states_that_look_the_same_go_on_the_same() {
    for bounds in [bounds(2, 2, 1, 1), bounds(1, 3, 2, 2)] {
        let names: Vec<_> = (0..bounds.origins).map(name).collect();
        let orders = orders(bounds.origins);
        let mut seen: HashMap<Form, Vec<Form>> = HashMap::new();
        let mut stack = vec![World::new(bounds.limits)];
        while let Some(world) = stack.pop() {
            let events = world.events(&bounds).into_iter();
            let after =
                |event| world.after(event, &names).unwrap_or_else(|wrong| panic!("{wrong}"));
            let after: Vec<_> = events.map(after).collect();
            let mut forms: Vec<_> = after.iter().map(|world| world.form(&orders)).collect();
            forms.sort();
            match seen.get(&world.form(&orders)) {
                Some(known) => assert!(*known == forms, "{:#?}", world.pool),
                None => {
                    seen.insert(world.form(&orders), forms);
                    stack.extend(after);
                }
            }
        }
    }
}
