//! All orders of all events that a small pool can see, breadth first.
//!
//! A [`World`] is a pool and what is under way around it: attempts, connections, orders that were
//! given and not yet heard. It is compared in a canonical form, in which numbers count from 0 and
//! origins have no names. So requests may come without end, and the states are still finite.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    time::Instant,
};

use super::*;

/// A request: its origin, and whether it was sent again.
type Request = (u8, bool);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    origins: u8,
    /// Requests that wait or are served.
    requests: usize,
    limits: Limits,
    /// Whether callers give up, connections die unasked, requests are sent again, the client closes.
    cancel: bool,
    die: bool,
    retry: bool,
    close: bool,
    /// Whether attempts run out of descriptors.
    exhaust: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Event {
    Checkout(u8),
    Cancel(WaiterId),
    Connected(SlotId),
    ConnectFailed(SlotId),
    OutOfDescriptors(SlotId),
    Take(SlotId),
    Checkin(SlotId),
    Closed(SlotId),
    Retry(SlotId),
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Attempt,
    /// It ended without a descriptor, and begins again.
    Paused,
    Resting,
    Busy(WaiterId, bool, bool),
}

/// What a stage knows of a slot.
#[derive(Clone, Copy, Debug)]
struct Around {
    origin: u8,
    phase: Phase,
    /// An order to serve is under way.
    serve: bool,
    /// An order to close is under way.
    close: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct World {
    pool: Pool<Request>,
    slots: BTreeMap<SlotId, Around>,
    waiters: BTreeMap<WaiterId, u8>,
    /// Attempts that were started by the last event.
    connects: Vec<(SlotId, WaiterId, bool)>,
}

type Canonical = Box<[u8]>;

impl World {
    fn new(limits: Limits) -> Self {
        let (slots, waiters) = (BTreeMap::new(), BTreeMap::new());
        World { pool: Pool::new(limits), slots, waiters, connects: Vec::new() }
    }

    fn events(&self, bounds: &Bounds, names: &[Origin]) -> Vec<Event> {
        let mut events = Vec::new();
        let busy = self.slots.values().filter(|s| matches!(s.phase, Phase::Busy(..))).count();
        if !self.pool.closing && self.waiters.len() + busy < bounds.requests {
            events.extend((0..names.len() as u8).map(Event::Checkout));
        }
        if bounds.close && !self.pool.closing {
            events.push(Event::Close);
        }
        if bounds.cancel {
            events.extend(self.waiters.keys().map(|waiter| Event::Cancel(*waiter)));
        }
        for (&slot, around) in &self.slots {
            match around.phase {
                Phase::Attempt => {
                    events.extend([Event::Connected(slot), Event::ConnectFailed(slot)]);
                    if bounds.exhaust {
                        events.push(Event::OutOfDescriptors(slot));
                    }
                }
                Phase::Paused => {}
                Phase::Resting => {
                    if around.serve {
                        events.push(Event::Take(slot));
                    }
                    if bounds.die || around.close {
                        events.push(Event::Closed(slot));
                    }
                }
                Phase::Busy(_, reused, again) => {
                    events.push(Event::Checkin(slot));
                    if bounds.die {
                        events.push(Event::Closed(slot));
                    }
                    if bounds.retry && reused && !again {
                        events.push(Event::Retry(slot));
                    }
                }
            }
        }
        events
    }

    /// Whether an event happens by itself sooner or later: nobody has to come, go or die.
    fn is_progress(&self, event: Event) -> bool {
        match event {
            Event::Connected(_) | Event::Take(_) | Event::Checkin(_) => true,
            Event::ConnectFailed(slot) | Event::Closed(slot) => self.slots[&slot].close,
            _ => false,
        }
    }

