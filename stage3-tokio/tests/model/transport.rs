//! A stream without a socket.

use std::sync::Arc;

use super::parts::World;

pub(crate) struct Stream(pub(crate) Arc<World>);
