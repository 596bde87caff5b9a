//! The clients that people use today, in a runtime on the caller's thread.
//!
//! They limit the connections that are idle, and not those that are open; where a load asks for
//! fewer connections than callers, a semaphore stands before them, as their users have to put it.
//! reqwest sends `accept: */*` with each request, 13 bytes that the others do not send.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    Load, Subject,
    crew::{Caller, Crew, current_thread, verify},
};
use crate::Failure;

/// What stands before a client without a limit of its own.
#[derive(Clone)]
struct Limit(Option<Arc<Semaphore>>);

impl Limit {
    fn of(load: &Load) -> Self {
        let scarce = load.connections < load.callers;
        Limit(scarce.then(|| Arc::new(Semaphore::new(load.connections))))
    }

    /// Room for a call, until what this gives is dropped.
    async fn room(&self) -> Result<Option<SemaphorePermit<'_>>, Failure> {
        match &self.0 {
            Some(semaphore) => Ok(Some(semaphore.acquire().await?)),
            None => Ok(None),
        }
    }
}

/// hyper-util's pooled client.
#[derive(Clone)]
struct Hyper {
    client: Client<HttpConnector, Full<Bytes>>,
    uri: Uri,
    limit: Limit,
    load: Load,
}

impl Caller for Hyper {
    async fn call(&self) -> Result<(), Failure> {
        let _room = self.limit.room().await?;
        let request = Request::get(self.uri.clone()).body(Full::default())?;
        verify(self.client.request(request).await?, self.load.check()).await
    }
}

/// hyper-util's pooled client.
pub(super) fn hyper(load: &Load) -> Result<Box<dyn Subject>, Failure> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(load.connections)
        .build(connector);
    let limit = Limit::of(load);
    let hyper = Hyper { client, uri: load.uri()?, limit, load: load.clone() };
    Ok(Box::new(Crew::new(hyper, current_thread()?, load)))
}

/// reqwest, which stands on the former.
#[derive(Clone)]
struct Reqwest {
    client: reqwest::Client,
    url: reqwest::Url,
    limit: Limit,
    load: Load,
}

impl Caller for Reqwest {
    async fn call(&self) -> Result<(), Failure> {
        let _room = self.limit.room().await?;
        let response = self.client.get(self.url.clone()).send().await?;
        verify(Response::from(response), self.load.check()).await
    }
}

/// reqwest.
pub(super) fn reqwest(load: &Load) -> Result<Box<dyn Subject>, Failure> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .tcp_nodelay(true)
        .pool_max_idle_per_host(load.connections)
        .build()?;
    let (url, limit) = (load.url().parse()?, Limit::of(load));
    let reqwest = Reqwest { client, url, limit, load: load.clone() };
    Ok(Box::new(Crew::new(reqwest, current_thread()?, load)))
}