    /// # Errors
    ///
    /// What the pool must not do.
    fn step(&self, event: Event, names: &[Origin]) -> Result<World, String> {
        let mut world = self.clone();
        let pool = &mut world.pool;
        match event {
            Event::Checkout(origin) => {
                match pool.checkout(&names[usize::from(origin)], (origin, false)) {
                    Ok(waiter) => _ = world.waiters.insert(waiter, origin),
                    Err((_, Error::PoolBusy { .. })) if pool.queued == pool.limits.waiting => {}
                    Err((_, error)) => return Err(format!("refused: {error}")),
                }
            }
            Event::Cancel(waiter) => {
                world.waiters.remove(&waiter);
                pool.cancel(waiter).ok_or("nothing to cancel")?;
            }
            Event::Connected(slot) => {
                pool.connected(slot);
                world.slots.get_mut(&slot).unwrap().phase = Phase::Resting;
            }
            Event::ConnectFailed(slot) => {
                let own = match pool.slots[slot.index].state {
                    State::Connecting(waiter) => Some(waiter),
                    _ => None,
                };
                if pool.connect_failed(slot).is_some() != own.is_some() {
                    return Err("an error went to the wrong waiter".into());
                }
                own.map(|waiter| world.waiters.remove(&waiter));
                world.slots.remove(&slot);
            }
            Event::OutOfDescriptors(slot) => {
                if pool.out_of_descriptors(slot) {
                    if self.pool.slots[slot.index].begun_again {
                        return Err("an attempt was begun a third time".into());
                    }
                    world.slots.get_mut(&slot).unwrap().phase = Phase::Paused;
                } else {
                    let own = match pool.slots[slot.index].state {
                        State::Connecting(waiter) => Some(waiter),
                        _ => None,
                    };
                    if pool.connect_failed(slot).is_some() != own.is_some() {
                        return Err("an error went to the wrong waiter".into());
                    }
                    own.map(|waiter| world.waiters.remove(&waiter));
                    world.slots.remove(&slot);
                }
            }
            Event::Take(slot) => {
                let around = world.slots.get_mut(&slot).unwrap();
                around.serve = false;
                if let Some((waiter, (origin, again))) = pool.take(slot) {
                    let reused = pool.begin(slot);
                    around.phase = Phase::Busy(waiter, reused, again);
                    if origin != around.origin || world.waiters.remove(&waiter) != Some(origin)
                    {
                        return Err("a connection took what is not its own".into());
                    }
                    if again && reused {
                        return Err("a retry went to a connection that is not fresh".into());
                    }
                }
            }
            Event::Checkin(slot) => {
                world.slots.get_mut(&slot).unwrap().phase = Phase::Resting;
                pool.checkin(slot);
            }
            Event::Closed(slot) => {
                pool.closed(slot, CloseReason::PeerClosed);
                world.slots.remove(&slot);
            }
            Event::Retry(slot) => {
                let around = world.slots.remove(&slot).unwrap();
                let Phase::Busy(waiter, ..) = around.phase else { unreachable!() };
                pool.retry(slot, (around.origin, true), CloseReason::PeerClosed);
                world.waiters.insert(waiter, around.origin);
            }
            Event::Close => pool.close(),
        }
        world.connects.clear();
        while let Some(action) = world.pool.poll_action() {
            match action {
                Action::Connect { slot, origin, waiter } => {
                    let origin = names.iter().position(|name| *name == origin).unwrap() as u8;
                    let phase = Phase::Attempt;
                    let around = Around { origin, phase, serve: false, close: false };
                    let before = world.slots.insert(slot, around);
                    if before.is_some_and(|before| before.phase != Phase::Paused) {
                        return Err("an attempt was begun twice".into());
                    }
                    let promised = self.pool.waiter(waiter).map(|w| w.state);
                    let promised = matches!(promised, Some(Waiting::Expecting(_)));
                    world.connects.push((slot, waiter, promised));
                }
                Action::Serve { slot } => world.slots.get_mut(&slot).unwrap().serve = true,
                Action::Abandon { slot } | Action::Close { slot, .. } => {
                    world.slots.get_mut(&slot).unwrap().close = true;
                }
                Action::Idle { .. } | Action::Wait { .. } => {}
            }
        }
        // Nothing is told of a paused attempt that goes.
        let World { pool, slots, .. } = &mut world;
        slots
            .retain(|slot, around| around.phase != Phase::Paused || pool.slot(*slot).is_some());
        world.check()?;
        world.check_order(self, event)?;
        Ok(world)
    }

