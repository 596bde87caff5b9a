//! What the client leaves out, out of `tower` and `tower-http` layers.
//!
//!     cargo run --release --example stage3-pipeline [-- URL]
//!
//! The client is a `tower` service, so whatever wraps a service wraps it: redirects,
//! decompression, retries with growing pauses, limits. None of these layers knows which I/O model
//! is underneath. They do need a runtime for their own timers, which is why this program starts
//! tokio's, whatever the client runs on.
//!
//! A request goes through the layers from the first to the last. Their order is a decision: a
//! retry outside the timeout gives each attempt its own time, and one outside the rate limit
//! spends from it.
//!
//! Try: `rate_limit(1, ...)`; a timeout outside `retry`; see what `/headers` shows if it is asked
//! directly, and not by way of another origin.

use std::{process::ExitCode, time::Duration};

use http::{HeaderValue, Response, StatusCode, header::AUTHORIZATION};
use http_body_util::BodyExt;
use stage3_tokio::{Body, Client, Config};
use testbed::{
    lesson::{self, Failure, Lesson, Request},
    say,
};
use tower::{
    Service, ServiceBuilder, ServiceExt,
    retry::{self, backoff::*},
    util::rng::HasherRng,
};
use tower_http::{decompression::DecompressionLayer, follow_redirect::FollowRedirectLayer};

fn main() -> ExitCode {
    lesson::main("stage3-pipeline", |lesson| {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(pipeline(lesson))
    })
}

async fn pipeline(lesson: &Lesson) -> Result<(), Failure> {
    let client = Client::new(Config::new())?;
    let mut service = ServiceBuilder::new()
        .layer(FollowRedirectLayer::new()) // at most 20, and no credentials to another origin
        .layer(DecompressionLayer::new())
        .retry(Again { left: 5, pauses: pauses()? })
        .buffer(16) // clones of it share the limits below
        .concurrency_limit(8)
        .rate_limit(50, Duration::from_secs(1))
        .timeout(Duration::from_secs(2))
        .service(client.clone());

    for path in ["/flaky", "/compressed", "/headers", "/moved"] {
        let mut request = lesson.get(path);
        request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static("Bearer secret"));
        let response = service.ready().await?.call(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        say!("{path}: {status}\n{}", String::from_utf8_lossy(&body));
    }
    say!("{}", client.stats());
    drop(service);
    client.close().await;
    Ok(())
}

/// Tries again, after growing pauses, what may be tried again.
#[derive(Clone)]
struct Again {
    left: u32,
    pauses: ExponentialBackoff,
}

fn pauses() -> Result<ExponentialBackoff, Failure> {
    let (shortest, longest) = (Duration::from_millis(50), Duration::from_secs(1));
    let maker = ExponentialBackoffMaker::new(shortest, longest, 0.5, HasherRng::new());
    Ok(maker.map_err(|error| error.to_string())?.make_backoff())
}

impl retry::Policy<Request, Response<Body>, Failure> for Again {
    type Future = <ExponentialBackoff as Backoff>::Future;

    fn retry(
        &mut self,
        request: &mut Request,
        result: &mut Result<Response<Body>, Failure>,
    ) -> Option<Self::Future> {
        let busy =
            |response: &Response<_>| response.status() == StatusCode::SERVICE_UNAVAILABLE;
        let again = result.as_ref().map_or(true, busy) && request.method().is_idempotent();
        self.left = self.left.checked_sub(u32::from(again))?;
        again.then(|| self.pauses.next_backoff())
    }

    fn clone_request(&mut self, request: &Request) -> Option<Request> {
        Some(request.clone())
    }
}
