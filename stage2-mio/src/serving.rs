//! From a request to the connection that serves it, and from its end to the next one.
//!
//! Here the loop puts into effect what the pool decides and what a connection says: top to bottom,
//! a request arrives, waits, is assigned, starts, is driven, ends.
//!
//! Its rules:
//! - before anything can be seen from outside, be it by a caller that is answered or by a peer that
//!   is written to or left, the pool knows of it and its numbers are published;
//! - a caller that has gone is passed over: nothing is begun for it;
//! - what happens to one request never calls for the next waiter's connection by itself. That is
//!   [`EventLoop::settle`]'s, which the loop calls after each thing that has happened; so a
//!   thousand waiters whose connects fail at once are a loop, not a recursion.

use client_core::{CloseReason, Error, TimeoutPhase, io_model};

use crate::{
    connection::{Connection, End, Next, Turn},
    event_loop::{EventLoop, Owner, Pooled},
    pool::{Checkin, Step, Ticket},
    shared::{Job, Place},
    slab::Key,
    timer::Deadline,
    transport::{Stream, Transport},
};

impl EventLoop {
    /// A request has come. It gets an idle connection, or waits for one.
    pub(crate) fn accept(&mut self, mut job: Job) {
        if self.closing {
            return self.refuse(job, Error::ShutDown);
        }
        job.ticket = self.next_ticket;
        self.next_ticket += 1;
        let origin = self.pool.origin(&job.request.origin);
        match self.pool.checkout(origin) {
            Some(connection) => self.serve(connection, Some(job)),
            None => self.wait(origin, job),
        }
    }

    /// Lets it wait, unless too many do, or its caller has gone already.
    fn wait(&mut self, origin: Key, mut job: Job) {
        let ticket = job.ticket;
        if !job.reply.place(Place::Pool(origin, ticket)) {
            return self.pool.update(origin);
        }
        io_model!(wait, request = ticket);
        self.timers.arm(Deadline::Waiter(origin, ticket), &mut job.timer, job.deadline);
        if let Err(job) = self.pool.wait(origin, ticket, job) {
            self.refuse(job, Error::PoolBusy { limit: self.config.max_waiting });
        }
    }

    /// Does what the pool's waiters need.
    pub(crate) fn settle(&mut self) {
        while let Some(step) = self.pool.next_step() {
            match step {
                Step::Connect(origin, ticket) => self.connect(origin, ticket),
                Step::Evict(key) => self.close_connection(key, CloseReason::Evicted),
            }
        }
    }

    /// Gives a free connection to this request, or to whom the pool says.
    pub(crate) fn serve(&mut self, key: Key, job: Option<Job>) {
        if let Some(job) = self.assign(key, job) {
            self.publish();
            self.drive(key, |connection, turn| connection.start(job, turn));
        }
    }

    /// The request that a free connection is to serve; `first` is asked before the pool is.
    fn assign(&mut self, key: Key, mut first: Option<Job>) -> Option<Job> {
        let Some(Owner::Connection(pooled)) =
            self.entries.get_mut(key).map(|entry| &mut entry.owner)
        else {
            return None;
        };
        pooled.idle = None;
        loop {
            let next = match first.take() {
                Some(job) => Checkin::Serve(job),
                None => self.pool.checkin(pooled.origin, key),
            };
            match next {
                Checkin::Serve(mut job) => {
                    self.timers.disarm(&mut job.timer);
                    if job.reply.place(Place::Connection(key, job.ticket)) {
                        let connection = &pooled.connection;
                        io_model!(
                            checkout,
                            request = job.ticket,
                            connection = connection.number()
                        );
                        self.pool.begun(connection.is_reused());
                        return Some(job);
                    }
                    // Its caller has gone meanwhile: the next one.
                }
                Checkin::Idle(since) => {
                    io_model!(checkin, connection = pooled.connection.number(), why = "idle");
                    pooled.idle = Some(since);
                    self.arm(key);
                    return None;
                }
                Checkin::Close(reason) => {
                    self.close_connection(key, reason);
                    return None;
                }
            }
        }
    }