    // ----- invariants of a state -----

    fn check(&self) -> Result<(), String> {
        let pool = &self.pool;
        let ensure =
            |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
        ensure(self.slots.len() <= pool.limits.total, "the total limit is exceeded")?;
        let known = pool.slots.iter().map(|(index, s)| SlotId { number: s.number, index });
        let mut known: Vec<_> = known.collect();
        known.sort();
        ensure(known.iter().eq(self.slots.keys()), "slots of pool and stage differ")?;
        let mut known = pool.waiters();
        known.sort();
        ensure(known.iter().eq(self.waiters.keys()), "a waiter is lost, or told twice")?;

        let states = |id: usize| pool.slots.iter().filter(move |(_, s)| s.origin == id);
        let mut demanding = 0;
        let idle_anywhere = pool.slots.iter().any(|(_, s)| matches!(s.state, State::Idle(_)));
        for (id, origin) in pool.origins.iter() {
            let own = states(id).count();
            ensure(own <= pool.limits.per_origin, "an origin's limit is exceeded")?;
            let promised = |s: &Slot| match s.state {
                State::Closing { next: Some(next), .. } => {
                    Some(pool.waiters[next.index].origin)
                }
                _ => None,
            };
            let incoming = pool
                .slots
                .iter()
                .filter(|(_, s)| s.origin != id && promised(s) == Some(id))
                .count();
            ensure(origin.slots == own + incoming, "slots of an origin")?;
            ensure(origin.slots <= pool.limits.per_origin, "an origin's limit, with promises")?;
            let closing = |s: &Slot| matches!(s.state, State::Closing { .. });
            let leaving =
                states(id).filter(|(_, s)| closing(s) && promised(s) != Some(id)).count();
            ensure(origin.leaving == leaving, "leaving slots of an origin")?;
            let idle = states(id).filter(|(_, s)| matches!(s.state, State::Idle(_))).count();
            ensure(origin.idle.len() == idle, "idle connections of an origin")?;
            ensure(idle <= pool.limits.idle_per_origin, "too many idle connections")?;
            let waiting = |state: fn(&Waiting) -> bool| {
                pool.waiters.iter().filter(|(_, w)| w.origin == id && state(&w.state)).count()
            };
            let queued = waiting(|s| matches!(s, Waiting::Queued));
            let expecting = pool
                .waiters
                .iter()
                .filter(|(_, w)| {
                    w.origin == id && !w.fresh && matches!(w.state, Waiting::Expecting(_))
                })
                .count();
            ensure(origin.queued.len() == queued, "queued waiters of an origin")?;
            ensure(origin.expecting.len() == expecting, "expecting waiters of an origin")?;
            ensure(idle == 0 || queued + expecting == 0, "a waiter beside an idle connection")?;
            let room = origin.slots < pool.limits.per_origin;
            if queued > 0 && room {
                ensure(pool.slots.len() == pool.limits.total, "a waiter beside a free slot")?;
                ensure(!idle_anywhere, "a waiter while others idle")?;
                ensure(pool.orphans.is_empty(), "a waiter while an attempt is orphaned")?;
                ensure(pool.spare.is_empty(), "a waiter while a slot is spare")?;
            }
            if queued > 0 {
                ensure(
                    origin.given_up.is_empty() || room,
                    "a waiter beside an orphaned attempt",
                )?;
                ensure(origin.overtaken.is_empty(), "a waiter beside an attempt to take over")?;
                ensure(origin.spare.is_empty(), "a waiter beside a spare slot")?;
            }
            let first = pool.first_queued(id).filter(|_| room);
            let blocked = first.map(|w| Rank {
                held: origin.slots - leaving,
                oldest: w.number,
                origin: id,
            });
            ensure(origin.rank == blocked, "a blocked origin")?;
            ensure(blocked.is_none_or(|b| pool.blocked.contains(&b)), "blocked origins")?;
            let demand = origin.slots - leaving > idle || queued > 0;
            ensure(origin.demanding == demand, "a demanding origin")?;
            demanding += usize::from(demand);
            ensure(own + incoming + queued > 0, "an origin with nothing")?;
        }
        ensure(pool.demanding == demanding, "demanding origins")?;
        let blocked = pool.origins.iter().filter(|(_, o)| o.rank.is_some()).count();
        ensure(pool.blocked.len() == blocked, "blocked origins in all")?;
        let idle = pool.origins.iter().map(|(_, o)| o.idle.len()).sum::<usize>();
        ensure(pool.idle.len() == idle, "idle connections")?;
        let queued = pool.origins.iter().map(|(_, o)| o.queued.len()).sum::<usize>();
        ensure(pool.queued == queued, "queued waiters in all")?;
        ensure(queued <= pool.limits.waiting || !pool.waiters.is_empty(), "too many queued")?;
        let spare = pool.origins.iter().flat_map(|(_, o)| &o.spare).count();
        let orphans = pool
            .origins
            .iter()
            .flat_map(|(_, o)| o.given_up.iter().chain(&o.overtaken))
            .count();
        ensure(pool.spare.len() == spare, "spare slots")?;
        ensure(pool.orphans.len() == orphans, "orphaned attempts")?;
        let stats = pool.stats();
        let phases =
            |f: fn(&Phase) -> bool| self.slots.values().filter(|s| f(&s.phase)).count();
        let connecting = phases(|p| matches!(p, Phase::Attempt | Phase::Paused));
        ensure(stats.connecting == connecting, "connecting")?;
        let busy = phases(|p| matches!(p, Phase::Busy(..)));
        ensure(stats.in_use >= busy && stats.open == stats.idle + stats.in_use, "in use")?;
        ensure(stats.waiting == self.waiters.len(), "waiting")?;

        for (id, around) in &self.slots {
            let slot = &pool.slots[id.index];
            let (attempt, busy) = match around.phase {
                Phase::Attempt | Phase::Paused => (true, false),
                Phase::Resting => (false, false),
                Phase::Busy(..) => (false, true),
            };
            let agrees = match slot.state {
                State::Orphaned(_) => attempt && pool.orphans.contains(id) && !pool.closing,
                State::Connecting(waiter) => {
                    around.phase == Phase::Attempt
                        && pool.waiters[waiter.index].state == Waiting::Expecting(*id)
                }
                State::Paused(waiter) => {
                    around.phase == Phase::Paused
                        && pool.waiters[waiter.index].state == Waiting::Expecting(*id)
                        && pool.slots.iter().any(|(_, s)| {
                            s.resumes == Some(*id) && matches!(s.state, State::Closing { .. })
                        })
                }
                State::Free(_) | State::Gone => false,
                State::InUse(_) => busy,
                State::Idle(_) => !attempt && !busy && !pool.closing,
                State::Reserved(waiter, _) => {
                    let state = pool.waiters[waiter.index].state;
                    !attempt && !busy && around.serve && state == Waiting::Reserved(*id)
                }
                State::Closing { attempt: told, next, .. } => {
                    let next = next.is_none_or(|waiter| {
                        pool.waiters[waiter.index].state == Waiting::Expecting(*id)
                    });
                    attempt == told && !busy && around.close && next
                }
            };
            ensure(agrees, "pool and stage disagree about a slot")?;
        }
        for (_, waiter) in &pool.waiters {
            let served = match waiter.state {
                Waiting::Queued => true,
                Waiting::Expecting(slot) => match pool.slot(slot).map(|slot| slot.state) {
                    Some(State::Connecting(other) | State::Paused(other)) => {
                        other.number == waiter.number
                    }
                    Some(State::Closing { next: Some(other), .. }) => {
                        other.number == waiter.number
                    }
                    _ => false,
                },
                Waiting::Reserved(slot) => pool.slot(slot).is_some(),
                Waiting::Served => true,
            };
            ensure(served, "a waiter waits for nothing")?;
        }
        Ok(())
    }

