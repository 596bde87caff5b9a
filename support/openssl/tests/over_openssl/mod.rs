//! A client as the suite makes it, with OpenSSL in place of rustls.

/// Declares `OverOpenSsl` for the client of this stage.
macro_rules! over_openssl {
    ($stage:ident, $name:literal) => {
        use std::{
            sync::Arc,
            task::{Context, Poll},
        };

        use client_core::{ApiClient, Body, Config, Error, PoolStats, Request};
        use http::Response;
        use openssl_connector::OpenSsl;
        use tower::Service;
        use $stage::{Client, Connectors, ResponseFuture};

        #[derive(Clone)]
        struct OverOpenSsl(Client);

        impl ApiClient for OverOpenSsl {
            const STAGE: &'static str = $name;

            fn new(config: Config) -> Result<Self, Error> {
                let tls = Arc::new(OpenSsl::new(&config.tls)?);
                Client::with_connectors(config, Connectors::new().tls_connector(tls))
                    .map(OverOpenSsl)
            }

            fn request(&self, request: Request) -> ResponseFuture {
                self.0.request(request)
            }

            fn stats(&self) -> PoolStats {
                self.0.stats()
            }

            fn close(&self) -> impl Future<Output = ()> + Send + 'static {
                self.0.close()
            }
        }

        impl Service<Request> for OverOpenSsl {
            type Response = Response<Body>;
            type Error = Error;
            type Future = ResponseFuture;

            fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
                self.0.poll_ready(cx)
            }

            fn call(&mut self, request: Request) -> ResponseFuture {
                self.0.call(request)
            }
        }

        testbed::conformance_list! { crate::OverOpenSsl, over_tls }
    };
}
