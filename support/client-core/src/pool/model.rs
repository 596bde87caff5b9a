//! The rules of the pool once more, as plainly as possible, to compare the pool with.
//!
//! The model keeps slots and waiters in two plain lists. It has no sums, no sets and no states of
//! waiters: each question is answered by looking at everything.

use proptest::{prelude::*, sample::Index};

use super::{Action, Limits, Pool, SlotId, WaiterId};
use crate::{CloseReason, Error, Origin};

const ORIGINS: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Connecting(u64),
    Paused(u64),
    Orphan { given_up: bool },
    Reserved(u64, Option<u64>),
    InUse(u64),
    Free(Option<u64>),
    Idle(u64),
    Closing { attempt: bool, reason: CloseReason, next: Option<u64> },
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    number: u64,
    origin: usize,
    what: What,
    used: bool,
    second_attempt: bool,
    /// The slot that begins again when this one is closed.
    resumes: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Waiter {
    number: u64,
    origin: usize,
    fresh: bool,
}

/// An action, with plain numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Plain {
    Wait(u64),
    Connect(u64, u64),
    Abandon(u64),
    Serve(u64),
    Idle(u64),
    Close(u64),
}

#[derive(Debug)]
struct Model {
    limits: Limits,
    slots: Vec<Slot>,
    /// In the order of arrival; also those that are served.
    waiters: Vec<Waiter>,
    arrivals: u64,
    slots_taken: u64,
    moments: u64,
    closing: bool,
    actions: Vec<Plain>,
    created: u64,
    reused: u64,
    retried: u64,
    closed: Vec<CloseReason>,
}

// ===== questions =====

impl Model {
    fn new(limits: Limits) -> Self {
        Model {
            limits,
            slots: Vec::new(),
            waiters: Vec::new(),
            arrivals: 0,
            slots_taken: 0,
            moments: 0,
            closing: false,
            actions: Vec::new(),
            created: 0,
            reused: 0,
            retried: 0,
            closed: Vec::new(),
        }
    }

    fn slot(&mut self, number: u64) -> &mut Slot {
        self.slots.iter_mut().find(|slot| slot.number == number).unwrap()
    }

    fn what(&self, number: u64) -> What {
        self.slots.iter().find(|slot| slot.number == number).unwrap().what
    }

    fn waiter(&self, number: u64) -> Waiter {
        *self.waiters.iter().find(|waiter| waiter.number == number).unwrap()
    }

    /// The slot that a waiter was given, whatever is in it.
    fn given(&self, waiter: u64) -> Option<Slot> {
        let given = |slot: &&Slot| match slot.what {
            What::Connecting(w) | What::Paused(w) | What::Reserved(w, _) | What::InUse(w) => {
                w == waiter
            }
            What::Closing { next, .. } => next == Some(waiter),
            _ => false,
        };
        self.slots.iter().find(given).copied()
    }

    fn expects(&self, waiter: &Waiter) -> bool {
        let given = self.given(waiter.number).map(|slot| slot.what);
        matches!(given, Some(What::Connecting(_) | What::Paused(_) | What::Closing { .. }))
    }

    /// The head of an origin's queue.
    fn first_queued(&self, origin: usize) -> Option<u64> {
        let queued = |w: &&Waiter| w.origin == origin && self.given(w.number).is_none();
        self.waiters.iter().find(queued).map(|waiter| waiter.number)
    }

    fn queued(&self) -> usize {
        self.waiters.iter().filter(|w| self.given(w.number).is_none()).count()
    }

    /// Whether a slot counts for an origin: as its own, or as assigned to one of its waiters.
    fn is_assigned_to(&self, slot: &Slot, origin: usize) -> bool {
        match slot.what {
            What::Closing { next: Some(waiter), .. } => self.waiter(waiter).origin == origin,
            _ => false,
        }
    }

    fn counted(&self, origin: usize) -> usize {
        let counts = |slot: &&Slot| slot.origin == origin || self.is_assigned_to(slot, origin);
        self.slots.iter().filter(counts).count()
    }