    /// First come, first served: between a state and the next.
    fn check_order(&self, before: &World, event: Event) -> Result<(), String> {
        let older = |waiter: WaiterId, origin: usize, expecting: bool| {
            self.pool.waiters.iter().any(|(_, w)| {
                w.origin == origin
                    && w.number < waiter.number
                    && (w.state == Waiting::Queued
                        || expecting && !w.fresh && matches!(w.state, Waiting::Expecting(_)))
            })
        };
        for (index, slot) in &self.pool.slots {
            let State::Reserved(waiter, _) = slot.state else { continue };
            let id = SlotId { number: slot.number, index };
            let earlier = before.pool.slot(id).map(|slot| slot.state);
            let same = matches!(earlier, Some(State::Reserved(w, _)) if w == waiter);
            let made_for = earlier == Some(State::Connecting(waiter));
            if !same && !made_for && older(waiter, slot.origin, true) {
                return Err(format!("{event:?}: a younger waiter was served first"));
            }
        }
        for &(slot, waiter, promised) in &self.connects {
            let origin = self.pool.slots[slot.index].origin;
            // A retry keeps the slot that it has.
            let retry = self.pool.waiters[waiter.index].fresh;
            if !promised && !retry && older(waiter, origin, false) {
                return Err(format!("{event:?}: a younger waiter was connected first"));
            }
        }
        Ok(())
    }

