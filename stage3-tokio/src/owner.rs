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
    connection::Connection,
    pool::{Order, Slot},
};

/// Connects, and serves the connection until it is closed.
pub(crate) async fn run(mut slot: Slot) {
    let connected = select! {
        biased;
        result = connect(&slot.origin, &slot.pool.config, &slot.pool.setup) => result,
        () = slot.abandoned() => Err(Error::ShutDown), // no waiter is left to receive the error
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
                let end = connection.exchange(&mut request).await;
                let next = end.close.map_or_else(|| slot.checkin(), Order::Close);
                if let Order::Close(reason) = next {
                    connection.close(reason);
                    if end.retry {
                        return slot.retry(request, reason);
                    }
                    slot.closed(reason);
                    return request.complete(end.result);
                }
                request.complete(end.result);
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
