//! The canonical form of a world: two worlds with the same form go on in the same way.
//!
//! Numbers are ranks, and origins have no names, so requests may come without end and the forms are
//! still finite.

use super::{
    super::{
        WaiterId,
        states::{Orphan, State},
        waiters::Waiting,
    },
    world::{Phase, World},
};

pub(super) type Form = Box<[u8]>;

const NONE: u8 = 255;

impl World {
    /// The least of the forms under all names that the origins could have.
    pub(super) fn form(&self, orders: &[Vec<u8>]) -> Form {
        let forms = orders.iter().map(|order| self.form_with(order));
        forms.min().unwrap_or_default().into_boxed_slice()
    }

    fn form_with(&self, order: &[u8]) -> Vec<u8> {
        let pool = &self.pool;
        let mut form = vec![u8::from(pool.is_closing()), self.slots.len() as u8];
        // In the order of their age, which decides which of two is given up.
        for (id, around) in &self.slots {
            let slot = &pool.slots[id.index];
            let (code, one, two) = match slot.state {
                State::Connecting(waiter) => (0, self.rank(waiter), around.second.into()),
                State::Paused(waiter) => (1, self.rank(waiter), 0),
                State::Orphaned(Orphan::GivenUp) => (2, 0, 0),
                // Its next waiter takes over its second attempt, too.
                State::Orphaned(Orphan::Overtaken) => (3, around.second.into(), 0),
                State::Reserved(waiter, since) => {
                    (4, self.rank(waiter), since.map_or(NONE, |since| self.moment(since)))
                }
                // How old a served request is matters if it is sent again.
                State::InUse(waiter) => (
                    5,
                    self.rank(waiter),
                    match around.phase {
                        Phase::Busy(request, _) => request.again.into(),
                        _ => NONE,
                    },
                ),
                State::Idle(since) => (6, self.moment(since), 0),
                State::Closing { attempt, next, .. } => {
                    (7, next.map_or(NONE, |waiter| self.rank(waiter)), attempt.into())
                }
                State::Free(_) | State::Gone => (NONE, 0, 0),
            };
            let flags = u8::from(around.serve) | u8::from(slot.used) << 1;
            let paused = slot
                .resumes
                .filter(|paused| matches!(pool.state(*paused), Some(State::Paused(_))));
            let paused = paused.and_then(|paused| self.slots.keys().position(|s| *s == paused));
            let paused = paused.map_or(NONE, |at| at as u8);
            form.extend([order[usize::from(around.origin)], code, one, two, flags, paused]);
        }
        for (waiter, origin) in &self.waiters {
            let found = &pool.waiters[waiter.index];
            let state = match found.state {
                Waiting::Queued => 0,
                Waiting::Expecting(_) => 1,
                Waiting::Reserved(_) => 2,
                Waiting::Served => NONE,
            };
            form.extend([order[usize::from(*origin)], state, found.fresh.into()]);
        }
        form
    }

    /// The rank of a waiter in the order of arrival, among those that wait or are served.
    fn rank(&self, waiter: WaiterId) -> u8 {
        let served = self
            .slots
            .values()
            .filter(|around| matches!(around.phase, Phase::Busy(_, other) if other < waiter));
        (self.waiters.keys().filter(|other| **other < waiter).count() + served.count()) as u8
    }

    /// The rank of a moment among those that the pool remembers.
    fn moment(&self, since: u64) -> u8 {
        let earlier = self.pool.slots.iter().filter(|(_, slot)| match slot.state {
            State::Idle(other) | State::Reserved(_, Some(other)) => other < since,
            _ => false,
        });
        earlier.count() as u8
    }
}

/// All orders of this many origins.
pub(super) fn orders(origins: u8) -> Vec<Vec<u8>> {
    if origins == 0 {
        return vec![Vec::new()];
    }
    let mut longer = Vec::new();
    for shorter in orders(origins - 1) {
        for at in 0..origins {
            let mut order = shorter.clone();
            order.insert(usize::from(at), origins - 1);
            longer.push(order);
        }
    }
    longer
}
