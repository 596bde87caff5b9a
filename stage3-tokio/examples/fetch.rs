//! Fetches URLs over one pool of connections, and streams the bodies.
//!
//!     cargo run --release --example stage3-fetch -- http://localhost:8080/quotes/7
//!     cargo run --release --example stage3-fetch -- --help
//!
//! Look at how little is needed: a client, a request, a loop over the pieces of the body. Nothing
//! here runs an event loop or knows which one the client has inside: `block_on` of the `futures`
//! crate only parks this thread until a future is woken.
//!
//! Try: `--repeat 1000 --concurrency 64 --json`, and count the numbers under `connection`;
//! `--trace`, to see each step of the I/O model; `--timeout 100ms` with a slow server.

use std::process::ExitCode;

use futures::{StreamExt, executor::block_on, stream};
use http_body_util::BodyExt;
use stage3_tokio::{Client, Error, Exchange};
use testbed::cli::{self, Call, Failure, Fetch};

fn main() -> ExitCode {
    cli::main("stage3-fetch", |fetch| block_on(fetch_all(fetch)))
}

/// Makes all calls, as many at a time as the command line allows.
async fn fetch_all(fetch: &Fetch) -> Result<(), Error> {
    let client = Client::new(fetch.config())?;
    let calls = stream::iter(fetch.calls());
    calls.for_each_concurrent(fetch.concurrency, |call| fetch_one(&client, call)).await;
    client.close().await;
    Ok(())
}

/// Makes one call. A failure ends this call only.
async fn fetch_one(client: &Client, mut call: Call<'_>) {
    let outcome = exchange(client, &mut call).await;
    call.end(outcome);
}

/// Sends the request, then takes the response piece by piece. While a piece is being written,
/// the socket is not read further than the body's window: that is the backpressure.
async fn exchange(client: &Client, call: &mut Call<'_>) -> Result<Exchange, Failure> {
    let response = client.request(call.request()).await?;
    let (head, mut body) = response.into_parts();
    call.head(head)?;
    while let Some(frame) = body.frame().await {
        call.frame(frame?)?;
    }
    Ok(body.exchange())
}
