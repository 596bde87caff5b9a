//! Drives the connections that the loop owns.
//!
//! A connection returns what the loop has to do for it, and the loop does it here: it arms the
//! deadline, reports to the pool, or closes the socket. A [`Completion`] waits until the pool's
//! actions are carried out.
//!
//! [`Completion`]: crate::pending::Completion

use client_core::{CloseReason, io_model, pool::SlotId};

use crate::{
    connection::{Connection, LoopContext, Next},
    event_loop::{EventLoop, Owner},
    pending::PendingRequest,
    token::Key,
    transport::Stream,
};

impl EventLoop {
    /// Calls a connection, and does what it asks for.
    pub(crate) fn drive(
        &mut self,
        key: Key,
        call: impl FnOnce(&mut Connection<Stream>, &mut LoopContext<'_>) -> Next,
    ) {
        let entry = self.entries.get_mut(key);
        let Some(Owner::Connection(pooled)) = entry.map(|entry| &mut entry.owner) else {
            return;
        };
        let mut cx = LoopContext {
            now: self.now,
            config: &self.config,
            waker: &pooled.waker,
            buffer: &mut self.buffer,
        };
        let slot = pooled.slot;
        match call(&mut pooled.connection, &mut cx) {
            Next::Wait => self.arm(key),
            Next::Again => {
                self.arm(key);
                self.again.push(key);
            }
            Next::Free(completion) => {
                self.pool.checkin(slot);
                self.completions.push(completion);
            }
            Next::Close(reason, completion) => {
                self.close_connection(slot, reason);
                self.completions.push(completion);
            }
            Next::Retry(reason, pending) => self.retry(slot, pending, reason),
        }
    }

    /// No request waits for a connection.
    pub(crate) fn mark_idle(&mut self, slot: SlotId) {
        let Some(key) = self.slots.get(slot) else { return };
        self.drive(key, |connection, cx| {
            io_model!(checkin, connection = connection.number(), why = "idle");
            connection.mark_idle(cx)
        });
    }

    /// Closes a stale connection. Its slot gets a fresh one, for the same request.
    fn retry(&mut self, slot: SlotId, pending: PendingRequest, reason: CloseReason) {
        if pending.reply.is_closed() {
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

    /// Removes a connection from the loop. Its socket stays open.
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