    fn held(&self, origin: usize) -> usize {
        let holds = |slot: &&Slot| match slot.what {
            What::Closing { .. } => self.is_assigned_to(slot, origin),
            What::Orphan { .. } => false,
            _ => slot.origin == origin,
        };
        self.slots.iter().filter(holds).count()
    }

    fn idle(&self, origin: usize) -> usize {
        let idle = |s: &&Slot| s.origin == origin && matches!(s.what, What::Idle(_));
        self.slots.iter().filter(idle).count()
    }

    /// Blocked origins, the neediest first: slots, head of the queue, origin.
    fn neediest(&self) -> Option<(usize, u64, usize)> {
        let blocked = (0..ORIGINS).filter(|id| self.counted(*id) < self.limits.per_origin);
        let ranks = blocked.filter_map(|id| Some((self.held(id), self.first_queued(id)?, id)));
        ranks.min()
    }

    fn share(&self) -> usize {
        let demands =
            |id: &usize| self.first_queued(*id).is_some() || self.held(*id) > self.idle(*id);
        (self.limits.total / (0..ORIGINS).filter(demands).count().max(1)).max(1)
    }

    /// The waiter of another origin that gets a slot of an origin with this many others.
    fn needier(&self, origin: usize, others: usize) -> Option<u64> {
        let (held, waiter, _) = self.neediest().filter(|(.., rival)| *rival != origin)?;
        match self.first_queued(origin) {
            Some(first) if held >= self.share() || (held, waiter) > (others, first) => None,
            _ => Some(waiter),
        }
    }

    fn first(&self, is: impl Fn(&Slot) -> bool) -> Option<u64> {
        self.slots.iter().filter(|slot| is(slot)).map(|slot| slot.number).min()
    }
}

// ===== decisions =====

impl Model {
    fn become_of(&mut self, slot: u64, what: What) {
        self.slot(slot).what = what;
    }

    fn connect(&mut self, waiter: u64) {
        self.slots_taken += 1;
        self.slots.push(Slot {
            number: self.slots_taken,
            origin: self.waiter(waiter).origin,
            what: What::Connecting(waiter),
            used: false,
            second_attempt: false,
            resumes: None,
        });
        self.actions.push(Plain::Connect(self.slots_taken, waiter));
    }

    fn reserve(&mut self, slot: u64, waiter: u64) {
        let since = match self.what(slot) {
            What::Idle(since) => Some(since),
            What::Free(since) => since,
            _ => None,
        };
        self.become_of(slot, What::Reserved(waiter, since));
        self.actions.push(Plain::Serve(slot));
    }

    fn close_slot(&mut self, slot: u64, reason: CloseReason, next: Option<u64>) {
        let attempt = match self.what(slot) {
            What::Closing { attempt, reason, .. } => {
                return self.become_of(slot, What::Closing { attempt, reason, next });
            }
            What::Orphan { .. } => true,
            _ => false,
        };
        self.become_of(slot, What::Closing { attempt, reason, next });
        self.actions.push(if attempt { Plain::Abandon(slot) } else { Plain::Close(slot) });
    }

    /// A waiter no longer needs what it was given.
    fn leave(&mut self, waiter: u64, given_up: bool) {
        let Some(slot) = self.given(waiter) else { return };
        let number = slot.number;
        match slot.what {
            What::Connecting(_) => self.become_of(number, What::Orphan { given_up }),
            What::Paused(_) => self.slots.retain(|slot| slot.number != number),
            What::Closing { reason, .. } => self.close_slot(number, reason, None),
            What::Reserved(_, since) => self.become_of(number, What::Free(since)),
            _ => unreachable!(),
        }
    }

