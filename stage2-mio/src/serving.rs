//! Drives one connection, from readiness to its end.
//!
//! A connection says what comes next, and the loop does it: it arms the deadline, tells the pool, or
//! closes the socket. [`Completion`]s are held back until the pool's actions are carried out.
//!
//! [`Completion`]: crate::connection::Completion

use client_core::{CloseReason, io_model, pool::SlotId};

use crate::{
    connection::{Connection, End, Next, Turn},
    event_loop::{EventLoop, Owner},
    framing::Readiness,
    shared::PendingRequest,
    slab::Key,
    transport::Stream,
};

impl EventLoop {
    /// Lets a connection go on, and does what it says.
    pub(crate) fn drive(
        &mut self,
        key: Key,
        act: impl FnOnce(&mut Connection<Stream>, &mut Turn<'_>) -> Next,
    ) {
        let Some(Owner::Connection(pooled)) =
            self.entries.get_mut(key).map(|entry| &mut entry.owner)
        else {
            return;
        };
        let mut turn = Turn {
            now: self.now,
            config: &self.config,
            waker: &pooled.waker,
            buffer: &mut self.buffer,
        };
        let slot = pooled.slot;
        match act(&mut pooled.connection, &mut turn) {
            Next::Wait => self.arm(key),
            Next::Again => {
                self.arm(key);
                self.again.push(key);
            }
            Next::Retry(pending, reason) => self.retry(slot, pending, reason),
            Next::End(End { fate, completion }) => {
                match fate {
                    Ok(()) => self.pool.checkin(slot),
                    Err(reason) => self.close_connection(slot, reason),
                }
                self.completions.push(completion);
            }
        }
    }

    /// Nobody needs a connection now.
    pub(crate) fn mark_idle(&mut self, slot: SlotId) {
        let Some(key) = self.slots.get(slot) else { return };
        self.drive(key, |connection, turn| {
            io_model!(checkin, connection = connection.number(), why = "idle");
            // One that was just made may have something to read already, of which no event tells.
            connection.ready(Readiness::default(), turn)
        });
    }

    /// Sends a request again on a fresh connection, in place of a stale one.
    fn retry(&mut self, slot: SlotId, pending: PendingRequest, reason: CloseReason) {
        if pending.reply.is_gone() {
            return self.close_connection(slot, reason);
        }
        let Some(stale) = self.remove_connection(slot, reason) else { return };
        self.pool.retry(slot, pending, reason);
        self.publish();
        stale.close();
    }

    /// Closes a connection, and gives its slot back.
    pub(crate) fn close_connection(&mut self, slot: SlotId, reason: CloseReason) {
        let Some(closed) = self.remove_connection(slot, reason) else { return };
        self.pool.closed(slot, reason);
        self.publish();
        closed.close();
    }

    /// Takes a connection out of the loop. Its socket is still open.
    fn remove_connection(
        &mut self,
        slot: SlotId,
        reason: CloseReason,
    ) -> Option<Connection<Stream>> {
        let key = self.slots.get(slot)?;
        let Owner::Connection(pooled) = self.remove(key)? else { return None };
        let mut connection = pooled.connection;
        io_model!(close, connection = connection.number(), why = reason.as_str());
        self.unwatch(connection.transport());
        Some(connection)
    }
}
