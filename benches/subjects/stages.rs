//! The three stages. Whether their loop has a thread of its own makes a row of its own.

use client_core::{ApiClient, Config};
use http::{Request, Uri};
use http_body_util::Full;
use stage3_tokio::RuntimeChoice;

use super::{
    Load, Subject,
    crew::{Caller, Crew, Plain, current_thread, verify},
};
use crate::Failure;

/// A stage's client, and what it is to fetch.
#[derive(Clone)]
struct Stage<C> {
    client: C,
    uri: Uri,
    load: Load,
}

impl<C: ApiClient> Stage<C> {
    fn new(client: C, load: &Load) -> Result<Self, Failure> {
        Ok(Stage { client, uri: load.uri()?, load: load.clone() })
    }
}

impl<C: ApiClient> Caller for Stage<C> {
    async fn call(&self) -> Result<(), Failure> {
        let request = Request::get(self.uri.clone()).body(Full::default())?;
        verify(self.client.request(request).await?, self.load.check()).await
    }
}

/// The limits that all get.
fn config(load: &Load) -> Config {
    let connections = load.connections;
    let config = Config::new().max_per_origin(connections).max_idle_per_origin(connections);
    config.max_total(connections)
}

/// State machines on rotor, with the loop on a thread of its own: rotor's loop knows no other way.
#[cfg(unix)]
pub(super) fn stage1(load: &Load) -> Result<Box<dyn Subject>, Failure> {
    let stage = Stage::new(stage1_rotor::Client::new(config(load))?, load)?;
    Ok(Box::new(Crew::new(stage, Plain, load)))
}

/// The mio loop on a thread of its own.
pub(super) fn stage2(load: &Load) -> Result<Box<dyn Subject>, Failure> {
    let stage = Stage::new(stage2_mio::Client::new(config(load))?, load)?;
    Ok(Box::new(Crew::new(stage, Plain, load)))
}

/// The mio loop on the caller's thread.
pub(super) fn stage2_driven(load: &Load) -> Result<Box<dyn Subject>, Failure> {
    let (client, driver) =
        stage2_mio::Client::with_driver(config(load), stage2_mio::Connectors::new())?;
    Ok(Box::new(Crew::new(Stage::new(client, load)?, driver, load)))
}

fn on_runtime(choice: RuntimeChoice, load: &Load) -> Result<stage3_tokio::Client, Failure> {
    Ok(stage3_tokio::Client::on(choice, config(load), stage3_tokio::Connectors::new())?)
}

/// The tasks of stage 3 in the caller's runtime.
pub(super) fn stage3(load: &Load) -> Result<Box<dyn Subject>, Failure> {
    let runtime = current_thread()?;
    let client = {
        let _inside = runtime.enter();
        on_runtime(RuntimeChoice::Current, load)?
    };
    Ok(Box::new(Crew::new(Stage::new(client, load)?, runtime, load)))
}

/// The tasks of stage 3 in a runtime on a thread of its own.
pub(super) fn stage3_apart(load: &Load) -> Result<Box<dyn Subject>, Failure> {
    let stage = Stage::new(on_runtime(RuntimeChoice::Own, load)?, load)?;
    Ok(Box::new(Crew::new(stage, Plain, load)))
}