    fn free(&mut self, slot: u64) {
        let origin = self.slot(slot).origin;
        let any = |w: &&Waiter| {
            w.origin == origin
                && !w.fresh
                && (self.given(w.number).is_none() || self.expects(w))
        };
        let oldest = self.waiters.iter().find(any).copied();
        let rival = self.needier(origin, self.held(origin) - 1);
        match (oldest, rival) {
            (Some(waiter), _) if self.expects(&waiter) => {
                self.leave(waiter.number, false);
                self.reserve(slot, waiter.number);
            }
            (_, Some(rival)) => self.close_slot(slot, CloseReason::Evicted, Some(rival)),
            (Some(waiter), None) => self.reserve(slot, waiter.number),
            (None, None) if self.closing => {
                self.close_slot(slot, CloseReason::ClientClosed, None);
            }
            (None, None) if self.idle(origin) >= self.limits.idle_per_origin => {
                self.close_slot(slot, CloseReason::IdleLimit, None);
            }
            (None, None) => {
                self.moments += 1;
                let What::Free(since) = self.what(slot) else { unreachable!() };
                self.become_of(slot, What::Idle(since.unwrap_or(self.moments)));
                if since.is_none() {
                    self.actions.push(Plain::Idle(slot));
                }
            }
        }
    }

    /// Makes one decision, if there is one to make.
    fn decide_once(&mut self) -> bool {
        let spare = |slot: &Slot| matches!(slot.what, What::Closing { next: None, .. });
        for id in 0..ORIGINS {
            let (held, full) = (self.held(id), self.counted(id) >= self.limits.per_origin);
            let mine = |what| self.first(|slot| slot.origin == id && slot.what == what);
            let overtaken = mine(What::Orphan { given_up: false });
            let given_up = mine(What::Orphan { given_up: true });
            let Some(first) = self.first_queued(id) else {
                let idle = |s: &Slot| s.origin == id && matches!(s.what, What::Idle(_));
                let unneeded = overtaken.or(given_up).or(self.first(idle));
                if self.closing
                    && let Some(slot) = unneeded
                {
                    self.close_slot(slot, CloseReason::ClientClosed, None);
                    return true;
                }
                continue;
            };
            if let Some(slot) = overtaken {
                match self.needier(id, held) {
                    Some(rival) => self.close_slot(slot, CloseReason::Evicted, Some(rival)),
                    None => self.become_of(slot, What::Connecting(first)),
                }
                return true;
            }
            let closing = self.first(|slot| slot.origin == id && spare(slot));
            if full && let Some(slot) = closing.or(given_up) {
                let next = self.needier(id, held).unwrap_or(first);
                self.close_slot(slot, CloseReason::Evicted, Some(next));
                return true;
            }
        }
        let Some((_, waiter, _)) = self.neediest() else { return false };
        if self.slots.len() < self.limits.total {
            self.connect(waiter);
            return true;
        }
        match self.first(spare).or_else(|| self.to_give_up()) {
            Some(slot) => self.close_slot(slot, CloseReason::Evicted, Some(waiter)),
            None => return false,
        }
        true
    }

    /// An attempt without a waiter, or else the idle connection that was used least recently.
    fn to_give_up(&self) -> Option<u64> {
        let since = |slot: &Slot| match slot.what {
            What::Idle(since) => Some((since, slot.number)),
            _ => None,
        };
        let idle = || self.slots.iter().filter_map(since).min().map(|(_, slot)| slot);
        self.first(|slot| matches!(slot.what, What::Orphan { .. })).or_else(idle)
    }

    fn decide(&mut self) {
        while self.decide_once() {}
    }

    /// A waiter comes, or comes back.
    fn place(&mut self, waiter: u64) {
        let origin = self.waiter(waiter).origin;
        let idle = self.slots.iter().filter_map(|slot| match slot.what {
            What::Idle(since) if slot.origin == origin => Some((since, slot.number)),
            _ => None,
        });
        match idle.max() {
            Some((_, slot)) => self.reserve(slot, waiter),
            None => self.actions.push(Plain::Wait(waiter)),
        }
    }

    fn remove_waiter(&mut self, number: u64) {
        self.waiters.retain(|waiter| waiter.number != number);
    }
}

// ===== events =====

impl Model {
    fn checkout(&mut self, origin: usize) -> Option<u64> {
        self.arrivals += 1;
        let number = self.arrivals;
        self.waiters.push(Waiter { number, origin, fresh: false });
        self.place(number);
        self.decide();
        if self.given(number).is_none() && self.queued() > self.limits.waiting {
            self.remove_waiter(number);
            return None;
        }
        Some(number)
    }

    fn cancel(&mut self, waiter: u64) {
        self.leave(waiter, true);
        self.remove_waiter(waiter);
        if let Some(slot) = self.first(|slot| matches!(slot.what, What::Free(_))) {
            self.free(slot);
        }
        self.decide();
    }

