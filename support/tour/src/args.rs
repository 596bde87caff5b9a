//! The command line.

use std::ffi::OsString;

use lexopt::{Arg, Error, Parser, ValueExt};

use crate::{soak, trace};

pub(crate) const HELP: &str = "\
The tour: one client, three I/O models.

Usage: cargo run --release [-- [PART] [OPTIONS]]

Without a part: run, compare and book, and then the book is served until you interrupt it.
  --port N         on this port (without it: on 3000, or on a free one if 3000 is taken)
  --open           opens it in your browser
  --no-serve       does not serve it

Parts:
  run              lets the three clients talk to a server on the loopback
  compare          lets them take turns at it for two seconds
  trace            records what each I/O model does in the same exchanges, side by side
    --stage N        of one stage only
    --write          keeps the recordings, where the book finds them
    --check          compares them with those that are kept
  bench [--quick]  measures them beside hyper-util, reqwest and what no client can go below;
                   the figures go into the next build of the book
  ledger           counts the lines of each stage by what they are for
  book [--serve]   builds the book; serves it, with --port and --open as above
  serve [--port N] the server alone, for curl and for the stages' examples (default port 8080)
    --tls            speaks TLS, and says how to fetch from it
  soak             100,000 requests of each stage over a server that fails in every way
    --requests N     so many instead
    --seconds S      begins none after so much time
    --stage N        one stage only
    --seed N         as in the run that printed it

Options:
  -h, --help       this text
";

/// What the command line asks for.
pub(crate) enum Part {
    Help,
    /// Everything; `None` leaves the book unserved.
    Tour(Option<Serving>),
    Run,
    Compare,
    Book(Option<Serving>),
    Bench {
        quick: bool,
    },
    Trace(trace::Mode),
    Ledger,
    Serve {
        port: u16,
        tls: bool,
    },
    Soak(soak::Options),
}

/// How the book is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Serving {
    /// This port and no other; `None` is the default or, if that is taken, a free one.
    pub(crate) port: Option<u16>,
    /// Whether a browser is opened.
    pub(crate) open: bool,
}

impl Part {
    /// Reads the command line of this process.
    ///
    /// # Errors
    ///
    /// A message about the first argument that cannot be.
    pub(crate) fn from_env() -> Result<Self, Error> {
        Self::read(Parser::from_env())
    }

    fn read(mut args: Parser) -> Result<Self, Error> {
        let mut part = Part::Tour(Some(Serving::default()));
        let mut named = false;
        while let Some(arg) = args.next()? {
            match arg {
                Arg::Short('h') | Arg::Long("help") => return Ok(Part::Help),
                Arg::Value(name) if named => {
                    return Err(format!("`{}` is one part too many", name.display()).into());
                }
                Arg::Value(name) => {
                    part = Self::named(&name, &mut args)?;
                    named = true;
                }
                Arg::Long(option) => {
                    let option = option.to_owned();
                    part.set(&option, &mut args)?;
                }
                other => return Err(other.unexpected()),
            }
            // The parts that follow take the rest of the line themselves.
            if matches!(part, Part::Soak(_)) {
                break;
            }
        }
        Ok(part)
    }

    fn named(name: &OsString, args: &mut Parser) -> Result<Self, Error> {
        Ok(match name.to_str().unwrap_or_default() {
            "run" => Part::Run,
            "compare" => Part::Compare,
            "book" => Part::Book(None),
            "bench" => Part::Bench { quick: false },
            "trace" => Part::Trace(trace::Mode::Show { stage: None }),
            "ledger" => Part::Ledger,
            "serve" => Part::Serve { port: 8080, tls: false },
            "soak" => Part::Soak(soak::Options::parse(args)?),
            _ => {
                let parts = "run, compare, trace, bench, ledger, book, serve or soak";
                return Err(format!("expected {parts}, found {}", name.display()).into());
            }
        })
    }

