//! The fixed vocabulary of the recordings.

/// Records one thing that a reader of a recording should see.
///
/// It is an event of target `io_model` at level `TRACE`. Its field `what` is one of the names below;
/// any other name does not compile. Further fields by convention: `request`, `connection`, `bytes`,
/// `direction`, `why`. Without a subscriber it costs one load and one comparison.
///
/// ```
/// client_core::io_model!(read, connection = 3, bytes = 252);
/// ```
///
/// ```compile_fail
/// client_core::io_model!(perused, connection = 3);
/// ```
#[macro_export]
macro_rules! io_model {
    (@word resolve) => { "resolve" };
    (@word connect) => { "connect" };
    (@word register) => { "register" };
    (@word deregister) => { "deregister" };
    (@word ready) => { "ready" };
    (@word would_block) => { "would_block" };
    (@word blocked_on) => { "blocked_on" };
    (@word read) => { "read" };
    (@word write) => { "write" };
    (@word tls) => { "tls" };
    (@word frame) => { "frame" };
    (@word wake) => { "wake" };
    (@word spawn) => { "spawn" };
    (@word timer) => { "timer" };
    (@word checkout) => { "checkout" };
    (@word wait) => { "wait" };
    (@word checkin) => { "checkin" };
    (@word retry) => { "retry" };
    (@word cancel) => { "cancel" };
    (@word close) => { "close" };
    ($word:ident $(, $($field:tt)*)?) => {
        $crate::private::tracing::event!(
            target: "io_model",
            $crate::private::tracing::Level::TRACE,
            what = $crate::io_model!(@word $word)
            $(, $($field)*)?
        )
    };
}
