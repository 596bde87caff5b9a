//! A stream without a socket.

use std::sync::Arc;

use super::connector::World;

pub(crate) struct Stream(pub(crate) Arc<World>);
