//! What the tour prints.
//!
//! Its rules: results go to standard output, progress and errors to standard error; a terminal gets
//! colour (unless `NO_COLOR` is set) and one line that is drawn again and again, everything else gets
//! plain lines; what takes over two seconds says that it goes on.

use std::{
    env,
    error::Error,
    fmt::{self, Display},
    io::{self, IsTerminal, Write},
    sync::{
        LazyLock, Mutex, MutexGuard, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

/// How often the live line of a terminal is drawn.
const FRAME: Duration = Duration::from_millis(200);

/// After what time there is a first plain line.
const FIRST: Duration = Duration::from_secs(2);

/// How long it takes to the next plain line.
const NEXT: Duration = Duration::from_secs(10);

/// The columns that the live line may take: a longer one could not be drawn over.
const WIDTH: usize = 78;

/// What goes on now, if it may take a while.
static LIVE: Mutex<Option<Live>> = Mutex::new(None);

struct Live {
    what: String,
    /// How far it is, as it was last told.
    detail: String,
    begun: Instant,
    /// Whether the terminal shows it.
    drawn: bool,
}

/// What standard output and standard error can show.
struct Terminals {
    colour: bool,
    live: bool,
}

static TERMINALS: LazyLock<Terminals> = LazyLock::new(|| {
    let clever = env::var_os("TERM").is_none_or(|term| term != "dumb");
    let plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    Terminals {
        colour: clever && !plain && io::stdout().is_terminal(),
        live: clever && io::stderr().is_terminal(),
    }
});

fn live() -> MutexGuard<'static, Option<Live>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Prints a line of results. A reader may have closed the pipe: an error like any other, and no panic.
pub(crate) fn say(line: impl Display) -> Result<(), Box<dyn Error>> {
    let mut now = live();
    erase(&mut now);
    Ok(writeln!(io::stdout(), "{line}")?)
}

/// Prints a message: what went wrong, or how far something is.
pub(crate) fn report(line: impl Display) {
    let mut now = live();
    erase(&mut now);
    // Where messages cannot be printed, there is no place to say so.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Nothing is printed while this is kept: whoever has something to say waits.
pub(crate) struct Silence(#[expect(dead_code)] MutexGuard<'static, Option<Live>>);

/// Takes the live line away, so that the terminal is left as it was found, and lets nothing be printed.
pub(crate) fn silence() -> Silence {
    let mut now = live();
    erase(&mut now);
    Silence(now)
}

fn erase(now: &mut Option<Live>) {
    if let Some(live) = now.as_mut().filter(|live| live.drawn) {
        live.drawn = false;
        let _ = write!(io::stderr(), "\r\x1b[2K");
    }
}

/// A text that stands out on a terminal.
pub(crate) struct Strong<T>(pub(crate) T);

impl<T: Display> Display for Strong<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if TERMINALS.colour { write!(f, "\x1b[1m{}\x1b[0m", self.0) } else { self.0.fmt(f) }
    }
}

/// A text that says that something failed.
pub(crate) struct Bad<T>(pub(crate) T);

impl<T: Display> Display for Bad<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if TERMINALS.colour { write!(f, "\x1b[31m{}\x1b[0m", self.0) } else { self.0.fmt(f) }
    }
}

/// Does something that may take a while, and shows that it goes on.
pub(crate) fn during<R>(what: &str, work: impl FnOnce() -> R) -> R {
    *live() = Some(Live {
        what: what.to_owned(),
        detail: String::new(),
        begun: Instant::now(),
        drawn: false,
    });
    let _end = End;
    thread::scope(|scope| {
        let (working, done) = mpsc::channel::<()>();
        scope.spawn(move || if TERMINALS.live { animate(&done) } else { remind(&done) });
        // Dropped when the work ends, and when it panics.
        let _working = working;
        work()
    })
}

/// The end of what goes on.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        let mut now = live();
        erase(&mut now);
        *now = None;
    }
}

/// Says how far it is.
pub(crate) fn tell(detail: &str) {
    if let Some(live) = live().as_mut() {
        detail.clone_into(&mut live.detail);
    }
}

/// Draws the live line again and again.
fn animate(done: &mpsc::Receiver<()>) {
    while done.recv_timeout(FRAME) == Err(RecvTimeoutError::Timeout) {
        let mut now = live();
        let Some(live) = now.as_mut() else { continue };
        let text: String = live.to_string().chars().take(WIDTH).collect();
        live.drawn = write!(io::stderr(), "\r\x1b[2K{text}").is_ok();
    }
}

/// Prints a line now and then.
fn remind(done: &mpsc::Receiver<()>) {
    let mut wait = FIRST;
    while done.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
        wait = NEXT;
        if let Some(live) = live().as_ref() {
            let _ = writeln!(io::stderr(), "{live}");
        }
    }
}

impl Display for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} s)", self.what, self.begun.elapsed().as_secs())?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, ": {}", self.detail) }
    }
}
