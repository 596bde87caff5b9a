//! A pool, what is under way around it, and every event that may come next.

use std::collections::BTreeMap;

use super::super::{Action, Limits, Pool, SlotId, WaiterId, states::State};
use crate::{CloseReason, Error, Origin};

/// How large a world may become, and what may happen in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) origins: u8,
    /// Requests that wait or are served at the same time. More may follow.
    pub(super) requests: usize,
    pub(super) limits: Limits,
    /// Callers give up.
    pub(super) cancel: bool,
    /// Connections are closed unasked.
    pub(super) die: bool,
    /// Requests are sent again.
    pub(super) retry: bool,
    /// Attempts run out of descriptors.
    pub(super) exhaust: bool,
    /// The client is closed.
    pub(super) close: bool,
}

/// A request: its origin, the number of its waiter, and whether it was sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) origin: u8,
    pub(super) number: u64,
    pub(super) again: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Event {
    Checkout(u8),
    Cancel(WaiterId),
    Connected(SlotId),
    ConnectFailed(SlotId),
    OutOfDescriptors(SlotId),
    Take(SlotId),
    /// The connection takes a request, finds that its caller has left, and gives itself back.
    Pass(SlotId),
    Checkin(SlotId),
    Closed(SlotId),
    Retry(SlotId),
    Close,
}

/// What a stage does in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Attempt,
    /// Nothing. Another attempt will begin.
    Paused,
    NotInUse,
    Busy(Request, WaiterId),
}

/// What a stage knows of a slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around {
    pub(super) origin: u8,
    pub(super) phase: Phase,
    /// The attempt was begun a second time.
    pub(super) second: bool,
    /// The connection has carried an exchange.
    pub(super) used: bool,
    /// [`Action::Serve`] came, and the stage has not called [`Pool::take`] yet.
    pub(super) serve: bool,
    /// [`Action::Close`] or [`Action::Abandon`] came.
    pub(super) close: bool,
}

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) pool: Pool<Request>,
    pub(super) slots: BTreeMap<SlotId, Around>,
    /// The waiters that are not served yet, with their origins.
    pub(super) waiters: BTreeMap<WaiterId, u8>,
}

/// What the pool must not do.
pub(super) type Wrong = String;

impl World {
    pub(super) fn new(limits: Limits) -> Self {
        let (slots, waiters) = (BTreeMap::new(), BTreeMap::new());
        World { pool: Pool::new(limits), slots, waiters }
    }

    /// Everything that may happen next.
    pub(super) fn events(&self, bounds: &Bounds) -> Vec<Event> {
        let mut events = Vec::new();
        let busy = self.slots.values().filter(|s| matches!(s.phase, Phase::Busy(..))).count();
        if !self.pool.is_closing() {
            if self.waiters.len() + busy < bounds.requests {
                events.extend((0..bounds.origins).map(Event::Checkout));
            }
            events.extend(bounds.close.then_some(Event::Close));
        }
        if bounds.cancel {
            events.extend(self.waiters.keys().map(|waiter| Event::Cancel(*waiter)));
        }
        for (&slot, around) in &self.slots {
            let closed = (bounds.die || around.close).then_some(Event::Closed(slot));
            match around.phase {
                Phase::Attempt => {
                    events.extend([Event::Connected(slot), Event::ConnectFailed(slot)]);
                    events.extend(bounds.exhaust.then_some(Event::OutOfDescriptors(slot)));
                }
                Phase::Paused => {}
                Phase::NotInUse => {
                    if around.serve {
                        events.push(Event::Take(slot));
                        events.extend(bounds.cancel.then_some(Event::Pass(slot)));
                    }
                    events.extend(closed);
                }
                Phase::Busy(request, _) => {
                    events.push(Event::Checkin(slot));
                    events.extend(closed);
                    let stale = bounds.retry && around.used && !request.again;
                    events.extend(stale.then_some(Event::Retry(slot)));
                }
            }
        }
        events
    }

    /// Whether an event happens by itself sooner or later: no caller has to come or go, and no
    /// connection has to die.
    pub(super) fn is_progress(&self, event: Event) -> bool {
        match event {
            Event::Connected(_) | Event::Take(_) | Event::Checkin(_) => true,
            Event::ConnectFailed(slot) | Event::Closed(slot) => self.slots[&slot].close,
            _ => false,
        }
    }

    /// The world after an event, with the pool's decisions carried out. The step is checked, the
    /// world itself is not ([`World::check`]).
    pub(super) fn after(&self, event: Event, names: &[Origin]) -> Result<World, Wrong> {
        let mut world = self.clone();
        world.happen(event, names)?;
        while let Some(action) = world.pool.poll_action() {
            world.carry_out(action, names)?;
        }
        // No action says that a paused attempt has ended.
        let World { pool, slots, .. } = &mut world;
        slots.retain(|slot, around| {
            around.phase != Phase::Paused || pool.state(*slot).is_some()
        });
        world.check_step(self).map_err(|what| format!("{event:?}: {what}"))?;
        Ok(world)
    }

