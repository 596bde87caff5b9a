//! The task of a slot: it connects, and serves exchanges with pauses between them, until something
//! ends it.
//!
//! Its rules:
//! - a connection is closed, or checked in, before its caller hears of the end, so that what the
//!   caller sees and what the pool says agree;
//! - a request that finds its connection stale is sent again from here, on a fresh connection in
//!   the same slot: it never goes back to the queue;
//! - an idle connection watches its stream, so a dead one leaves the pool when it dies.

use std::future::poll_fn;

use client_core::{CloseReason, Error, TimeoutPhase};
use tokio::{
    pin, select,
    time::{Instant, sleep_until},
};

use crate::{
    connect::connect,
    connection::{Connection, End, timed_out},
    job::Job,
    pool::{Checkin, Idling, Order, Slot},
    timer::after,
    transport::{Stream, Transport},
};

/// Serves a slot until it is given back.
pub(crate) async fn run(mut slot: Slot) {
    let mut again = None;
    loop {
        let stream = match connect_for(&slot, &mut again).await {
            Ok(stream) => stream,
            Err(error) => return slot.fail(again, error),
        };
        let connection = Connection::new(stream, slot.opened(), slot.config().clone());
        match serve(connection, slot, again).await {
            Some((same, job)) => (slot, again) = (same, Some(job)),
            None => return,
        }
    }
}

/// Connects. A request that is sent again may come to its limit meanwhile, or its caller may go; the
/// connecting goes on, unless the client is closed and nobody waits for it.
async fn connect_for(slot: &Slot, again: &mut Option<Box<Job>>) -> Result<Stream, Error> {
    let connecting = connect(slot.origin(), slot.config(), slot.links());
    pin!(connecting);
    if let Some(job) = again {
        // Without a limit that branch is off, and its time never looked at.
        let (limited, limit) =
            (job.deadline.is_some(), job.deadline.unwrap_or_else(Instant::now));
        select! {
            biased;
            result = &mut connecting => return result,
            () = poll_fn(|cx| job.poll_gone(cx)) => {}
            () = sleep_until(limit), if limited => {}
        }
    }
    if let Some(job) = again.take() {
        // A caller that has gone does not hear it.
        job.fail(timed_out(TimeoutPhase::Total, slot.config()));
    }
    select! {
        biased;
        result = &mut connecting => result,
        () = slot.needless() => Err(Error::ShutDown),
    }
}

/// Serves exchanges on a connection until it ends. A request that found it stale comes back with
/// the slot.
async fn serve<T: Transport>(
    mut connection: Connection<T>,
    mut slot: Slot,
    again: Option<Box<Job>>,
) -> Option<(Slot, Box<Job>)> {
    let mut checkin = match again {
        Some(job) => Checkin::Serve(job),
        None => slot.checkin(false),
    };
    loop {
        let (mut job, ended) = match checkin {
            Checkin::Serve(job) => (job, connection.ended_meanwhile()),
            Checkin::Idle(idling) => match idle(&mut connection, &mut slot, idling).await {
                (Order::Serve(job), ended) => (job, ended),
                (Order::Leave(reason), _) => return close(connection, slot, reason),
            },
            Checkin::Close(reason) => return close(connection, slot, reason),
        };
        if ended.is_none() && job.is_cancelled() {
            checkin = slot.checkin(connection.is_used());
            continue;
        }
        let end = match ended {
            Some(reason) => End::stale(reason),
            None => connection.exchange(&mut job).await,
        };
        checkin = match end.close {
            None => slot.checkin(true),
            Some(reason) => Checkin::Close(reason),
        };
        if let Checkin::Close(reason) = checkin {
            connection.close();
            if end.retry {
                slot.reconnect(reason);
                return Some((slot, job));
            }
            slot.close(reason);
            end.tell(job);
            return None;
        }
        end.tell(job);
    }
}

/// Closes a connection that serves nobody.
fn close<T: Transport, R>(
    connection: Connection<T>,
    slot: Slot,
    reason: CloseReason,
) -> Option<R> {
    connection.close();
    slot.close(reason);
    None
}

/// Waits for an order, and watches the stream meanwhile. An order that comes together with the
/// stream's end comes with the reason of that.
async fn idle<T: Transport>(
    connection: &mut Connection<T>,
    slot: &mut Slot,
    mut idling: Idling,
) -> (Order, Option<CloseReason>) {
    const GONE: Order = Order::Leave(CloseReason::ClientClosed);
    let expiry = after(connection.rest());
    let ended = select! {
        biased;
        reason = poll_fn(|cx| connection.poll_idle(cx, expiry)) => reason,
        order = &mut idling.orders => return (order.unwrap_or(GONE), None),
    };
    if slot.leave(&idling) {
        return (Order::Leave(ended), None);
    }
    // The pool has given it an order at this very moment, which is on its way. Only its own time
    // is over if it has expired: it can still serve.
    let ended = Some(ended).filter(|reason| *reason != CloseReason::IdleExpired);
    (idling.orders.await.unwrap_or(GONE), ended)
}