    fn connected(&mut self, slot: u64) {
        self.created += 1;
        match self.what(slot) {
            What::Connecting(waiter) => {
                self.become_of(slot, What::Free(None));
                self.reserve(slot, waiter);
            }
            What::Orphan { .. } => {
                self.become_of(slot, What::Free(None));
                self.free(slot);
            }
            What::Closing { reason, next, .. } => {
                self.become_of(slot, What::Closing { attempt: false, reason, next });
                self.actions.push(Plain::Close(slot));
            }
            _ => unreachable!(),
        }
        self.decide();
    }

    /// The slot is given back, after an attempt or with a connection that was closed.
    fn gone(&mut self, slot: u64) {
        let gone = *self.slot(slot);
        self.slots.retain(|other| other.number != slot);
        if let Some(paused) = gone.resumes
            && let Some(found) = self.slots.iter_mut().find(|slot| slot.number == paused)
            && let What::Paused(waiter) = found.what
        {
            found.what = What::Connecting(waiter);
            self.actions.push(Plain::Connect(paused, waiter));
        }
        match gone.what {
            What::Connecting(waiter) | What::InUse(waiter) => self.remove_waiter(waiter),
            What::Closing { next: Some(waiter), .. } => self.connect(waiter),
            What::Reserved(waiter, _) if self.waiter(waiter).fresh => {
                self.actions.push(Plain::Wait(waiter));
                self.connect(waiter);
            }
            What::Reserved(waiter, _) => self.place(waiter),
            _ => {}
        }
        self.decide();
    }

    fn closed(&mut self, slot: u64, reason: CloseReason) {
        self.closed.push(match self.what(slot) {
            What::Closing { reason, .. } => reason,
            _ => reason,
        });
        self.gone(slot);
    }

    fn out_of_descriptors(&mut self, slot: u64) -> bool {
        let Slot { what: What::Connecting(waiter), second_attempt: false, .. } =
            *self.slot(slot)
        else {
            return false;
        };
        let waited_for = |slot: &Slot| {
            let paused = |other: &Slot| Some(other.number) == slot.resumes;
            let other = self.slots.iter().find(|other| paused(other));
            matches!(other, Some(Slot { what: What::Paused(_), .. }))
        };
        let closing = self.first(|slot| {
            matches!(slot.what, What::Closing { next: None, .. }) && !waited_for(slot)
        });
        let Some(victim) = closing.or_else(|| self.to_give_up()) else { return false };
        if closing.is_none() {
            self.close_slot(victim, CloseReason::Evicted, None);
        }
        self.slot(victim).resumes = Some(slot);
        self.slot(slot).second_attempt = true;
        self.become_of(slot, What::Paused(waiter));
        self.decide();
        true
    }

    /// The waiter that is reserved for a connection, whose exchange begins.
    fn take(&mut self, slot: u64) -> Option<(u64, bool)> {
        let What::Reserved(waiter, _) = self.what(slot) else { return None };
        self.become_of(slot, What::InUse(waiter));
        let reused = std::mem::replace(&mut self.slot(slot).used, true);
        self.reused += u64::from(reused);
        Some((waiter, reused))
    }

    fn checkin(&mut self, slot: u64) {
        let What::InUse(waiter) = self.what(slot) else { unreachable!() };
        self.remove_waiter(waiter);
        self.become_of(slot, What::Free(None));
        self.free(slot);
        self.decide();
    }

    fn retry(&mut self, slot: u64, reason: CloseReason) {
        let What::InUse(waiter) = self.what(slot) else { unreachable!() };
        self.closed.push(reason);
        self.retried += 1;
        self.slots.retain(|other| other.number != slot);
        self.waiters.iter_mut().filter(|w| w.number == waiter).for_each(|w| w.fresh = true);
        self.actions.push(Plain::Wait(waiter));
        self.connect(waiter);
        self.decide();
    }

    fn close(&mut self) {
        self.closing = true;
        self.decide();
    }
}

// ===== both together =====

