//! The task of a slot: it connects, then serves exchanges with pauses between them, until the
//! connection is closed.
//!
//! Its rules:
//! - a connection is closed, or checked in, before the caller hears of the end, so that what the
//!   caller sees and what the pool says agree;
//! - a request that finds its connection stale goes back to the pool, which has a fresh one made;
//! - an idle connection watches its stream, so a dead one leaves the pool when it dies.

use std::future::poll_fn;

use client_core::{CloseReason, Error};
use tokio::select;

use crate::{
    connect::connect,
    connection::{Connection, End},
    pool::{Order, Slot},
    timer::after,
    transport::Transport,
};

/// Makes the connection of a slot, and serves it.
pub(crate) async fn run(mut slot: Slot) {
    let connected = select! {
        biased;
        result = connect(slot.origin(), slot.config(), slot.links()) => result,
        () = slot.abandoned() => Err(Error::ShutDown), // no waiter hears it
    };
    match connected {
        Ok(stream) => {
            let (number, order) = slot.connected();
            let connection = Connection::new(stream, number, slot.config().clone());
            serve(connection, slot, order).await;
        }
        Err(error) => slot.connect_failed(error),
    }
}

/// Serves exchanges on a connection until it is closed.
async fn serve<T: Transport>(mut connection: Connection<T>, slot: Slot, mut order: Order) {
    loop {
        let mut job = match order {
            Order::Serve(job) => job,
            Order::Idle => {
                order = idle(&mut connection, &slot).await;
                continue;
            }
            Order::Close(reason) => {
                connection.close();
                return slot.closed(reason);
            }
        };
        let end = match connection.ended_meanwhile() {
            Some(reason) => End::stale(reason),
            None => connection.exchange(&mut job).await,
        };
        order = match end.close {
            None => slot.checkin(),
            Some(reason) => Order::Close(reason),
        };
        if let Order::Close(reason) = order {
            connection.close();
            if end.retry {
                return slot.retry(job, reason);
            }
            slot.closed(reason);
            return end.tell(job);
        }
        end.tell(job);
    }
}

/// Waits until an idle connection has something to do, and watches its stream meanwhile.
async fn idle<T: Transport>(connection: &mut Connection<T>, slot: &Slot) -> Order {
    let expiry = after(connection.rest());
    loop {
        let ended = select! {
            biased;
            reason = poll_fn(|cx| connection.poll_idle(cx, expiry)) => Some(reason),
            () = slot.notified() => None,
        };
        if let Some(reason) = ended
            && reason != CloseReason::IdleExpired
        {
            return Order::Close(reason);
        }
        // One whose time is over can still serve, if it is reserved already.
        match (slot.order(), ended) {
            (Order::Idle, None) => {}
            (Order::Idle, Some(expired)) => return Order::Close(expired),
            (order, _) => return order,
        }
    }
}