    // ----- canonical form -----

    fn canonical(&self, _: &[Origin], orders: &[Vec<u8>]) -> Canonical {
        let forms = orders.iter().map(|order| self.form(order));
        forms.min().unwrap_or_default().into_boxed_slice()
    }

    fn form(&self, order: &[u8]) -> Vec<u8> {
        let pool = &self.pool;
        let rank = |waiter: Option<WaiterId>| match waiter {
            None => 255,
            Some(waiter) => self.waiters.keys().position(|w| *w == waiter).unwrap_or(254) as u8,
        };
        let mut sinces: Vec<u64> = Vec::new();
        for (_, slot) in &pool.slots {
            match slot.state {
                State::Idle(since) | State::Reserved(_, Some(since)) => sinces.push(since),
                _ => {}
            }
        }
        sinces.sort();
        let moment = |since: u64| sinces.binary_search(&since).map_or(255, |at| at as u8);
        let mut slots: Vec<[u8; 6]> = Vec::new();
        for (id, around) in &self.slots {
            let slot = &pool.slots[id.index];
            let (code, one, two) = match slot.state {
                State::Orphaned(why) => (0, 0, u8::from(why == Orphan::Overtaken)),
                State::Connecting(waiter) => (1, rank(Some(waiter)), 0),
                State::Paused(waiter) => (7, rank(Some(waiter)), 0),
                State::Free(_) | State::Gone => unreachable!(),
                State::InUse(_) => match around.phase {
                    // How old the request is matters only if it is sent again.
                    Phase::Busy(waiter, reused, again) => (2, u8::from(reused), {
                        let place = self.waiters.keys().filter(|w| **w < waiter).count();
                        let others = self.slots.values().filter(
                            |s| matches!(s.phase, Phase::Busy(other, ..) if other < waiter),
                        );
                        u8::from(again) << 7 | ((place + others.count()) as u8)
                    }),
                    _ => (9, 0, 0),
                },
                State::Idle(since) => (3, moment(since), 0),
                State::Reserved(waiter, since) => {
                    (4, rank(Some(waiter)), since.map_or(255, moment))
                }
                State::Closing { attempt, next: None, .. } => (5, 0, u8::from(attempt)),
                State::Closing { attempt, next, .. } => (6, rank(next), u8::from(attempt)),
            };
            let flags = u8::from(around.serve)
                | u8::from(slot.used) << 1
                | u8::from(slot.begun_again && code < 2) << 2;
            let resumes =
                slot.resumes.filter(|id| matches!(pool.state(*id), Some(State::Paused(_))));
            let resumes = resumes.and_then(|id| self.slots.keys().position(|s| *s == id));
            let resumes = resumes.map_or(255, |at| at as u8);
            slots.push([order[usize::from(around.origin)], code, one, two, flags, resumes]);
        }
        // In the order of their age, which decides which of two is reclaimed.
        let mut form = vec![u8::from(pool.closing), slots.len() as u8];
        form.extend(slots.as_flattened());
        for (waiter, origin) in &self.waiters {
            let found = &pool.waiters[waiter.index];
            let state = match found.state {
                Waiting::Queued => 0,
                Waiting::Expecting(_) => 1,
                Waiting::Reserved(_) => 3,
                Waiting::Served => 4,
            };
            form.extend([order[usize::from(*origin)], state, u8::from(found.fresh)]);
        }
        form
    }
}

fn names(count: u8) -> Vec<Origin> {
    let name = |n| format!("http://{}", char::from(b'a' + n));
    (0..count).map(|n| Origin::of(&name(n).parse().unwrap()).unwrap()).collect()
}

/// All orders of the origins.
fn orders(count: u8) -> Vec<Vec<u8>> {
    match count {
        0 | 1 => vec![vec![0]],
        2 => vec![vec![0, 1], vec![1, 0]],
        _ => vec![
            vec![0, 1, 2],
            vec![0, 2, 1],
            vec![1, 0, 2],
            vec![1, 2, 0],
            vec![2, 0, 1],
            vec![2, 1, 0],
        ],
    }
}

pub(crate) struct Explored {
    states: usize,
    /// From, to, by what, and whether it happens by itself.
    edges: Vec<(u32, u32, Event, bool)>,
    depth: usize,
    worlds: Vec<World>,
}

/// Checks that states that look the same go on the same.
fn is_sound(bounds: &Bounds) -> usize {
    let (names, orders) = (names(bounds.origins), orders(bounds.origins));
    let after = |world: &World| {
        let events = world.events(bounds, &names);
        let mut forms: Vec<_> = events
            .into_iter()
            .map(|event| world.step(event, &names).unwrap().canonical(&names, &orders))
            .collect();
        forms.sort();
        forms
    };
    let first = World::new(bounds.limits);
    let mut seen = HashMap::from([(first.canonical(&names, &orders), after(&first))]);
    let (mut frontier, mut differ) = (vec![first], 0);
    while let Some(world) = frontier.pop() {
        for event in world.events(bounds, &names) {
            let next = world.step(event, &names).unwrap();
            let forms = after(&next);
            match seen.get(&next.canonical(&names, &orders)) {
                Some(known) => differ += usize::from(*known != forms),
                None => {
                    seen.insert(next.canonical(&names, &orders), forms);
                    frontier.push(next);
                }
            }
        }
    }
    differ
}

#[test]
fn states_that_look_the_same_go_on_the_same() {
    assert_eq!(is_sound(&bounds(2, 2, 1, 1)), 0);
    assert_eq!(is_sound(&bounds(1, 3, 2, 2)), 0);
    assert_eq!(is_sound(&bounds(2, 3, 2, 1)), 0);
}

/// All states that can be reached.
///
/// # Panics
///
/// With the shortest way to a state that is wrong.
fn explore(bounds: &Bounds, keep: bool) -> Explored {
    let (names, orders) = (names(bounds.origins), orders(bounds.origins));
    let first = World::new(bounds.limits);
    let mut seen = HashMap::from([(first.canonical(&names, &orders), 0u32)]);
    let mut parents: Vec<(u32, Option<Event>)> = vec![(0, None)];
    let mut frontier = vec![(0u32, first.clone())];
    let mut worlds = if keep { vec![first] } else { Vec::new() };
    let (mut edges, mut depth) = (Vec::new(), 0);
    let mut done = Vec::new();
    let way = |parents: &[(u32, Option<Event>)], mut at: u32, last: Event| {
        let mut way = vec![last];
        while let (parent, Some(event)) = parents[at as usize] {
            way.push(event);
            at = parent;
        }
        way.reverse();
        way
    };
    while !frontier.is_empty() {
        let mut next = Vec::new();
        for (from, world) in frontier {
            if world.waiters.is_empty() {
                done.push(from);
            }
            for event in world.events(bounds, &names) {
                let stepped = match world.step(event, &names) {
                    Ok(stepped) => stepped,
                    Err(what) => {
                        panic!("{what}\n{:#?}\n{:#?}", way(&parents, from, event), world.pool)
                    }
                };
                let form = stepped.canonical(&names, &orders);
                let fresh = seen.len() as u32;
                let to = *seen.entry(form).or_insert(fresh);
                edges.push((from, to, event, world.is_progress(event)));
                if to == fresh {
                    parents.push((from, Some(event)));
                    if keep {
                        worlds.push(stepped.clone());
                    }
                    next.push((to, stepped));
                }
            }
        }
        depth += usize::from(!next.is_empty());
        frontier = next;
    }
    // From everywhere there is a way on which every waiter is served, and nobody has to give up.
    let states = seen.len();
    let mut backward = vec![Vec::new(); states];
    for &(from, to, _, progress) in &edges {
        if progress {
            backward[to as usize].push(from);
        }
    }
    let mut reached = vec![false; states];
    let mut stack = done;
    while let Some(state) = stack.pop() {
        if !std::mem::replace(&mut reached[state as usize], true) {
            stack.extend(&backward[state as usize]);
        }
    }
    if let Some(stuck) = reached.iter().position(|reached| !reached) {
        let (parent, event) = parents[stuck];
        panic!("a waiter waits for ever: {:#?}", event.map(|e| way(&parents, parent, e)));
    }
    Explored { states, edges, depth, worlds }
}

fn bounds(origins: u8, requests: usize, total: usize, per_origin: usize) -> Bounds {
    let limits = Limits { total, per_origin, idle_per_origin: 1, waiting: requests };
    Bounds {
        origins,
        requests,
        limits,
        cancel: true,
        die: true,
        retry: true,
        close: true,
        exhaust: true,
    }
}

fn report(name: &str, bounds: &Bounds) {
    let start = Instant::now();
    let explored = explore(bounds, false);
    println!(
        "{name}: {} states, {} steps, depth {}, {:.2} s",
        explored.states,
        explored.edges.len(),
        explored.depth,
        start.elapsed().as_secs_f64()
    );
}

/// The graph of a small pool, for a page that lets its reader walk through it.
fn json(bounds: &Bounds) -> String {
    let names = names(bounds.origins);
    let explored = explore(bounds, true);
    let mut out = String::from("{\"states\":[");
    for (index, world) in explored.worlds.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        _ = write!(out, "{comma}{{\"slots\":[");
        for (at, (id, around)) in world.slots.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let slot = &world.pool.slots[id.index];
            let rank = |w: WaiterId| world.waiters.keys().position(|x| *x == w).unwrap_or(99);
            let state = match slot.state {
                State::Free(_) | State::Gone => unreachable!(),
                State::Orphaned(_) => "orphaned".into(),
                State::Connecting(w) => format!("connecting {}", rank(w)),
                State::Paused(w) => format!("paused {}", rank(w)),
                State::InUse(_) => "in use".into(),
                State::Idle(_) => "idle".into(),
                State::Reserved(w, _) => format!("reserved {}", rank(w)),
                State::Closing { next, .. } => {
                    next.map_or("closing".into(), |w| format!("closing for {}", rank(w)))
                }
            };
            let origin = &names[usize::from(around.origin)].host();
            _ = write!(out, "{comma}[\"{origin}\",\"{state}\"]");
        }
        out.push_str("],\"waiters\":[");
        for (at, (id, origin)) in world.waiters.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let state = match world.pool.waiters[id.index].state {
                Waiting::Queued => "queued",
                Waiting::Expecting(_) => "expecting",
                Waiting::Reserved(_) => "reserved",
                Waiting::Served => "served",
            };
            let origin = names[usize::from(*origin)].host();
            _ = write!(out, "{comma}[\"{origin}\",\"{state}\"]");
        }
        out.push_str("]}");
    }
    out.push_str("],\"steps\":[");
    for (at, (from, to, event, _)) in explored.edges.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let world = &explored.worlds[*from as usize];
        let rank = |w: &WaiterId| world.waiters.keys().position(|x| x == w).unwrap_or(99);
        let place = |s: &SlotId| world.slots.keys().position(|x| x == s).unwrap_or(99);
        let what = match event {
            Event::Checkout(o) => format!("checkout {}", names[usize::from(*o)].host()),
            Event::Cancel(w) => format!("cancel {}", rank(w)),
            Event::Connected(s) => format!("connected {}", place(s)),
            Event::ConnectFailed(s) => format!("connect_failed {}", place(s)),
            Event::OutOfDescriptors(s) => format!("out_of_descriptors {}", place(s)),
            Event::Take(s) => format!("take {}", place(s)),
            Event::Checkin(s) => format!("checkin {}", place(s)),
            Event::Closed(s) => format!("closed {}", place(s)),
            Event::Retry(s) => format!("retry {}", place(s)),
            Event::Close => "close".into(),
        };
        _ = write!(out, "{comma}[{from},{to},\"{what}\"]");
    }
    out.push_str("]}");
    out
}