    // ----- one connection, from readiness to its end -----

    /// Lets a connection go on, and does what comes of it.
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
        match act(&mut pooled.connection, &mut turn) {
            Next::Wait => self.arm(key),
            Next::Again => {
                self.arm(key);
                self.again.push(key);
            }
            Next::Retry(job, reason) => self.retry(key, job, reason),
            Next::End(end) => self.end(key, end),
        }
    }

    /// First the pool, then its numbers, then the caller, then the next request.
    fn end(&mut self, key: Key, end: End) {
        let next = match end.fate {
            Ok(()) => self.assign(key, None),
            Err(reason) => {
                self.close_connection(key, reason);
                None
            }
        };
        self.publish();
        end.last_word.tell();
        if let Some(job) = next {
            self.drive(key, |connection, turn| connection.start(job, turn));
        }
    }

    /// A stale connection makes way for a fresh one, for the same request.
    fn retry(&mut self, key: Key, mut job: Job, reason: CloseReason) {
        let Some(stale) = self.remove_connection(key, reason) else { return };
        let (origin, ticket) = (stale.origin, job.ticket);
        if !job.reply.place(Place::Pool(origin, ticket)) {
            return self.pool.closed(origin, None, reason);
        }
        io_model!(retry, request = ticket, why = reason.as_str());
        self.timers.arm(Deadline::Waiter(origin, ticket), &mut job.timer, job.deadline);
        self.pool.retry(origin, ticket, job, reason);
        self.publish();
        drop(stale);
        self.connect(origin, ticket);
    }

    /// Closes a connection, and gives its slot back.
    fn close_connection(&mut self, key: Key, reason: CloseReason) {
        if let Some(closed) = self.remove_connection(key, reason) {
            self.pool.closed(closed.origin, closed.idle, reason);
            self.publish();
        }
    }

    /// Takes a connection out of the loop. Its socket is closed when it is dropped.
    fn remove_connection(&mut self, key: Key, reason: CloseReason) -> Option<Box<Pooled>> {
        let Owner::Connection(mut pooled) = self.remove(key)? else { return None };
        let connection = pooled.connection.number();
        io_model!(close, connection, why = reason.as_str());
        pooled.connection.transport().close();
        self.unwatch(pooled.connection.transport());
        Some(pooled)
    }

    // ----- callers that go, and the client's end -----

    /// The caller of a request gave up.
    pub(crate) fn cancel(&mut self, place: Place) {
        match place {
            Place::Pool(origin, ticket) => {
                io_model!(cancel, request = ticket, why = "waiting");
                if let Some(mut job) = self.pool.cancel(origin, ticket) {
                    self.timers.disarm(&mut job.timer);
                }
            }
            Place::Connection(key, ticket) => {
                io_model!(cancel, request = ticket, why = "under way");
                self.drive(key, |connection, turn| connection.cancel(ticket, turn));
            }
        }
    }

    /// A request has waited for as long as the whole call may take.
    pub(crate) fn expire_waiter(&mut self, origin: Key, ticket: Ticket) {
        if let Some(job) = self.pool.cancel(origin, ticket) {
            let after = self.config.total_timeout.unwrap_or_default();
            self.refuse(job, Error::Timeout { phase: TimeoutPhase::Total, after });
        }
    }

    /// Ends a request that has no connection.
    pub(crate) fn refuse(&mut self, mut job: Job, error: Error) {
        self.timers.disarm(&mut job.timer);
        self.publish();
        job.reply.answer(Err(error));
    }

    /// No more requests come. What is idle is closed; the rest finishes.
    pub(crate) fn close(&mut self) {
        self.closing = true;
        for key in self.pool.close() {
            self.close_connection(key, CloseReason::ClientClosed);
        }
    }
}