/// The pool and its model, which see the same events.
struct Pair {
    pool: Pool<u64>,
    model: Model,
    names: Vec<Origin>,
    /// Attempts that the stage has begun, and connections that have to call [`Pool::take`].
    ids: Vec<SlotId>,
    waiters: Vec<WaiterId>,
    serve: Vec<u64>,
}

impl Pair {
    fn new(limits: Limits) -> Self {
        let name = |n| Origin::of(&format!("http://host{n}").parse().unwrap()).unwrap();
        let names = (0..ORIGINS).map(name).collect();
        let (pool, model) = (Pool::new(limits), Model::new(limits));
        Pair { pool, model, names, ids: Vec::new(), waiters: Vec::new(), serve: Vec::new() }
    }

    fn id(&self, number: u64) -> SlotId {
        *self.ids.iter().find(|id| id.number == number).unwrap()
    }

    /// One event, chosen among those that can happen now.
    fn happen(&mut self, kind: u8, pick: Index) -> Result<(), TestCaseError> {
        let reason = CloseReason::PeerClosed;
        let all = self.model.slots.clone();
        let some = |is: fn(&Slot) -> bool| {
            let fit: Vec<_> = all.iter().filter(|s| is(s)).map(|s| s.number).collect();
            (!fit.is_empty()).then(|| *pick.get(&fit))
        };
        let attempt = some(|s| {
            matches!(
                s.what,
                What::Connecting(_) | What::Orphan { .. } | What::Closing { attempt: true, .. }
            )
        });
        let busy = some(|s| matches!(s.what, What::InUse(_)));
        let open = some(|s| {
            !matches!(
                s.what,
                What::Connecting(_)
                    | What::Paused(_)
                    | What::Orphan { .. }
                    | What::Closing { attempt: true, .. }
            )
        });
        match kind {
            0..=29 if !self.model.closing => {
                let origin = pick.index(ORIGINS);
                let number = self.model.checkout(origin);
                match self.pool.checkout(&self.names[origin], self.model.arrivals) {
                    Ok(waiter) => {
                        prop_assert_eq!(number, Some(waiter.number()));
                        self.waiters.push(waiter);
                    }
                    Err((_, Error::PoolBusy { .. })) => prop_assert_eq!(number, None),
                    Err((_, error)) => prop_assert!(false, "{}", error),
                }
            }
            0..=29 => prop_assert!(self.pool.checkout(&self.names[0], 0).is_err()),
            30..=36 => {
                let waiting = |w: &&WaiterId| {
                    let served = |slot: Slot| matches!(slot.what, What::InUse(_));
                    self.model.waiters.iter().any(|found| found.number == w.number())
                        && !self.model.given(w.number()).is_some_and(served)
                };
                let waiters: Vec<_> = self.waiters.iter().filter(waiting).copied().collect();
                if !waiters.is_empty() {
                    let waiter = *pick.get(&waiters);
                    self.model.cancel(waiter.number());
                    prop_assert_eq!(self.pool.cancel(waiter), Some(waiter.number()));
                    prop_assert_eq!(self.pool.cancel(waiter), None);
                }
            }
            37..=53 => {
                if let Some(slot) = attempt {
                    self.model.connected(slot);
                    prop_assert_eq!(self.pool.connected(self.id(slot)), self.model.created);
                }
            }
            54..=58 => {
                if let Some(slot) = attempt {
                    self.fail(slot)?;
                }
            }
            59..=64 => {
                if let Some(slot) = attempt {
                    let again = self.model.out_of_descriptors(slot);
                    prop_assert_eq!(self.pool.out_of_descriptors(self.id(slot)), again);
                    if !again {
                        self.fail(slot)?;
                    }
                }
            }
            65..=80 => {
                if !self.serve.is_empty() {
                    let slot = self.serve.swap_remove(pick.index(self.serve.len()));
                    let exists = self.model.slots.iter().any(|s| s.number == slot);
                    let taken = if exists { self.model.take(slot) } else { None };
                    let id = self.id(slot);
                    let found = self.pool.take(id).map(|(waiter, request)| {
                        assert_eq!(request, waiter.number());
                        (request, self.pool.begin(id))
                    });
                    prop_assert_eq!(found, taken);
                }
            }
            81..=92 => {
                if let Some(slot) = busy {
                    self.model.checkin(slot);
                    self.pool.checkin(self.id(slot));
                }
            }
            93..=96 => {
                if let Some(slot) = open {
                    self.model.closed(slot, reason);
                    self.pool.closed(self.id(slot), reason);
                }
            }
            97..=98 => {
                if let Some(slot) = busy
                    && let What::InUse(waiter) = self.model.what(slot)
                {
                    self.model.retry(slot, reason);
                    self.pool.retry(self.id(slot), waiter, reason);
                }
            }
            _ => {
                self.model.close();
                self.pool.close();
            }
        }
        self.compare()
    }

