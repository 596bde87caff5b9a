//! The connection task: it owns a slot and its connection from connecting until the close.
//!
//! Its rules:
//! - the pool knows that a connection is free or closed before the call is completed. So a caller
//!   that asks for [`PoolStats`](client_core::PoolStats) sees its own call counted;
//! - a request on a stale connection goes back to the pool, which makes a fresh connection for it;
//! - an idle connection watches its stream, and leaves the pool when the server closes it.

use client_core::{CloseReason, Error, after};
use tokio::{select, time::Instant};

use crate::{
    connect::connect,
    connection::{Connection, End},
    pool::{Order, Slot},
};

/// Connects, and serves the connection until it is closed.
pub(crate) async fn run(mut slot: Slot) {
    let connected = select! {
        biased;
        result = connect(&slot.origin, &slot.pool.config, &slot.pool.setup) => result,
        // The policy gives no waiter to an abandoned slot, so no caller receives this error.
        () = slot.abandoned() => Err(Error::ShutDown),
    };
    match connected {
        Ok(stream) => {
            let (number, order) = slot.connected();
            let connection = Connection::new(stream, number, slot.pool.config.clone());
            serve(connection, slot, order).await;
        }
        Err(error) => slot.connect_failed(error),
    }
}

/// Carries out orders until the connection is closed.
async fn serve(mut connection: Connection, slot: Slot, mut order: Order) {
    loop {
        order = match order {
            Order::Idle => idle(&mut connection, &slot).await,
            Order::Close(reason) => {
                connection.close(reason);
                return slot.closed(reason);
            }
            Order::Serve(mut request) => {
                let (next, result) = match connection.exchange(&mut request).await {
                    End::Reusable => (slot.checkin(), Ok(())),
                    End::Close(reason, result) => (Order::Close(reason), result),
                    End::Stale(reason) => {
                        connection.close(reason);
                        return slot.retry(request, reason);
                    }
                };
                if let Order::Close(reason) = next {
                    connection.close(reason);
                    slot.closed(reason);
                    return request.complete(result);
                }
                request.complete(result);
                next
            }
        };
    }
}

/// Watches an idle connection until there is another order for it.
///
/// The connection may die after it was reserved for a waiter. It is then closed without a request,
/// and the pool puts the waiter back in its old place.
async fn idle(connection: &mut Connection, slot: &Slot) -> Order {
    let expiry = after(Instant::now(), connection.mark_idle());
    loop {
        let expired = match connection.idle(expiry, slot.notifier.notified()).await {
            Ok(expired) => expired,
            Err(reason) => return Order::Close(reason),
        };
        // A connection that was reserved just before its idle timeout still serves.
        match slot.order() {
            Order::Idle if expired => return Order::Close(CloseReason::IdleExpired),
            Order::Idle => {} // the waiter has left, or an earlier slot was notified
            order => return order,
        }
    }
}