    fn happen(&mut self, event: Event, names: &[Origin]) -> Result<(), Wrong> {
        let World { pool, slots, waiters } = self;
        match event {
            Event::Checkout(origin) => {
                let request = Request { origin, number: pool.arrivals + 1, again: false };
                match pool.checkout(&names[usize::from(origin)], request) {
                    Ok(waiter) => _ = waiters.insert(waiter, origin),
                    Err((_, Error::PoolBusy { .. })) if pool.queued == pool.limits.waiting => {}
                    Err((_, error)) => return Err(format!("refused: {error}")),
                }
            }
            Event::Cancel(waiter) => {
                waiters.remove(&waiter);
                let request = pool.cancel(waiter).ok_or("nothing to cancel")?;
                ensure(request.number == waiter.number(), "another request was cancelled")?;
            }
            Event::Connected(slot) => {
                pool.connected(slot);
                self.at(slot).phase = Phase::NotInUse;
            }
            Event::ConnectFailed(slot) => self.fail(slot)?,
            Event::OutOfDescriptors(slot) => {
                let second = slots[&slot].second;
                if !pool.out_of_descriptors(slot) {
                    return self.fail(slot);
                }
                ensure(!second, "an attempt was begun a third time")?;
                self.at(slot).phase = Phase::Paused;
            }
            Event::Take(slot) => {
                self.at(slot).serve = false;
                if let Some((waiter, request)) = self.pool.take(slot) {
                    let reused = self.pool.begin(slot);
                    let around = self.at(slot);
                    ensure(reused == around.used, "the pool miscounts exchanges")?;
                    ensure(!(request.again && reused), "a retry is on a used connection")?;
                    ensure(request.origin == around.origin, "a request of another origin")?;
                    around.used = true;
                    around.phase = Phase::Busy(request, waiter);
                    self.served(waiter, request)?;
                }
            }
            Event::Pass(slot) => {
                self.at(slot).serve = false;
                if let Some((waiter, request)) = self.pool.take(slot) {
                    self.served(waiter, request)?;
                    self.pool.checkin(slot);
                }
            }
            Event::Checkin(slot) => {
                pool.checkin(slot);
                self.at(slot).phase = Phase::NotInUse;
            }
            Event::Closed(slot) => {
                pool.closed(slot, CloseReason::PeerClosed);
                slots.remove(&slot);
            }
            Event::Retry(slot) => {
                let Some(Around { phase: Phase::Busy(request, waiter), .. }) =
                    slots.remove(&slot)
                else {
                    unreachable!("only what is served is sent again")
                };
                pool.retry(slot, Request { again: true, ..request }, CloseReason::PeerClosed);
                waiters.insert(waiter, request.origin);
            }
            Event::Close => pool.close(),
        }
        Ok(())
    }

    fn at(&mut self, slot: SlotId) -> &mut Around {
        self.slots.get_mut(&slot).expect("an event of a slot that there is")
    }

    /// An attempt fails: its waiter gets the error, and no other one does.
    fn fail(&mut self, slot: SlotId) -> Result<(), Wrong> {
        let own = match self.pool.state(slot) {
            Some(State::Connecting(waiter)) => Some(waiter),
            _ => None,
        };
        let failed = self.pool.connect_failed(slot).map(|request| request.number);
        ensure(failed == own.map(WaiterId::number), "an error went to another waiter")?;
        own.map(|waiter| self.waiters.remove(&waiter));
        self.slots.remove(&slot);
        Ok(())
    }

    fn served(&mut self, waiter: WaiterId, request: Request) -> Result<(), Wrong> {
        ensure(request.number == waiter.number(), "a waiter is served with another request")?;
        let origin = self.waiters.remove(&waiter);
        ensure(origin == Some(request.origin), "a waiter is served that does not wait")
    }

    fn carry_out(&mut self, action: Action, names: &[Origin]) -> Result<(), Wrong> {
        match action {
            Action::Connect { slot, origin, .. } => {
                let origin = names.iter().position(|name| *name == origin).unwrap() as u8;
                let second = self.slots.get(&slot).map(|before| before.phase);
                ensure(
                    second.is_none_or(|p| p == Phase::Paused),
                    "an attempt was begun twice",
                )?;
                let second = second.is_some();
                let (phase, used, serve, close) = (Phase::Attempt, false, false, false);
                let around = Around { origin, phase, second, used, serve, close };
                self.slots.insert(slot, around);
            }
            Action::Serve { slot } => {
                ensure(self.at(slot).phase == Phase::NotInUse, "what is to serve is not free")?;
                self.at(slot).serve = true;
            }
            Action::Abandon { slot } => {
                ensure(self.at(slot).phase == Phase::Attempt, "what is abandoned is open")?;
                self.at(slot).close = true;
            }
            Action::Close { slot, .. } => {
                ensure(self.at(slot).phase == Phase::NotInUse, "what is closed is in use")?;
                self.at(slot).close = true;
            }
            Action::Idle { slot } => {
                ensure(self.at(slot).phase == Phase::NotInUse, "what is idle is in use")?;
            }
            Action::Wait { waiter } => {
                ensure(self.waiters.contains_key(&waiter), "what waits is not there")?;
            }
        }
        Ok(())
    }
}

pub(super) fn ensure(holds: bool, what: &str) -> Result<(), Wrong> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}
