//! What the pool keeps of each origin, and how it finds one.

use std::collections::BTreeSet;

use super::{Pool, SlotId, decisions::Rank, list::List, states::Orphan};
use crate::Origin;

/// An origin, while it has slots or waiters.
#[derive(Clone, Debug)]
pub(super) struct PerOrigin {
    pub(super) name: Origin,
    /// What its limit counts: its own slots, and those of other origins that are assigned to its
    /// waiters.
    pub(super) slots: usize,
    /// Its closing slots that are not assigned to a waiter of its own.
    pub(super) leaving: usize,
    /// Idle connections, the most recently used one last.
    pub(super) idle: List<0>,
    /// Waiters without a slot.
    pub(super) queued: List<0>,
    /// Waiters that have a slot, and that any other connection may serve.
    pub(super) expecting: List<0>,
    /// Its closing slots that are assigned to no waiter.
    pub(super) spare: BTreeSet<SlotId>,
    /// Its attempts without a waiter, by the reason.
    pub(super) given_up: BTreeSet<SlotId>,
    pub(super) overtaken: BTreeSet<SlotId>,
    /// Its entry in the pool's blocked origins.
    pub(super) rank: Option<Rank>,
    /// It counts as an origin with demand.
    pub(super) demanding: bool,
}

impl PerOrigin {
    fn new(name: Origin) -> Self {
        PerOrigin {
            name,
            slots: 0,
            leaving: 0,
            idle: List::default(),
            queued: List::default(),
            expecting: List::default(),
            spare: BTreeSet::new(),
            given_up: BTreeSet::new(),
            overtaken: BTreeSet::new(),
            rank: None,
            demanding: false,
        }
    }

    /// Slots that it has or will have, without those of attempts that no waiter needs.
    pub(super) fn held(&self) -> usize {
        self.slots - self.leaving - self.given_up.len() - self.overtaken.len()
    }

    pub(super) fn orphans(&mut self, why: Orphan) -> &mut BTreeSet<SlotId> {
        match why {
            Orphan::GivenUp => &mut self.given_up,
            Orphan::Overtaken => &mut self.overtaken,
        }
    }
}

impl<R> Pool<R> {
    /// The index of an origin, which is added if it is not there.
    pub(super) fn find_or_add(&mut self, name: &Origin) -> usize {
        if self.origins.get(self.latest).is_none_or(|origin| origin.name != *name) {
            self.latest = match self.by_name.get(name) {
                Some(id) => *id,
                None => {
                    let id = self.origins.insert(PerOrigin::new(name.clone()));
                    self.by_name.insert(name.clone(), id);
                    id
                }
            };
        }
        self.latest
    }
}
