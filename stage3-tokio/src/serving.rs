//! The connection task of a slot: it connects, then serves exchanges until the connection is closed.
//!
//! Its rules:
//! - a connection is checked in, or closed and counted, before the call is completed. So what the
//!   pool says agrees with what the caller knows;
//! - a request on a stale connection goes back to the pool, which makes a fresh connection for it;
//! - an idle connection watches its stream, so it leaves the pool when it dies.

use client_core::{CloseReason, Error};
use tokio::select;

use crate::{
    connect::connect,
    connection::{Connection, End},
    pool::{Order, Slot},
    timer::after,
};

/// Connects, and serves the connection.
pub(crate) async fn run(mut slot: Slot) {
    let connected = select! {
        biased;
        result = connect(slot.origin(), slot.config(), slot.dialer()) => result,
        () = slot.abandoned() => Err(Error::ShutDown), // no waiter gets it
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
async fn serve(mut connection: Connection, slot: Slot, mut order: Order) {
    // Set if the connection ended between two exchanges.
    let mut ended = None;
    loop {
        let mut request = match order {
            Order::Serve(request) => request,
            Order::Idle => {
                order = idle(&mut connection, &slot).await;
                continue;
            }
            Order::Close(reason) => {
                connection.close(reason);
                return slot.closed(reason);
            }
        };
        let end = match ended.take() {
            Some(reason) => End::stale(reason),
            None => connection.exchange(&mut request).await,
        };
        order = match end.close {
            None => slot.checkin(),
            Some(reason) => Order::Close(reason),
        };
        if let Order::Close(reason) = order {
            connection.close(reason);
            if end.retry {
                return slot.retry(request, reason);
            }
            slot.closed(reason);
            return end.complete(request);
        }
        end.complete(request);
        if let Order::Serve(_) = order {
            ended = connection.ended_meanwhile();
        }
    }
}

/// Waits for the next order of an idle connection, and watches its stream.
async fn idle(connection: &mut Connection, slot: &Slot) -> Order {
    let expiry = after(connection.mark_idle());
    loop {
        let ended = connection.idle(expiry, slot.notified()).await;
        if let Some(reason) = ended
            && reason != CloseReason::IdleExpired
        {
            return Order::Close(reason);
        }
        // A connection whose idle timeout is over can still serve, if it is reserved.
        match (slot.order(), ended) {
            (Order::Idle, None) => {}
            (Order::Idle, Some(expired)) => return Order::Close(expired),
            (order, _) => return order,
        }
    }
}