    fn fail(&mut self, slot: u64) -> Result<(), TestCaseError> {
        let expected = match self.model.what(slot) {
            What::Connecting(waiter) => Some(waiter),
            _ => None,
        };
        self.model.gone(slot);
        prop_assert_eq!(self.pool.connect_failed(self.id(slot)), expected);
        Ok(())
    }

    fn compare(&mut self) -> Result<(), TestCaseError> {
        let mut actions = Vec::new();
        while let Some(action) = self.pool.poll_action() {
            actions.push(match action {
                Action::Wait { waiter } => Plain::Wait(waiter.number()),
                Action::Connect { slot, waiter, .. } => {
                    self.ids.retain(|id| id.number != slot.number);
                    self.ids.push(slot);
                    Plain::Connect(slot.number, waiter.number())
                }
                Action::Abandon { slot } => Plain::Abandon(slot.number),
                Action::Serve { slot } => {
                    self.serve.push(slot.number);
                    Plain::Serve(slot.number)
                }
                Action::Idle { slot } => Plain::Idle(slot.number),
                Action::Close { slot, .. } => Plain::Close(slot.number),
            });
        }
        let mut expected = std::mem::take(&mut self.model.actions);
        // No action says that a waiter waits if it has a connection or has left.
        expected.retain(|action| match action {
            Plain::Wait(waiter) => {
                let found = self.model.waiters.iter().find(|w| w.number == *waiter);
                found.is_some_and(|w| {
                    self.model.given(*waiter).is_none() || self.model.expects(w)
                })
            }
            _ => true,
        });
        actions.sort();
        expected.sort();
        prop_assert_eq!(actions, expected);
        self.compare_stats()
    }

    fn compare_stats(&self) -> Result<(), TestCaseError> {
        let (model, stats) = (&self.model, self.pool.stats());
        let count = |is: fn(What) -> bool| model.slots.iter().filter(|s| is(s.what)).count();
        let connecting = count(|what| {
            matches!(
                what,
                What::Connecting(_)
                    | What::Paused(_)
                    | What::Orphan { .. }
                    | What::Closing { attempt: true, .. }
            )
        });
        let in_use = count(|w| matches!(w, What::InUse(_) | What::Reserved(_, None)));
        prop_assert_eq!(stats.connecting, connecting);
        prop_assert_eq!(stats.in_use, in_use);
        prop_assert_eq!(stats.idle, model.slots.len() - connecting - in_use);
        let served = count(|what| matches!(what, What::InUse(_)));
        prop_assert_eq!(stats.waiting, model.waiters.len() - served);
        let counts = (model.created, model.reused, model.retried);
        prop_assert_eq!((stats.created, stats.reused, stats.retried), counts);
        for reason in CloseReason::ALL {
            let closed = model.closed.iter().filter(|other| **other == reason).count();
            prop_assert_eq!(stats.closed(reason), closed as u64, "{}", reason);
        }
        let over = model.closing && model.slots.is_empty() && stats.waiting == 0;
        prop_assert_eq!(self.pool.is_over(), over);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_pool_does_what_the_plain_rules_say(
        (total, per_origin, idle_per_origin, waiting) in (1..7usize, 1..5usize, 0..4usize, 0..9usize),
        events in prop::collection::vec((0..100u8, any::<Index>()), 0..250),
    ) {
        let mut pair = Pair::new(Limits { total, per_origin, idle_per_origin, waiting });
        for (kind, pick) in events {
            pair.happen(kind, pick)?;
        }
    }
}