    /// An option of the part that was named before it.
    fn set(&mut self, option: &str, args: &mut Parser) -> Result<(), Error> {
        match (option, self) {
            ("port", Part::Tour(Some(serving))) => serving.port = Some(args.value()?.parse()?),
            ("open", Part::Tour(Some(serving))) => serving.open = true,
            ("no-serve", Part::Tour(serving)) if *serving == Some(Serving::default()) => {
                *serving = None;
            }
            ("no-serve" | "port" | "open", Part::Tour(_)) => {
                return Err("--no-serve goes without --port and --open".into());
            }
            ("serve", Part::Book(serving)) => {
                serving.get_or_insert_default();
            }
            ("port", Part::Book(serving)) => {
                serving.get_or_insert_default().port = Some(args.value()?.parse()?);
            }
            ("open", Part::Book(serving)) => serving.get_or_insert_default().open = true,
            ("quick", Part::Bench { quick }) => *quick = true,
            ("port", Part::Serve { port, .. }) => *port = args.value()?.parse()?,
            ("tls", Part::Serve { tls, .. }) => *tls = true,
            ("stage", Part::Trace(mode @ trace::Mode::Show { stage: None })) => {
                *mode = trace::Mode::Show { stage: Some(stage(&args.value()?)?) };
            }
            ("write", Part::Trace(mode @ trace::Mode::Show { stage: None })) => {
                *mode = trace::Mode::Write;
            }
            ("check", Part::Trace(mode @ trace::Mode::Show { stage: None })) => {
                *mode = trace::Mode::Check;
            }
            ("stage" | "write" | "check", Part::Trace(_)) => {
                return Err(format!("--{option} goes alone with trace").into());
            }
            _ => return Err(misplaced(option)),
        }
        Ok(())
    }
}

/// An option that stands behind the wrong part, or that there is not.
fn misplaced(option: &str) -> Error {
    let parts = match option {
        "port" => "the whole tour, with book and with serve",
        "open" => "the whole tour and with book",
        "no-serve" => "the whole tour",
        "serve" => "book",
        "quick" => "bench",
        "tls" => "serve",
        "stage" => "trace and with soak",
        "write" | "check" => "trace",
        "requests" | "seconds" | "seed" => "soak",
        _ => return format!("there is no option --{option}").into(),
    };
    format!("--{option} goes with {parts}, and stands behind the part's name").into()
}

/// The number of a stage.
fn stage(value: &OsString) -> Result<usize, Error> {
    match value.to_str() {
        Some("1") => Ok(1),
        Some("2") => Ok(2),
        Some("3") => Ok(3),
        _ => Err(format!("expected --stage 1, 2 or 3, found {}", value.display()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Part, String> {
        Part::read(Parser::from_args(line.split_whitespace())).map_err(|e| e.to_string())
    }

    #[track_caller]
    fn serving(line: &str) -> Option<Serving> {
        match read(line) {
            Ok(Part::Tour(serving) | Part::Book(serving)) => serving,
            Ok(_) => panic!("`{line}` is another part"),
            Err(error) => panic!("`{line}`: {error}"),
        }
    }

    #[test]
    fn the_book_is_served_unless_it_is_not_wanted() {
        let default = Serving::default();
        assert_eq!(serving(""), Some(default));
        assert_eq!(serving("--no-serve"), None);
        assert_eq!(serving("--port 4000"), Some(Serving { port: Some(4000), ..default }));
        assert_eq!(serving("--open"), Some(Serving { open: true, ..default }));
        assert_eq!(serving("book"), None);
        assert_eq!(serving("book --serve"), Some(default));
        assert_eq!(serving("book --port 4000"), Some(Serving { port: Some(4000), ..default }));
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (line, message) in [
            ("--no-serve --port 1", "goes without --port"),
            ("--port 1 --no-serve", "goes without --port"),
            ("--port x", "cannot parse"),
            ("--quick", "goes with bench"),
            ("run --open", "goes with the whole tour and with book"),
            ("trace --write --check", "goes alone with trace"),
            ("trace --stage 4", "expected --stage 1, 2 or 3"),
            ("bench run", "one part too many"),
            ("banch", "expected run, compare"),
            ("--fast", "there is no option --fast"),
            ("soak --port 1", "invalid option"),
        ] {
            let told = read(line).err().unwrap_or_default();
            assert!(told.contains(message), "`{line}`: {told}");
        }
    }
}