#[test]
fn the_graph_of_a_tiny_pool_is_small_enough_to_print() {
    let bare = Bounds { retry: false, close: false, ..bounds(2, 2, 1, 1) };
    let full = bounds(2, 2, 2, 1);
    for (name, bounds) in [("tiny", bare), ("small", full)] {
        let graph = json(&bounds);
        println!("{name}: {} bytes", graph.len());
        std::fs::write(std::env::temp_dir().join(format!("pool-{name}.json")), graph).unwrap();
    }
}

#[test]
fn all_orders_of_events_in_small_pools() {
    report("1 origin, 2 requests, total 1", &bounds(1, 2, 1, 1));
    report("1 origin, 3 requests, total 2", &bounds(1, 3, 2, 2));
    report("2 origins, 2 requests, total 1", &bounds(2, 2, 1, 1));
    report("2 origins, 3 requests, total 2, one each", &bounds(2, 3, 2, 1));
    report("2 origins, 3 requests, total 2", &bounds(2, 3, 2, 2));
}

#[test]
#[ignore = "takes long in a debug build"]
fn all_orders_of_events_in_larger_pools() {
    report("3 origins, 3 requests, total 2", &bounds(3, 3, 2, 2));
    report("2 origins, 4 requests, total 2", &bounds(2, 4, 2, 2));
    report("2 origins, 3 requests, total 3", &bounds(2, 3, 3, 2));
    report("3 origins, 4 requests, total 2", &bounds(3, 4, 2, 2));
    report("2 origins, 4 requests, total 3", &bounds(2, 4, 3, 2));
    report("3 origins, 4 requests, total 3, one each", &bounds(3, 4, 3, 1));
}
