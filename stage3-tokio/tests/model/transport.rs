//! A stream without a socket.

use std::sync::Arc;

use super::parts::World;

pub(crate) trait Transport {
    fn world(&self) -> &World;
}

pub(crate) struct Stream(pub(crate) Arc<World>);

impl Transport for Stream {
    fn world(&self) -> &World {
        &self.0
    }
}
