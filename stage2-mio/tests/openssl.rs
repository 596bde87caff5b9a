//! The suite over TLS once more, with OpenSSL in place of rustls.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use client_core::ApiClient;
use http::{Request, Response};
use http_body_util::Full;
use stage2_mio::{Body, Client, Config, Connectors, Error, OpenSsl, PoolStats, ResponseFuture};
use tower::Service;

/// The client, as the suite makes one.
#[derive(Clone)]
struct OverOpenSsl(Client);

impl ApiClient for OverOpenSsl {
    const STAGE: &'static str = "stage2-mio over OpenSSL";

    fn new(config: Config) -> Result<Self, Error> {
        let secure = OpenSsl::new(&config.tls)?;
        Client::with_connectors(config, Connectors::new().tls_connector(Arc::new(secure)))
            .map(OverOpenSsl)
    }

    fn request(&self, request: Request<Full<Bytes>>) -> ResponseFuture {
        self.0.request(request)
    }

    fn stats(&self) -> PoolStats {
        self.0.stats()
    }

    fn close(&self) -> impl Future<Output = ()> + Send + 'static {
        self.0.close()
    }
}

impl Service<Request<Full<Bytes>>> for OverOpenSsl {
    type Response = Response<Body>;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> ResponseFuture {
        self.0.call(request)
    }
}

testbed::conformance_list! { crate::OverOpenSsl, over_tls }
